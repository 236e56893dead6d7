package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"

	"github.com/sirupsen/logrus"
	"github.com/spf13/pflag"

	"nsbuild/internal/base"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/compat"
	"nsbuild/internal/fault"
	"nsbuild/internal/fstab"
	"nsbuild/internal/pkgbuild"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/session"
	"nsbuild/internal/strays"
)

// schrootName is the name, as that of a link to this program, under which it takes schroot's
// command line: schroot(1). The chroots are the bases; sessions are sessions.
const schrootName = "schroot"

// schroot is one call.
type schroot struct {
	a       *app
	environ []string // the caller's

	actions map[string]*bool // by the names of their flags
	chroots []string
	all     struct{ everything, chroots, sessions, sources bool }
	noAlias bool

	dir, user, shell, name string
	preserve, force        bool
	options                []string
	command                []string

	env *pkgbuild.Env
}

// schrootActions are the flags of which one can be given.
var schrootActions = []struct{ name, short, usage string }{
	{"help", "h", "show help options"},
	{"version", "V", "print version information"},
	{"list", "l", "list available chroots"},
	{"info", "i", "show information about selected chroots"},
	{"config", "", "dump configuration of selected chroots"},
	{"location", "", "print location of selected chroots"},
	{"automatic-session", "", "begin, run and end a session automatically (default)"},
	{"begin-session", "b", "begin a session; prints its ID"},
	{"recover-session", "", "recover an existing session"},
	{"run-session", "r", "run an existing session"},
	{"end-session", "e", "end an existing session"},
}

func (s *schroot) flags() *pflag.FlagSet {
	f := pflag.NewFlagSet(schrootName, pflag.ContinueOnError)
	f.SortFlags = false
	f.Usage = func() {}
	s.actions = map[string]*bool{}
	for _, a := range schrootActions {
		s.actions[a.name] = f.BoolP(a.name, a.short, false, a.usage)
	}
	f.BoolVarP(&s.a.quiet, "quiet", "q", false, "show less output")
	f.BoolVarP(&s.a.verbose, "verbose", "v", false, "show more output")
	f.StringArrayVarP(&s.chroots, "chroot", "c", nil,
		"use this base or session, with or without chroot:, source: or session:")
	f.BoolVarP(&s.all.everything, "all", "a", false, "select all chroots and active sessions")
	f.BoolVar(&s.all.chroots, "all-chroots", false, "select all chroots")
	f.BoolVar(&s.all.sessions, "all-sessions", false, "select all active sessions")
	f.BoolVar(&s.all.sources, "all-source-chroots", false, "select all source chroots")
	f.BoolVar(&s.noAlias, "exclude-aliases", false, "do not include aliases")
	f.StringVarP(&s.dir, "directory", "d", "", "directory to use")
	f.StringVarP(&s.shell, "shell", "s", "", "shell to use as login shell")
	f.StringVarP(&s.user, "user", "u", "", "user name (default: the current user)")
	f.BoolVarP(&s.preserve, "preserve-environment", "p", false, "preserve user environment")
	f.StringArrayVarP(&s.options, "option", "o", nil, "set option; nothing can be set here")
	f.StringVarP(&s.name, "session-name", "n", "", "session name")
	f.BoolVarP(&s.force, "force", "f", false, "force operation, even if it fails")
	compat.Abbreviate(f)
	return f
}

// runSchroot is run for schroot's command line. Whatever fails has status 1, as there; what is said
// begins with "E: ".
func runSchroot(args []string, stdout, stderr *os.File) int {
	ctx, release, stop := withSignals(context.Background(), func(err error) int {
		fmt.Fprintf(stderr, "E: %v\n", err)
		return 1
	})
	defer stop()
	s := &schroot{environ: os.Environ(),
		a: &app{stdout: stdout, stderr: stderr, releaseSignals: release}}
	err := ownEnvironment()
	if err == nil {
		// the directories of the state and the cache, as for every verb
		_, err = configure(newRoot(s.a))
	}
	if err == nil {
		err = s.run(ctx, args)
	}
	err = errors.Join(err, s.a.close(ctx))
	var own commandStatus
	if err == nil || errors.As(err, &own) {
		return int(own)
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(stderr, "E: %s\n", buildlog.VisibleString(strings.TrimRight(line, "\n")))
	}
	if hint := fault.HintOf(err); hint != "" && !s.a.quiet {
		fmt.Fprintf(stderr, "I: %s\n", hint)
	}
	return 1
}

