package session

import (
	"context"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"

	"nsbuild/internal/sandbox"
)

// settle gives a user who is a number that the jail does not know a name and a home there: many
// programs do not work for whom they cannot look up. The name is the caller's where the number is.
func settle(ctx context.Context, jail *sandbox.Jail, a *account) error {
	passwd, err := database(jail, "/etc/passwd", 7)
	if err != nil || len(passwd) == 0 { // a root without users has programs that need none
		return err
	}
	a.name = "user" + strconv.Itoa(a.uid)
	if me, err := user.Current(); err == nil && a.uid == os.Geteuid() &&
		!slices.ContainsFunc(passwd, func(f []string) bool { return f[0] == me.Username }) {
		a.name = me.Username
	}
	a.home, a.shell = "/home/"+a.name, "/bin/sh"
	groups, err := database(jail, "/etc/group", 4)
	if err != nil {
		return err
	}
	group := fmt.Sprintf("%s:*:%d:\n", a.name, a.gid)
	if slices.ContainsFunc(groups, func(f []string) bool {
		return f[2] == strconv.Itoa(a.gid) || f[0] == a.name
	}) {
		group = ""
	}
	status, err := jail.Run(ctx, sandbox.Command{
		Argv: []string{"/bin/sh", "-ec", `printf %s "$1" >>/etc/group; printf %s "$2" >>/etc/passwd
mkdir -p "$3"; chown "$4" "$3"`, "sh", group,
			fmt.Sprintf("%s:*:%d:%d::%s:%s\n", a.name, a.uid, a.gid, a.home, a.shell), a.home,
			fmt.Sprintf("%d:%d", a.uid, a.gid)},
		Env: []string{"PATH=" + sandbox.DefaultPath}})
	if err == nil && !status.Success() {
		err = fmt.Errorf("sh: %s", status)
	}
	if err != nil {
		return fmt.Errorf("giving uid %d a name in the jail: %w", a.uid, err)
	}
	return nil
}
