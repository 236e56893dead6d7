package checks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"nsbuild/internal/apt"
	"nsbuild/internal/archive/index"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/buildroot"
	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
	"nsbuild/internal/install"
	"nsbuild/internal/output"
	"nsbuild/internal/sandbox"
)

// Install installs what was built in a fresh jail, removes it, installs it again over what
// that left, purges it with what came along, and looks at what is not as it was. Where the suite
// has earlier versions, these are installed first in another jail, and upgraded.
func Install() Kind {
	return Kind{Name: "install check",
		run: func(ctx context.Context, b *Bench) (outcome, detail string, err error) {
			return b.checkInstall(ctx)
		}}
}

func (b *Bench) checkInstall(ctx context.Context) (outcome, detail string, err error) {
	packages := b.builtPackages()
	if len(packages) == 0 {
		return OutcomePass, "no package was built", nil
	}
	before, err := b.filesOfBase(ctx)
	if err != nil {
		return "", "", err
	}
	outcome, detail, err = b.together(packages, func(some []string) (string, string, error) {
		return b.tryInstall(ctx, some, before)
	})
	if err != nil || outcome == OutcomeFail {
		return outcome, detail, err
	}
	older, err := b.olderInSuite(ctx, packages)
	if err != nil {
		return "", "", err
	}
	if len(older) == 0 {
		b.Log.Printf(
			"No upgrade is tried: the suite has none of the packages in an earlier version.")
		return outcome, detail, nil
	}
	names := slices.Sorted(maps.Keys(older))
	b.Log.Printf("Upgrade from the suite's own version: %s", strings.Join(names, " "))
	upgrade, more, err := b.together(names, func(some []string) (string, string, error) {
		return b.tryUpgrade(ctx, some, older, before)
	})
	switch {
	case err != nil:
		return "", "", err
	case upgrade == OutcomePass, upgrade == outcome && more == detail:
		return outcome, detail, nil
	case detail == "":
		return upgrade, "upgrade: " + more, nil
	}
	return upgrade, detail + "; upgrade: " + more, nil
}