// ownEnvironment gives us what we need of the environment and a setuid program such as schroot does
// without: sbuild asks it for its chroots with no environment at all, and runs it with a HOME that
// does not exist.
func ownEnvironment() error {
	if os.Getenv("PATH") == "" {
		if err := os.Setenv("PATH", sandbox.DefaultPath); err != nil {
			return err
		}
	}
	me, err := user.Current()
	if err != nil {
		return fmt.Errorf("finding the home directory: %w", err)
	}
	return os.Setenv("HOME", me.HomeDir)
}

const schrootHelpHint = "Run “schroot --help” to list usage example and all available options"

func (s *schroot) run(ctx context.Context, args []string) error {
	f := s.flags()
	if err := f.Parse(args); err != nil {
		return fault.Wrap(fault.Usage, schrootHelpHint, err)
	}
	s.command = f.Args()
	action := "automatic-session"
	var given []string
	for _, a := range schrootActions {
		if *s.actions[a.name] {
			given = append(given, a.name)
			action = a.name
		}
	}
	if len(given) > 1 {
		return fault.New(fault.Usage, schrootHelpHint, "Only one action may be specified")
	}
	switch action {
	case "help":
		fmt.Fprintf(s.a.stdout, "Usage:\n  schroot  [OPTION…] [COMMAND] — run command or shell "+
			"in a base of nsbuild\n\n%s", f.FlagUsages())
		return nil
	case "version":
		fmt.Fprintf(s.a.stdout, "schroot (nsbuild %s)\n", version)
		return nil
	}
	var err error
	if s.env, err = s.a.openLocal(ctx); err != nil {
		return err
	}
	sessionsOnly := action == "run-session" || action == "end-session" ||
		action == "recover-session"
	chosen, err := s.choose(ctx, sessionsOnly, action == "list" || action == "info" ||
		action == "config" || action == "location")
	if err != nil {
		return err
	}
	switch action {
	case "list":
		for _, c := range chosen {
			fmt.Fprintln(s.a.stdout, c)
		}
		return nil
	case "info", "config", "location":
		return s.describe(action, chosen)
	case "begin-session":
		if len(chosen) != 1 {
			return fault.New(fault.Usage, schrootHelpHint,
				"Exactly one chroot must be specified when beginning a session")
		}
		return s.begin(ctx, chosen[0])
	case "recover-session": // a session that is there is in order
		return nil
	case "end-session":
		for _, c := range chosen {
			if err := s.a.endSession(ctx, s.quietly(), c.name); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
		return nil
	}
	var last error
	for _, c := range chosen {
		if err := s.runOne(ctx, c, sessionsOnly); err != nil {
			last = err
			if !errors.As(err, new(commandStatus)) {
				return err
			}
		}
	}
	return last
}

// chroot is what a command can be run in.
type chroot struct {
	namespace, name string // "chroot", "source" or "session"
	base            string // behind a name or an alias
	alias           bool
	manifest        base.Manifest
	session         session.Info
}

func (c chroot) String() string { return c.namespace + ":" + c.name }

// known are the bases under their names and aliases, once to be thrown away and once as sources,
// and the sessions.
func (s *schroot) known(ctx context.Context) ([]chroot, error) {
	names, err := s.env.Store.Names()
	if err != nil {
		return nil, err
	}
	var all, sources []chroot
	for _, name := range names {
		g, err := s.env.Store.Use(name)
		if errors.Is(err, base.ErrNone) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, err
		}
		m := g.Manifest
		if err := g.Close(); err != nil {
			return nil, err
		}
		for i, n := range append([]string{name}, aliases(name, m.Arch)...) {
			if i > 0 && slices.Contains(names, n) {
				continue
			}
			c := chroot{namespace: "chroot", name: n, base: name, alias: i > 0, manifest: m}
			all = append(all, c)
			c.namespace = "source"
			sources = append(sources, c)
		}
	}
	all = append(all, sources...)
	sessions, err := session.List(ctx, s.env.StateDir, s.env.Log)
	for _, i := range sessions {
		all = append(all, chroot{namespace: "session", name: i.ID, base: i.Base, session: i})
	}
	return all, err
}

// aliases are the names that sbuild looks for.
func aliases(name, arch string) []string {
	return []string{name + "-" + arch, name + "-" + arch + "-sbuild"}
}

