package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/suites"
	"nsbuild/internal/bases"
	"nsbuild/internal/console"
	"nsbuild/internal/fault"
	"nsbuild/internal/fstab"
	"nsbuild/internal/hook"
	"nsbuild/internal/pkgbuild"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/session"
	"nsbuild/internal/strays"
)

// runOptions are the flags of run and shell, as they are typed.
type runOptions struct {
	session.Options
	limits                    limitOptions
	network, strays           string
	groups                    string
	env, binds, bindsRO, tmps []string

	hook      hookOptions
	operation hook.Operation

	install []string
	opened  func(*pkgbuild.Env) error // is called when there is an environment
}

func (o *runOptions) addFlags(f *pflag.FlagSet) {
	o.addJailFlags(f)
	o.addCommandFlags(f)
	o.hook.addFlags(f)
	f.StringVar(&o.strays, "strays", "kill", "`WHAT` is done when the command leaves processes "+
		"running: kill ends them, warn lists them first, fail fails")
}

// addJailFlags are those that say what the jail is.
func (o *runOptions) addJailFlags(f *pflag.FlagSet) {
	f.StringVar(&o.Root, "root", "", "use `DIR` as the root directory, instead of a base")
	f.BoolVar(&o.Overlay, "overlay", false, "throw away what is written to the DIR of --root")
	f.BoolVar(&o.ReadOnly, "read-only", false, "make the root directory read-only")
	f.BoolVar(&o.Force, "force", false, "use a --root that is refused as dangerous")
	f.StringVarP(&o.Fstab, "fstab", "f", "", "mount what `FILE` says, which is as fstab(5) has it")
	f.StringVarP(&o.Hostname, "hostname", "n", "",
		"call the sandbox `NAME` (default: as the base or the directory is called)")
	f.StringSliceVar(&o.install, "install", nil,
		"install these `PACKAGES` first, with commas between them")
	f.StringArrayVar(&o.binds, "bind", nil,
		"show a file or directory of the host: `SRC[:DST][:OPTIONS]`")
	f.StringArrayVar(&o.bindsRO, "bind-ro", nil,
		"show it read-only: `SRC[:DST][:OPTIONS]`")
	f.StringArrayVar(&o.tmps, "tmpfs", nil, "mount a tmpfs at `DST[:OPTIONS]`")
	f.StringVar(&o.network, "network", "none",
		"`WHICH` network there is: none, host (the host's), or private (its own, with a way out)")
	o.limits.addFlags(f, &o.Limits, "the sandbox")
}

// addCommandFlags are those that say how a command is run in it.
func (o *runOptions) addCommandFlags(f *pflag.FlagSet) {
	f.StringVarP(&o.User, "user", "u", "",
		"run it as this `USER` of the sandbox, a name or a number (default: root)")
	f.StringVarP(&o.Group, "group", "g", "", "with this main `GROUP` (default: the user's)")
	f.StringVarP(&o.groups, "groups", "p", "",
		"with these further `GROUPS`, with commas between them (default: the user's)")
	f.StringVar(&o.Dir, "chdir", "", "run it in `DIR` of the sandbox (default: /; of a login "+
		"shell the home directory)")
	f.StringArrayVar(&o.env, "setenv", nil, "set a variable: `NAME[=VALUE]`; without VALUE the "+
		"caller's own")
	f.BoolVar(&o.PID1, "as-pid1", false, "make it PID 1 of a PID namespace of its own")
	f.DurationVar(&o.Timeout, "timeout", 0,
		"end it with SIGTERM after `TIME`, such as 90s; the exit status is then 124")
	f.DurationVar(&o.KillAfter, "kill-after", session.KillAfter, "kill it when `TIME` has passed "+
		"since a signal asked it to end; 0: never")
}