// together tries all packages at once or, since packages of one source may conflict with each
// other, one after the other.
func (b *Bench) together(packages []string,
	try func([]string) (outcome, detail string, err error)) (outcome, detail string, err error) {
	outcome, detail, err = try(packages)
	if !errors.Is(err, apt.ErrUnresolved) || len(packages) == 1 {
		return installOutcome(outcome, detail, err)
	}
	b.Log.Printf("They cannot all be installed at once: one after the other.")
	worst, details := OutcomePass, []string{}
	for _, p := range packages {
		outcome, detail, err := try([]string{p})
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
	var refused *install.Refused
	if errors.As(err, &refused) || errors.Is(err, apt.ErrUnresolved) {
		return OutcomeFail, err.Error(), nil
	}
	return outcome, detail, err
}

// tryInstall installs packages with what they need, removes them and installs them again, and
// purges all of it.
func (b *Bench) tryInstall(ctx context.Context, packages []string, before fileStates) (
	outcome, detail string, err error) {
	c, err := b.withBuilt(ctx, b.exactly(packages))
	if err != nil {
		return "", "", err
	}
	defer func() { err = c.end(ctx, b.making, outcome, detail, err) }()
	if err := c.open(ctx, false); err != nil {
		return "", "", err
	}
	removable := b.removable(packages)
	files := slices.DeleteFunc(b.builtDebs(), func(file string) bool {
		return !slices.Contains(removable, packageOf(file))
	})
	unseen := b.unseen(packages)
	if err := c.show(ctx, slices.Concat(files, unseen)...); err != nil {
		return "", "", err
	}
	if err := c.installFiles(ctx, unseen); err != nil {
		return "", "", err
	}
	if len(files) > 0 {
		if err := c.commands(ctx, []string{"dpkg", "--audit"},
			slices.Concat([]string{"dpkg", "--remove"}, removable),
			installByDpkg(files)); err != nil {
			return "", "", err
		}
	}
	return c.purgeAndLook(ctx, removable, before)
}

// tryUpgrade installs the suite's own versions of packages and then those that were built, and
// purges all of it.
func (b *Bench) tryUpgrade(ctx context.Context, packages []string, older map[string]string,
	before fileStates) (outcome, detail string, err error) {
	olderOnes := b.Extra
	olderOnes.Pins = pinned(older) + b.Extra.Pins
	c, err := b.with(ctx, strings.Join(packages, ", "), olderOnes, b.NoLayers)
	if err != nil {
		return "", "", err
	}
	defer func() { err = c.end(ctx, b.making+": upgrade", outcome, detail, err) }()
	if c.extra, err = b.built(ctx); err != nil {
		return "", "", err
	}
	if err := c.open(ctx, true); err != nil {
		return "", "", err
	}
	wanted, err := dsc.ParseRelations(b.exactly(packages))
	if err != nil {
		return "", "", err
	}
	if err := c.installMore(ctx, dsc.Reduced{Depends: wanted}); err != nil {
		return "", "", err
	}
	return c.purgeAndLook(ctx, b.removable(packages), before)
}

// removable are those packages that the base does not have itself.
func (b *Bench) removable(packages []string) []string {
	held := b.inBase(packages)
	return slices.DeleteFunc(slices.Clone(packages), func(name string) bool {
		return slices.Contains(held, name)
	})
}

// olderInSuite are those packages that the suite has in an earlier version than was built, and in
// no later one, with that version.
func (b *Bench) olderInSuite(ctx context.Context, packages []string) (map[string]string, error) {
	sources, err := install.Sources(ctx, b.Deps.Client, b.Releases, b.Arch)
	if err != nil {
		return nil, err
	}
	latest, called := map[string]dsc.Version{}, map[string]bool{}
	for _, name := range packages {
		called[name] = true
	}
	take := func(p *index.Package) error {
		if !called[p.Package] {
			return nil
		}
		v, err := dsc.ParseVersion(p.Version)
		if known, ok := latest[p.Package]; err == nil && (!ok || v.Compare(known) > 0) {
			latest[p.Package] = v
		}
		return err
	}
	if err := install.EachPackage(ctx, b.Deps.Client, sources, called, take, func() bool {
		return false
	}); err != nil {
		return nil, err
	}
	older := map[string]string{}
	for name, v := range latest {
		built, err := dsc.ParseVersion(b.versions[name])
		if err != nil {
			return nil, err
		}
		if v.Compare(built) < 0 {
			older[name] = v.String()
		}
	}
	return older, nil
}

// purgeAndLook purges packages with what came along, and tells what is not as it was before.
func (t *testbed) purgeAndLook(ctx context.Context, packages []string, before fileStates) (
	outcome, detail string, err error) {
	commands := [][]string{{"dpkg", "--audit"}}
	if len(packages) > 0 {
		commands = append(commands, slices.Concat([]string{"dpkg", "--purge"}, packages))
	}
	commands = append(commands, []string{"apt-get", "-q", "-y", "-o", "Dpkg::Use-Pty=0",
		"autoremove", "--purge"})
	if err := t.commands(ctx, commands...); err != nil {
		return "", "", err
	}
	still, err := t.purgeOthers(ctx)
	if err != nil {
		return "", "", err
	}
	strays, err := t.Jail.Sweep()
	if err != nil {
		return "", "", err
	}
	var running []string
	for _, s := range strays {
		running = append(running, s.Command)
	}
	after, err := t.listFiles(ctx)
	if err != nil {
		return "", "", err
	}
	same, err := t.hasBase()
	if err != nil {
		return "", "", err
	}
	held := t.inBase(t.builtPackages())
	left, changed := after.against(before)
	// what they conflict with is gone, and its files; or the base's own packages are ours now
	if !same || len(t.unseen(held)) > 0 {
		changed = nil
	}
	if others := append(held, still...); len(left) > 0 && len(others) > 0 {
		theirs, err := t.filesOf(ctx, others)
		if err != nil {
			return "", "", err
		}
		// A package may call a file by its name from before /bin and others became links into /usr.
		left = slices.DeleteFunc(left, func(name string) bool {
			return slices.Contains(theirs, name) ||
				slices.Contains(theirs, strings.TrimPrefix(name, "/usr"))
		})
	}
	outcome, detail = t.tellLeft(left, changed, running)
	return outcome, detail, nil
}

// tellLeft names in the log what purging has left, changed and left running, and sums it up.
func (t *testbed) tellLeft(left, changed, running []string) (outcome, detail string) {
	var findings []string
	for _, f := range []struct {
		what string // for each in the log
		all  []string
		sum  string
	}{
		{"left after purging", left, fault.Count(len(left), "file is", "files are") +
			" left after purging"},
		{"not as before after purging", changed, fault.Count(len(changed), "file of the base is",
			"files of the base are") + " not as before"},
		{"still running after purging, and ended", running,
			fault.Count(len(running), "process is", "processes are") +
				" still running after purging"},
	} {
		var lines []string
		for _, one := range f.all {
			line := f.what + ": " + buildlog.VisibleString(one)
			t.Bench.Log.Warning("%s", line)
			lines = append(lines, line)
		}
		t.Bench.found(lines...)
		switch len(f.all) {
		case 0:
		case 1:
			findings = append(findings, f.sum+": "+buildlog.VisibleString(f.all[0]))
		default:
			findings = append(findings, f.sum+", the first "+buildlog.VisibleString(f.all[0]))
		}
	}
	if len(findings) == 0 {
		return OutcomePass, ""
	}
	return OutcomeWarn, strings.Join(findings, "; ")
}

// purgeOthers purges what has come along and apt would keep, say since something suggests it, and
// returns what is there all the same: packages that dpkg takes for essential.
func (t *testbed) purgeOthers(ctx context.Context) (still []string, err error) {
	others, err := t.notOfBase()
	if err != nil || len(others) == 0 {
		return nil, err
	}
	argv := slices.Concat([]string{"dpkg", "--purge"}, others)
	t.say("Command: %s", strings.Join(argv, " "))
	status, err := t.Run(ctx, sandbox.Command{Argv: argv, Env: buildroot.Env()})
	if err != nil {
		return nil, err
	}
	if !status.Success() {
		t.say("dpkg: %s; what was built is not to blame.", status)
	}
	return t.notOfBase()
}

// notOfBase names the installed packages of the open jail that the base does not have in any
// version.
func (t *testbed) notOfBase() ([]string, error) {
	now, err := buildroot.Installed(t.Jail)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, p := range now {
		names = append(names, p.Name)
	}
	return t.removable(names), nil
}

// hasBase tells whether the open jail has all packages of the base still. What conflicts with one
// of them takes its place.
func (t *testbed) hasBase() (bool, error) {
	now, err := buildroot.Installed(t.Jail)
	if err != nil {
		return false, err
	}
	gone := buildroot.Beyond(t.Base.Manifest.Packages, now)
	if len(gone) > 0 {
		t.say("Not installed any more, or in another version: %s", gone[0].Name)
	}
	return len(gone) == 0, nil
}

// maxFileList bounds what packages make the list of a root's files, in bytes. That of a large root
// has some 20 MiB.
const maxFileList = 256 << 20

// filesOf lists the files of those packages that are installed in the open jail.
func (t *testbed) filesOf(ctx context.Context, packages []string) ([]string, error) {
	out := output.Capture{Limit: maxFileList}
	// It fails where one is not installed any more, and has listed the others all the same.
	if _, err := t.Jail.RunTo(ctx,
		sandbox.Command{Argv: slices.Concat([]string{"dpkg", "-L"}, packages),
			Env: buildroot.Env()}, &out, io.Discard); err != nil {
		return nil, err
	}
	text, err := out.String()
	if err != nil {
		return nil, fmt.Errorf("dpkg -L: %w", err)
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n"), nil
}

// fileStates are the files of a root, with what can be told of each without reading it: kind, mode,
// owners, a file's size, where a link leads.
type fileStates map[string]string

// against lists what there is and was not before, and what was before and has changed or is gone.
func (s fileStates) against(before fileStates) (left, changed []string) {
	for name, now := range s {
		if was, ok := before[name]; !ok {
			left = append(left, name)
		} else if was != now {
			changed = append(changed, fmt.Sprintf("%s (%s, was %s)", name, now, was))
		}
	}
	for name := range before {
		if _, ok := s[name]; !ok {
			changed = append(changed, name+" (gone)")
		}
	}
	slices.Sort(left)
	slices.Sort(changed)
	return left, changed
}

// listFiles lists what a root holds, but what changes with every installation, and the accounts
// that packages may leave (Policy 9.2.2).
const listFiles = `exec find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run ` +
	`-o -path /tmp -o -path /build -o -path /var/cache -o -path /var/lib/dpkg -o -path ` +
	`/var/lib/apt ` +
	`-o -path /var/log -o -path /etc/ld.so.cache -o -path /etc/passwd -o -path /etc/group -o ` +
	`-path /etc/shadow -o -path /etc/gshadow -o -path /etc/subuid -o -path /etc/subgid ` +
	`-o -name '*-' -path '/etc/*' \) -prune -o -type f -printf '%p\0file %m %U:%G %s bytes\0' ` +
	`-o -type l -printf '%p\0link to %l\0' -o -printf '%p\0%y %m %U:%G\0'`

// filesOfBase lists the files of the base in a jail of its own.
func (b *Bench) filesOfBase(ctx context.Context) (fileStates, error) {
	c := b.bare()
	if err := c.open(ctx, false); err != nil {
		return nil, err
	}
	files, err := c.listFiles(ctx)
	return files, errors.Join(err, c.close())
}

func (t *testbed) listFiles(ctx context.Context) (fileStates, error) {
	out := output.Capture{Limit: maxFileList}
	status, err := t.Jail.RunTo(ctx, sandbox.Command{Argv: []string{"/bin/sh", "-c", listFiles},
		Env: buildroot.Env()}, &out, io.Discard)
	if err == nil && !status.Success() {
		err = fmt.Errorf("listing files: %s", status)
	}
	text, over := out.String()
	if over != nil {
		return nil, fmt.Errorf("listing files: %w", over)
	}
	files := fileStates{}
	fields := strings.Split(text, "\x00")
	for i := 0; i+1 < len(fields); i += 2 {
		files[fields[i]] = fields[i+1]
	}
	return files, err
}