// choose finds the chroots that are asked for.
func (s *schroot) choose(ctx context.Context, sessionsOnly, shows bool) ([]chroot, error) {
	known, err := s.known(ctx)
	if err != nil {
		return nil, err
	}
	some := s.all.everything || s.all.chroots || s.all.sessions || s.all.sources
	if some || shows && len(s.chroots) == 0 {
		wanted := map[string]bool{
			"chroot": s.all.everything || s.all.chroots || !some, "source": s.all.everything ||
				s.all.sources || !some, "session": s.all.everything || s.all.sessions,
		}
		return slices.DeleteFunc(known, func(c chroot) bool {
			return !wanted[c.namespace] || sessionsOnly && c.namespace != "session" || c.alias &&
				(s.noAlias || !*s.actions["list"])
		}), nil
	}
	names := s.chroots
	if len(names) == 0 {
		names = []string{"default"}
	}
	var chosen []chroot
	for _, full := range names {
		namespace, name, ok := strings.Cut(full, ":")
		if !ok {
			name, namespace = full, "chroot"
			if sessionsOnly {
				namespace = "session"
			}
		}
		i := slices.IndexFunc(known, func(c chroot) bool {
			return c.namespace == namespace && c.name == name
		})
		if i < 0 || sessionsOnly && namespace != "session" {
			return nil,
				fault.New(fault.Internal, "“nsbuild create SUITE” makes a base, “schroot --list "+
					"--all” lists what there is", "%s: Chroot not found", full)
		}
		chosen = append(chosen, known[i])
	}
	return chosen, nil
}

// quietly are options for what schroot does without a word.
func (s *schroot) quietly() *session.Options {
	o := &session.Options{StateDir: s.env.StateDir, Log: s.env.Log}
	if !s.a.verbose {
		log := s.a.logger(s.env.Progress)
		log.SetLevel(logrus.PanicLevel)
		o.Log = log
	}
	return o
}

// jail are the options of a jail over a base: the host's network and users, as programs that call
// schroot expect them; the homes but for a build.
func (s *schroot) jail(c chroot) (session.Options, error) {
	o := session.Options{
		Base: c.base, Network: sandbox.NetworkHost, HostUsers: c.namespace != "source",
		StateDir: s.env.StateDir, Log: s.env.Log, Strays: strays.Kill,
		KillAfter: session.KillAfter,
	}
	if strings.HasSuffix(c.name, "-sbuild") || c.namespace == "source" {
		return o, nil
	}
	if _, err := os.Stat("/home"); err == nil {
		o.Mounts = append(o.Mounts, fstab.Mount{Type: "rbind", Source: "/home", Target: "/home"})
	} else if !os.IsNotExist(err) {
		return o, err
	}
	return o, nil
}

func (s *schroot) begin(ctx context.Context, c chroot) error {
	switch c.namespace {
	case "session":
		return fault.New(fault.Usage, "", "%s: a session is begun already", c.name)
	case "source":
		return fault.New(fault.Usage, "“nsbuild shell --save "+c.base+"”, or “nsbuild update”",
			"%s: a session would throw away what is done in a source chroot", c)
	}
	o, err := s.jail(c)
	if err != nil {
		return err
	}
	id, err := session.Begin(ctx, o, s.name)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.a.stdout, id)
	return err
}

// runOne runs the command, or a shell, in a base or in a session.
func (s *schroot) runOne(ctx context.Context, c chroot, inSession bool) error {
	if c.namespace == "session" && !inSession {
		return fault.New(fault.Internal, "--run-session runs a command in a session",
			"%s: Chroot not found", c)
	}
	var o runOptions
	if !inSession {
		var err error
		if o.Options, err = s.jail(c); err != nil {
			return err
		}
	}
	o.StateDir, o.Log, o.Store, o.Fallback, o.Strays = s.env.StateDir, s.env.Log, s.env.Store,
		s.env.Work.Path(), strays.Kill
	if err := s.fillCommand(&o.Options, c); err != nil {
		return err
	}
	if c.namespace == "source" {
		o.Keep = func(ctx context.Context, left session.Left) error {
			saved, err := s.env.Bases().Save(ctx, left.Holder, left.Base, left.Lowers)
			if err == nil && saved.Conflict {
				err = fault.New(fault.Internal, "nsbuild info "+saved.Name,
					"%s was changed by another process meanwhile; what was done is kept as %s", c,
					saved.Name)
			}
			return err
		}
	}
	status, err := s.a.streams(&o, func() (sandbox.Status, error) {
		if inSession {
			return session.RunIn(ctx, o.Options, c.name)
		}
		return session.Run(ctx, o.Options)
	})
	var failed *sandbox.Error
	switch {
	case errors.As(err, &failed) && failed.Op == "exec":
		return fmt.Errorf("Failed to execute “%s”: %s", failed.Path,
			capital(failed.Errno.Error())) //nolint:staticcheck // schroot's words
	case errors.As(err, &failed) && failed.Op == "chdir":
		return fault.New(fault.Internal, "The directory does not exist inside the chroot.  Use "+
			"the --directory option to run the command in a different directory.",
			"Failed to change to directory ‘%s’: %s", failed.Path, capital(failed.Errno.Error()))
	case err != nil:
		return err
	case status.Signal != 0:
		return fmt.Errorf("Child terminated by signal ‘%s’",
			capital(status.Signal.String())) //nolint:staticcheck // schroot's words
	case status.Code != 0:
		return commandStatus(status.Code)
	}
	return nil
}

