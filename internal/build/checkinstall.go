package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"nsbuild/internal/apt"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/sandbox"
)

// checkInstall installs what was built in a fresh jail, purges it with what came along, and looks at what that left.
func (b *builder) checkInstall(ctx context.Context) (outcome, detail string, err error) {
	packages := b.builtPackages()
	if len(packages) == 0 {
		return OutcomePass, "no package was built", nil
	}
	outcome, detail, err = b.installPurge(ctx, packages)
	if !errors.Is(err, apt.ErrUnresolved) || len(packages) == 1 {
		return installOutcome(outcome, detail, err)
	}
	// Packages of one source may conflict with each other.
	b.log.Printf("They cannot all be installed at once: one after the other.")
	worst, details := OutcomePass, []string{}
	for _, p := range packages {
		outcome, detail, err := b.installPurge(ctx, []string{p})
		if outcome, detail, err = installOutcome(outcome, detail, err); err != nil {
			return "", "", err
		}
		if outcome != OutcomePass {
			details = append(details, p+": "+detail)
			if worst != OutcomeFail {
				worst = outcome
			}
		}
	}
	return worst, strings.Join(details, "; "), nil
}

// installOutcome makes what apt and dpkg refused an outcome: it is what the check is for.
func installOutcome(outcome, detail string, err error) (string, string, error) {
	var refused *installRefused
	if errors.As(err, &refused) || errors.Is(err, apt.ErrUnresolved) {
		return OutcomeFail, err.Error(), nil
	}
	return outcome, detail, err
}

// installRefused is the failure of a program that installs or purges.
type installRefused struct{ err error }

func (e *installRefused) Error() string { return e.err.Error() }
func (e *installRefused) Unwrap() error { return e.err }

// listFiles lists what a root holds, but what changes with every installation.
const listFiles = `exec find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /build -o -path /var/cache -o -path /var/lib/dpkg -o -path /var/lib/apt ` +
	`-o -path /var/log -o -path /etc/ld.so.cache -o -name '*-' -path '/etc/*' \) -prune -o -print`

// installPurge installs packages with what they need, and purges all of it.
func (b *builder) installPurge(ctx context.Context, packages []string) (outcome, detail string, err error) {
	before, err := b.filesOfBase(ctx)
	if err != nil {
		return "", "", err
	}
	version := " (= " + b.version.String() + ")"
	c, done, err := b.beside(ctx, strings.Join(packages, version+", ")+version, true)
	if err != nil {
		return "", "", err
	}
	defer func() { err = errors.Join(err, done()) }()
	if _, err := c.openJail(ctx, false); err != nil {
		return "", "", err
	}
	for _, argv := range [][]string{
		{"dpkg", "--audit"},
		slices.Concat([]string{"dpkg", "--purge"}, packages),
		{"apt-get", "-q", "-y", "-o", "Dpkg::Use-Pty=0", "autoremove", "--purge"},
	} {
		b.log.Printf("Command: %s", strings.Join(argv, " "))
		status, err := c.run(ctx, c.open, sandbox.Command{Argv: argv, Env: commandEnv()})
		if err != nil {
			return "", "", err
		}
		if !status.Success() {
			return "", "", &installRefused{fmt.Errorf("%s: %s", strings.Join(argv, " "), status)}
		}
	}
	after, err := c.listFiles(ctx)
	if err != nil {
		return "", "", err
	}
	var left []string
	for name := range after {
		if !before[name] {
			left = append(left, name)
		}
	}
	if len(left) == 0 {
		return OutcomePass, "", nil
	}
	slices.Sort(left)
	for _, name := range left {
		b.log.Warning("left after purging: %s", buildlog.VisibleString(name))
	}
	return OutcomeWarn, fmt.Sprintf("%d files are left after purging, the first %s", len(left), buildlog.VisibleString(left[0])), nil
}

// filesOfBase lists the files of the base in a jail of its own.
func (b *builder) filesOfBase(ctx context.Context) (map[string]bool, error) {
	c := b.forCheck()
	if _, err := c.openJail(ctx, false); err != nil {
		return nil, err
	}
	files, err := c.listFiles(ctx)
	_, closed := c.closeJail()
	return files, errors.Join(err, closed)
}

func (b *builder) listFiles(ctx context.Context) (map[string]bool, error) {
	var out bytes.Buffer
	status, err := b.open.RunTo(ctx, sandbox.Command{Argv: []string{"/bin/sh", "-c", listFiles}, Env: commandEnv()}, &out, io.Discard)
	if err == nil && !status.Success() {
		err = fmt.Errorf("listing files: %s", status)
	}
	files := map[string]bool{}
	for line := range strings.Lines(out.String()) {
		files[strings.TrimSuffix(line, "\n")] = true
	}
	return files, err
}
