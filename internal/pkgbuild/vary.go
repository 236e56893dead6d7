package pkgbuild

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"nsbuild/internal/bootstrap"
	"nsbuild/internal/buildroot"
	"nsbuild/internal/jails"
	"nsbuild/internal/sandbox"
)

// Vary is what a build finds otherwise than usual, and what must not matter for what it makes. Of
// the zero value nothing is otherwise.
type Vary struct {
	Host, Domain string // the name of the machine, and the domain that it is in
	User, Group  string // the names of who builds
	UID, GID     int    // and the numbers
	Home         string
	Umask        string // octal
	Locale       string // made in the jail, where it has what locales are made of; else C
	Dir          string // where the source is unpacked and results appear
	// OneProcessor has one processor seen. On a machine that has no more, DEB_BUILD_OPTIONS say
	// that there are two.
	OneProcessor bool
	Env          []string // NAME=VALUE: more of the environment
	// Dirs and OldKernel are those of sandbox.Vary, for the jail that builds.
	Dirs      uint64
	OldKernel bool
	// Clock is how far the clock of programs goes ahead that ask the C library for the time.
	Clock time.Duration
}

// ofJail is what the jail that builds has otherwise itself.
func (v *Vary) ofJail() *sandbox.Vary {
	if v.Dirs == 0 && !v.OldKernel {
		return nil
	}
	return &sandbox.Vary{Dirs: v.Dirs, OldKernel: v.OldKernel}
}

// names tells whether the list of users has to say something else.
func (v *Vary) names() bool {
	return v.User != "" || v.Group != "" || v.UID+v.GID != 0 || v.Home != ""
}

// writes are the files that vary itself writes in the jail, relative to its root: the build has not
// written them.
func (v *Vary) writes() (files []string) {
	if v.names() {
		files = append(files, "etc/passwd", "etc/group", "etc/shadow", "etc/gshadow")
	}
	if v.Locale != "" {
		files = append(files, "usr/lib/locale")
	}
	if v.Dir != "" {
		files = append(files, strings.Trim(v.Dir, "/"))
	}
	if v.Clock != 0 {
		files = append(files, strings.Trim(clockDir, "/"))
	}
	return files
}

// environment is what it changes of the build's environment.
func (v *Vary) environment() (env []string) {
	if v.User != "" {
		env = append(env, "USER="+v.User, "LOGNAME="+v.User)
	}
	if v.Home != "" {
		env = append(env, "HOME="+v.Home)
	}
	if v.Locale != "" {
		env = append(env, "LC_ALL="+v.Locale)
	}
	if v.Umask != "" {
		// --sanitize-env, which would set the umask, sets this, too
		env = append(env, "LC_COLLATE=C.UTF-8")
	}
	return append(env, v.Env...)
}

// vary changes the open jail, in which the source lies unpacked, into what the build is to find.
func (at *attempt) vary(ctx context.Context) error {
	v := at.o.Vary
	if at.root.varied != nil {
		return nil
	}
	jail := at.root.open
	for _, argv := range v.commands(at.worker().Dir()) {
		if err := buildroot.AsRoot(ctx, jail, argv...); err != nil {
			return fmt.Errorf("varying the build: %w", err)
		}
	}
	if v.Locale != "" {
		made, err := makeLocale(ctx, jail, v.Locale)
		if err != nil {
			return fmt.Errorf("varying the locale: %w", err)
		}
		v.Locale = made
	}
	if v.OneProcessor {
		at.options = withoutJobs(at.options, v.processor())
	}
	at.root.varied = &v
	return nil
}

// commands are those that root runs in the jail, in whose directory dir the source lies.
func (v *Vary) commands(dir string) (all [][]string) {
	if !v.names() {
		return nil
	}
	const usual = bootstrap.BuilderName
	user, group, home := usual, usual, "/nonexistent"
	uid, gid := bootstrap.BuilderUID, bootstrap.BuilderGID
	for _, is := range []struct {
		value string
		to    *string
	}{{v.User, &user}, {v.Group, &group}, {v.Home, &home}} {
		if is.value != "" {
			*is.to = is.value
		}
	}
	if v.UID != 0 {
		uid = v.UID
	}
	if v.GID != 0 {
		gid = v.GID
	}
	all = append(all,
		[]string{"sed", "-i", fmt.Sprintf("s|^%s:.*|%s:x:%d:%d::%s:/bin/sh|", usual, user, uid,
			gid, home), "/etc/passwd"},
		[]string{"sed", "-i", fmt.Sprintf("s|^%s:.*|%s:x:%d:|", usual, group, gid), "/etc/group"},
		[]string{"sed", "-i", "-s", fmt.Sprintf("s|^%s:|%s:|", usual, user), "/etc/shadow"})
	if v.UID+v.GID != 0 {
		// -P: the source may have links that lead out of it
		all = append(all, []string{"chown", "-h", "-R", "-P", fmt.Sprintf("%d:%d", uid, gid), dir})
	}
	return all
}

// makeLocale makes a locale where the jail has its definition, and says which locale there is: that
// one, or C, which every jail has.
func makeLocale(ctx context.Context, jail jails.Jail, locale string) (string, error) {
	name, charset, _ := strings.Cut(locale, ".")
	f, err := jail.Open("/usr/share/i18n/locales/" + name)
	if err != nil {
		return "C", nil //nolint:nilerr // the jail has no package locales
	}
	if err := f.Close(); err != nil {
		return "", err
	}
	// Its status is 1 when it warns.
	status, err := jail.Run(ctx, sandbox.Command{Env: buildroot.Env(), Argv: []string{"localedef",
		"-c", "-i", name, "-f", charset, "/usr/lib/locale/" + locale}})
	if err == nil && status.ExitCode() > 1 {
		err = fmt.Errorf("localedef: %s", status)
	}
	return locale, err
}

// processor is the one that a build may use; -1 where there is no other.
func (v *Vary) processor() int {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil || set.Count() < 2 {
		return -1
	}
	for i := len(set)*64 - 1; i >= 0; i-- {
		if set.IsSet(i) {
			return i
		}
	}
	return -1
}

// withoutJobs are options for another number of processes than the one they say.
func withoutJobs(options []string, processor int) (out []string) {
	n := "1"
	if processor < 0 {
		n = "2"
	}
	for _, o := range options {
		if !saysJobs(o) {
			out = append(out, o)
		}
	}
	return append(out, "parallel="+n)
}

// variedCommand is the command of the build, with what runs it.
func (at *attempt) variedCommand() []string {
	argv := at.command()
	v := at.root.varied
	if v == nil {
		return argv
	}
	if v.OneProcessor {
		if n := v.processor(); n >= 0 {
			argv = append([]string{"taskset", "-c", strconv.Itoa(n)}, argv...)
		}
	}
	if v.Umask != "" {
		plain := argv[:0:0]
		for _, a := range argv {
			if a != "--sanitize-env" { // it sets the umask
				plain = append(plain, a)
			}
		}
		argv = append([]string{"sh", "-c", "umask " + v.Umask + "; exec \"$@\"", "sh"}, plain...)
	}
	return argv
}