// capital makes of Go's text for an error or a signal what the C library says.
func capital(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

// hidden are variables that -p does not preserve: schroot's environment-filter.
func hidden(variable string) bool {
	name, _, _ := strings.Cut(variable, "=")
	return strings.HasPrefix(name, "LD_") || slices.Contains([]string{
		"BASH_ENV", "CDPATH", "ENV", "HOSTALIASES", "IFS", "KRB5_CONFIG", "KRBCONFDIR", "KRBTKFILE",
		"KRB_CONF", "LOCALDOMAIN", "NLSPATH", "PATH_LOCALE", "RES_OPTIONS",
		"TERMINFO", "TERMINFO_DIRS", "TERMPATH",
	}, name)
}

// fillCommand says what is run, as whom, where and with which environment.
func (s *schroot) fillCommand(o *session.Options, c chroot) error {
	o.Argv, o.User, o.Dir = s.command, s.user, s.dir
	if o.User == "" {
		me, err := user.Current()
		if err != nil {
			return err
		}
		o.User = me.Username
	}
	if len(o.Argv) == 0 && s.shell != "" {
		o.Argv = []string{s.shell, "-l"}
	}
	if o.Dir == "" && len(o.Argv) > 0 {
		dir, err := os.Getwd()
		if err != nil {
			return err
		}
		o.Dir = dir
	}
	if s.preserve {
		for _, e := range s.environ {
			if !hidden(e) {
				o.Env = append(o.Env, e)
			}
		}
	}
	name, id := c.base, c.name
	if c.namespace != "session" {
		id = name
	}
	o.Env = append(o.Env, "SCHROOT_CHROOT_NAME="+name, "SCHROOT_ALIAS_NAME="+c.name,
		"SCHROOT_SESSION_ID="+id, "SCHROOT_COMMAND="+strings.Join(s.command, " "),
		"SCHROOT_USER="+o.User, "SCHROOT_UID="+strconv.Itoa(os.Getuid()),
		"SCHROOT_GID="+strconv.Itoa(os.Getgid()))
	return nil
}

// describe prints what programs read.
func (s *schroot) describe(action string, chosen []chroot) error {
	for i, c := range chosen {
		switch action {
		case "location":
			fmt.Fprintln(s.a.stdout, c.session.Path) // a base has none outside sessions
		case "config":
			if err := s.config(c); err != nil {
				return err
			}
		default:
			if i > 0 {
				fmt.Fprintln(s.a.stdout)
			}
			for _, l := range c.info() {
				fmt.Fprintln(s.a.stdout, strings.TrimRight(fmt.Sprintf("  %-22s %s", l[0], l[1]),
					" "))
			}
		}
	}
	return nil
}

// config prints a section of schroot.conf(5): whose a base is can enter it as every user.
func (s *schroot) config(c chroot) error {
	me, err := user.Current()
	if err != nil {
		return err
	}
	name, other := c.base, aliases(c.base, c.manifest.Arch)
	if c.namespace == "session" {
		name, other = c.name, nil
	}
	_, err = fmt.Fprintf(
		s.a.stdout,
		"[%s]\naliases=%s\ndescription=%s\nroot-groups=\nroot-users=%s\nsource-clone=true\ntype=custom\nusers=%[4]s\n\n",
		name, strings.Join(other, ","), c.description(), me.Username)
	return err
}

// info are the lines of --info, under the names that programs look for.
func (c chroot) info() [][2]string {
	if c.namespace == "session" {
		return [][2]string{
			{"─── Session ───"}, {"Name", c.name}, {"Description", c.description()},
			{"Type", "nsbuild"},
			{"Session Managed", "false"}, {"Session Cloned", "false"}, {"Session Purged", "true"},
			{"Mount Location", c.session.Path}, {"Path", c.session.Path},
			{"Original Chroot Name", c.base}, {"Session ID", c.name},
		}
	}
	title := map[string]string{"chroot": "─── Chroot ───", "source": "─── Source ───"}[c.namespace]
	return [][2]string{
		{title}, {"Name", c.base}, {"Description", c.description()}, {"Type", "nsbuild"},
		{"Aliases", strings.Join(aliases(c.base, c.manifest.Arch), " ")},
		{"Session Managed", "true"},
		{"Session Cloned", strconv.FormatBool(c.namespace == "chroot")},
		{"Session Purged", "false"},
	}
}

func (c chroot) description() string {
	switch c.namespace {
	case "session":
		return "session of " + c.base
	case "source":
		return c.manifest.Suite + " (source chroot)"
	}
	return c.manifest.Suite
}
