package checks

import (
	"context"
	"errors"
	"io"

	"nsbuild/internal/bootstrap"
)

// sudoGID is the group sudo of Debian's and Ubuntu's base-passwd.
const sudoGID = 27

// allowSudo lets the test's user become root in the open jail, without a password, as a member of
// the group that sudo means.
func (t *testbed) allowSudo(ctx context.Context) error {
	if err := t.commands(ctx, []string{"usermod", "--append", "--groups", "sudo",
		bootstrap.BuilderName}); err != nil {
		return err
	}
	f, err := t.Jail.Create("/etc/sudoers.d/autopkgtest", 0o440, 0, 0)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, "%sudo ALL=(ALL:ALL) NOPASSWD: ALL\n")
	return errors.Join(err, f.Close())
}