// resolve turns what was typed into options.
func (o *runOptions) resolve() error {
	switch o.network {
	case "none", "host", "private":
		o.Network = sandbox.Network(o.network)
	default:
		return usage("none, host or private", "--network %q is not known", o.network)
	}
	if o.Strays = strays.Policy(o.strays); !o.Strays.Known() {
		return usage("kill, warn or fail", "--strays %q is not known", o.strays)
	}
	if err := o.limits.complete(&o.Limits); err != nil {
		return err
	}
	if o.groups != "" {
		o.Groups = strings.Split(o.groups, ",")
	}
	for _, e := range o.env {
		if !strings.Contains(e, "=") {
			value, ok := os.LookupEnv(e)
			if !ok {
				return usage("--setenv "+e+"=VALUE", "--setenv %s: the variable is not set here", e)
			}
			e += "=" + value
		}
		o.Env = append(o.Env, e)
	}
	parsers := []struct {
		texts []string
		parse func(string) (fstab.Mount, error)
	}{
		{o.binds, func(s string) (fstab.Mount, error) { return fstab.ParseBind(s, false) }},
		{o.bindsRO, func(s string) (fstab.Mount, error) { return fstab.ParseBind(s, true) }},
		{o.tmps, fstab.ParseTmpfs},
	}
	for _, p := range parsers {
		for _, text := range p.texts {
			m, err := p.parse(text)
			if err != nil {
				return fault.Wrap(fault.Usage, "nsbuild run --help", err)
			}
			o.Mounts = append(o.Mounts, m)
		}
	}
	if err := bases.CheckPackages(o.install); err != nil {
		return err
	}
	switch {
	case o.Root != "" && len(o.install) > 0:
		return usage("nsbuild import makes a base of a directory",
			"--install is for bases, not for --root")
	case o.Root == "" && o.Overlay:
		return usage("nsbuild run --overlay --root DIR",
			"--overlay is for --root: what is written over a base is thrown away in any case")
	case o.Hostname != "" && (len(o.Hostname) > 64 || strings.ContainsAny(o.Hostname, " \t\n/")):
		return usage("letters, digits, '-' and '.'; at most 64", "%q is no host name", o.Hostname)
	case o.Timeout < 0 || o.KillAfter < 0:
		return usage("0s for never", "--timeout and --kill-after cannot be negative")
	case o.Dir != "" && !strings.HasPrefix(o.Dir, "/"):
		return usage("give an absolute path of the jail", "--chdir %q is relative", o.Dir)
	}
	return nil
}

func newRun(a *app) *cobra.Command {
	o := runOptions{operation: hook.Exec}
	c := &cobra.Command{
		Use:   "run {BASE | --root DIR} [flags] [--] [COMMAND...]",
		Short: "Run a command in a throwaway sandbox",
		Long: `run runs a command in a sandbox. Over a base, all that it changes is thrown away. A
directory that is given with --root is changed as the command changes it, unless --overlay or
--read-only is given. Without a command it runs a login shell.

The options of run end at the first word of the command: in nsbuild run bookworm ls -la, -la is an
option of ls. A -- ends them, too.

A stream of yours that is a terminal becomes a terminal of the sandbox's own. Any other stream is
passed on, byte for byte. The command gets SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 and
the signals of job control that nsbuild gets. A second SIGINT kills it. What it leaves running is
ended.
`,
		Example: `  nsbuild run trixie -- cat /etc/debian_version
  nsbuild run bookworm -- sort < in > out
  nsbuild run --root /srv/debian/bookworm -f fstab -n test -- /bin/bash`,
		Args: ownWords(o.words, func(c *cobra.Command, own, command []string) error {
			o.Argv = command
			return o.takeBase(c, own, command)
		}),
		RunE: func(c *cobra.Command, _ []string) error { return a.run(c.Context(), &o) },
	}
	c.Flags().SetInterspersed(false)
	o.addFlags(c.Flags())
	return c
}

// words is how many words come before the command.
func (o *runOptions) words() int {
	if o.Root != "" {
		return 0
	}
	return 1
}

// takeBase takes the name of the base from a verb's own words, unless there is a --root.
func (o *runOptions) takeBase(c *cobra.Command, own, command []string) error {
	switch {
	case o.Root == "" && len(own) == 0:
		return usage(c.CommandPath()+" --help", "%s: which base? or --root DIR", c.Name())
	case o.Root == "":
		o.Base = own[0]
		return nil
	case len(own) == 0 && len(command) > 1 && command[1] == "--":
		own = command
	}
	if len(own) > 0 {
		return usage("either BASE or --root DIR",
			"%s: %q before the command is one argument too many beside --root", c.Name(),
			own[0])
	}
	return nil
}

