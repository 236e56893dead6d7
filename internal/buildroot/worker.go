package buildroot

import (
	"cmp"
	"context"
	"path"
	"slices"
	"strings"

	"nsbuild/internal/bootstrap"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/jails"
	"nsbuild/internal/sandbox"
)

// Environment is what a build's environment is made of. TERM, and all that the caller has, is left
// out.
type Environment struct {
	Options  []string // of DEB_BUILD_OPTIONS
	Profiles []string
	Cross    string   // architecture that is built for, where it is another; ""
	Changed  []string // NAME=VALUE: what hooks add or change
	// Whole is all that the environment has besides where programs are and who runs them, in the
	// place of what the other fields say; nil: they count
	Whole []string
}

// Plain is the environment without what the jail adds to it.
func (e Environment) Plain() []string { return e.vars(false) }

// vars is the environment, with or without fakeroot in the jail.
func (e Environment) vars(fakeroot bool) []string {
	env := []string{
		"PATH=" + sandbox.DefaultPath,
		"HOME=/nonexistent", "LC_ALL=C.UTF-8", "SHELL=/bin/sh", "USER=" + bootstrap.BuilderName,
		"LOGNAME=" + bootstrap.BuilderName,
		"DEB_BUILD_OPTIONS=" + strings.Join(e.Options, " "),
	}
	if len(e.Profiles) > 0 {
		env = append(env, "DEB_BUILD_PROFILES="+strings.Join(e.Profiles, " "))
	}
	if e.Whole != nil {
		env = append([]string{env[0], env[1], env[3], env[4], env[5]}, e.Whole...)
	}
	for _, v := range e.Changed {
		name, _, _ := strings.Cut(v, "=")
		env = append(
			slices.DeleteFunc(env, func(s string) bool { return strings.HasPrefix(s, name+"=") }),
			v)
	}
	if fakeroot {
		env = append(env, noRealChown)
	}
	if e.Cross != "" {
		env = append(env, "CONFIG_SITE=/etc/dpkg-cross/cross-config."+e.Cross)
	}
	return env
}

// noRealChown keeps fakeroot from trying first what it fakes. It lets chown fail with EPERM, as on
// a host; to an id that a jail does not map (those above 65535, which tar archives have) the kernel
// says EINVAL, which fakeroot hands on.
const noRealChown = "FAKEROOTDONTTRYCHOWN=1"

// HasFakeroot tells whether fakeroot is installed in a jail, or in none.
func HasFakeroot(jail jails.Jail) bool {
	if jail == nil {
		return false
	}
	f, err := jail.Open("/var/lib/dpkg/info/fakeroot.list")
	if err != nil {
		return false // dpkg has no list of its files
	}
	_ = f.Close() // nothing was written
	return true
}

// Worker runs commands in a jail as the unprivileged user that builds, with their output in a log.
type Worker struct {
	Jail jails.Jail
	Env  Environment
	Log  *buildlog.File
	// Tree is where the source is unpacked, and its parent where results appear; "" is below Dir,
	// by the source's name and version
	Tree string
	// UID and GID are who it is; 0: the builder of every base
	UID, GID int
}

// Dir is where sources lie and results appear.
func (w Worker) Dir() string {
	if w.Tree == "" {
		return Dir
	}
	return path.Dir(w.Tree)
}

// Command is a command of the user that builds.
func (w Worker) Command(dir string, argv ...string) sandbox.Command {
	return sandbox.Command{Argv: argv, Dir: dir, Env: w.Env.vars(HasFakeroot(w.Jail)),
		UID: cmp.Or(w.UID, bootstrap.BuilderUID), GID: cmp.Or(w.GID, bootstrap.BuilderGID)}
}

// Run runs a command, of whatever user, with its output in the log.
func (w Worker) Run(ctx context.Context, c sandbox.Command) (sandbox.Status, error) {
	out, errs := w.Log.Stream(), w.Log.Stream()
	defer errs.Flush()
	defer out.Flush()
	return w.Jail.RunTo(ctx, c, out, errs)
}