func (a *app) run(ctx context.Context, o *runOptions) (err error) {
	if err := o.resolve(); err != nil {
		return err
	}
	if err := o.loadHooks(); err != nil {
		return err
	}
	// It starts while we find out what it is to do.
	if o.Begun, err = sandbox.Begin(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.Begun.Cancel()) }()
	missing, err := a.missingBase(&o.Base)
	if err != nil {
		return err
	}
	open := a.openLocal
	if len(o.install) > 0 || missing != nil {
		open = a.open
	}
	env, err := open(ctx)
	if err != nil {
		return err
	}
	if missing != nil {
		if err := a.makeBase(ctx, env, *missing); err != nil {
			return err
		}
	}
	if len(o.install) > 0 {
		o.Under = installing(env, o.install)
	}
	if o.opened != nil {
		if err := o.opened(env); err != nil {
			return err
		}
	}
	o.prepareHooks(a, env)
	if err := o.showApt(a.suites(), env.Log); err != nil {
		return err
	}
	o.tellNetwork(env.Log)
	o.CacheDir = env.CacheDir
	o.Store, o.StateDir, o.Fallback, o.Log, o.Verbose = env.Store, env.StateDir, env.Work.Path(),
		env.Log, a.verbose
	o.IDs, o.Require = func() (sandbox.IDMap, error) { return env.IDs, nil }, a.require()
	return a.runAs(o, func() (sandbox.Status, error) { return session.Run(ctx, o.Options) })
}

// showApt has the apt of a jail with the host's network reach the archives as the host's does.
func (o *runOptions) showApt(table *suites.Table, log logrus.FieldLogger) error {
	if o.Network != sandbox.NetworkHost {
		return nil
	}
	host, err := aptconf.ReadHost("/", table)
	if err != nil {
		return err
	}
	for _, w := range host.Warnings {
		log.Debug(w)
	}
	conf, auth := host.ForJail()
	for _, f := range []session.File{{Path: aptconf.JailConf, Text: conf},
		{Path: aptconf.JailAuth, Text: auth, Private: true}} {
		if f.Text != "" {
			o.Files = append(o.Files, f)
		}
	}
	return nil
}

// tellNetwork tells a person who is to work in a jail without network how to have one.
func (o *runOptions) tellNetwork(log logrus.FieldLogger) {
	if len(o.Argv) == 0 && o.Network == sandbox.NetworkNone && console.IsTerminal(os.Stdin) {
		log.Info("this shell has no network; --network host gives it the host's, --network " +
			"private one of its own")
	}
}

// streams gives a command our streams and signals.
func (a *app) streams(o *runOptions, run func() (sandbox.Status, error)) (sandbox.Status, error) {
	o.Stdin, o.Stdout, o.Stderr = os.Stdin, a.stdout, a.stderr
	signals := make(chan os.Signal, 64)
	signal.Notify(signals, heeded(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT,
		syscall.SIGUSR1,
		syscall.SIGUSR2, syscall.SIGWINCH, syscall.SIGCONT, syscall.SIGTSTP)...)
	defer signal.Stop(signals)
	a.releaseSignals()
	o.Signals = signals
	return run()
}

// runAs runs a command with our streams and signals, and makes its end ours.
func (a *app) runAs(o *runOptions, run func() (sandbox.Status, error)) error {
	status, err := a.streams(o, run)
	var failed *sandbox.Error
	switch {
	case errors.As(err, &failed) && failed.Op == "exec" && errors.Is(err, fs.ErrNotExist):
		a.printError(err)
		return commandStatus(127)
	case errors.As(err, &failed) && failed.Op == "exec":
		a.printError(err)
		return commandStatus(126)
	case err != nil:
		return err
	}
	if code := status.ExitCode(); code != 0 {
		return commandStatus(code)
	}
	return nil
}
