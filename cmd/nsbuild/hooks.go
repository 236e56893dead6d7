package main

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"nsbuild/hooks"
	"nsbuild/internal/base"
	"nsbuild/internal/bases"
	"nsbuild/internal/console"
	"nsbuild/internal/fault"
	"nsbuild/internal/hook"
	"nsbuild/internal/jails"
	"nsbuild/internal/machine"
	"nsbuild/internal/pkgbuild"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/session"
)

// hookOptions are the flags that name hooks.
type hookOptions struct {
	hooks    []string
	hookDir  string
	commands map[string]*[]string // by sbuild's name
	network  bool
	timeout  time.Duration
}

// addFlags adds what every verb with hooks has.
func (o *hookOptions) addFlags(f *pflag.FlagSet) {
	f.StringArrayVar(&o.hooks, "hook", nil,
		"run the hooks in this directory, or those of this name, `DIR|NAME`")
	f.StringVar(&o.hookDir, "hookdir", "", "run the hooks of pbuilder's that are in `DIR`")
	f.BoolVar(&o.network, "hook-network", false, "give hooks, and only hooks, the host's network")
	f.DurationVar(&o.timeout, "hook-timeout", time.Hour,
		"end a hook that takes longer than `TIME`; 0: never")
}

// addBuildFlags adds sbuild's commands, too.
func (o *hookOptions) addBuildFlags(f *pflag.FlagSet, shell *bool) {
	o.addFlags(f)
	f.BoolVar(shell, "shell-on-failure", false,
		"open a shell in the sandbox of a build that failed")
	o.commands = map[string]*[]string{}
	for _, k := range hook.Commands() {
		texts := new([]string)
		o.commands[k.Option] = texts
		where := "in the sandbox, as root"
		if k.Stages[0].OnHost() {
			where = "on the host"
		}
		when := map[hook.Stage]string{
			hook.OnHostStart: "before anything else",
			hook.Start:       "before the build dependencies are installed",
			hook.DepsFailed:  "when the build dependencies cannot be installed",
			hook.BeforeBuild: "before dpkg-buildpackage",
			hook.BuildEnded:  "after dpkg-buildpackage, whether it failed or not",
			hook.BuildFailed: "when dpkg-buildpackage failed", hook.Cleanup: "at the end",
			hook.OnHostSuccess: "after a build that was successful",
			hook.OnHostFailure: "after a build that failed",
		}[k.Stages[0]]
		if len(k.Stages) > 1 {
			when = "when the build dependencies or the build failed"
		}
		f.StringArrayVar(texts, k.Option, nil, "run `COMMAND` "+where+", "+when)
	}
}

// any tells whether hooks were named.
func (o *hookOptions) any() bool { return len(o.hooks) > 0 || o.hookDir != "" }

// load finds the hooks of an operation.
func (o *hookOptions) load(operation hook.Operation) (*hook.Set, error) {
	named, err := o.named(operation)
	if err != nil {
		return nil, err
	}
	return hook.Load(named)
}

// named are the hooks of an operation by their names.
func (o *hookOptions) named(operation hook.Operation) (h hook.Options, err error) {
	if o.timeout < 0 {
		return h, fault.New(fault.Usage, "0 for none", "--hook-timeout %v: it cannot be negative",
			o.timeout)
	}
	config, err := os.UserConfigDir()
	search := []string{"/etc/nsbuild/hooks"}
	if err == nil { // without a home there are none of the caller's
		search = append([]string{filepath.Join(config, "nsbuild", "hooks")}, search...)
	}
	h = hook.Options{Operation: operation, Hooks: o.hooks, HookDir: o.hookDir, Network: o.network,
		Timeout: o.timeout, Search: search, Shipped: hooks.Shipped(),
		Commands: map[string][]string{}}
	for name, texts := range o.commands {
		h.Commands[name] = *texts
	}
	return h, nil
}

// loadForBase finds the hooks of a base that is to be made or brought up to date. What is skipped
// is said: there is no log to look into.
func (o *hookOptions) loadForBase(a *app, operation hook.Operation) (hooks bases.Hooks,
	err error) {
	hooks.Show = a.verbose
	if hooks.Set, err = o.load(operation); err == nil {
		skipped(a.env.Log, hooks.Set)
	}
	return hooks, err
}

// skipped tells which files were not taken for hooks.
func skipped(log logrus.FieldLogger, set *hook.Set) {
	for _, note := range set.Notes {
		log.Warn(note)
	}
}

// loadHooks finds the hooks that come before a command.
func (o *runOptions) loadHooks() error {
	if !o.hook.any() {
		return nil
	}
	if o.ReadOnly {
		return usage("leave out one of them",
			"--read-only contradicts hooks: they are copied into the jail, and write there")
	}
	set, err := o.hook.load(o.operation)
	if err != nil {
		return err
	}
	if set.Installs(o.operation.Stages()...) {
		return usage("nsbuild shell --install, or nsbuild create --hook for a base that has them",
			"the Depends of hook.conf cannot be installed before a command")
	}
	o.Hooks.Set = set
	return nil
}

// prepareHooks says what the hooks are told and where they keep things.
func (o *runOptions) prepareHooks(a *app, env *pkgbuild.Env) {
	if o.Hooks.Set == nil {
		return
	}
	skipped(a.env.Log, o.Hooks.Set)
	o.Hooks = hooksBefore(o.Hooks.Set, o.operation, env.CacheDir)
}

// hooksBefore are the hooks that come before commands.
func hooksBefore(set *hook.Set, operation hook.Operation, cacheDir string) session.Hooks {
	return session.Hooks{
		Set: set, Stages: operation.Stages(),
		Context: func(g *base.Generation) hook.Context {
			m := base.Manifest{Arch: machine.Native()}
			if g != nil {
				m = g.Manifest
			}
			return bases.HookContext(operation, m)
		},
		Mounts: func(ctx context.Context, h jails.Holder) ([]sandbox.Mount, error) {
			return hook.CachesIn(cacheDir).Mounts(ctx, h, set)
		},
	}
}

// nameHooks has the supervisor of a session find its hooks. They have been found here first, to be
// refused where they cannot run.
func (o *runOptions) nameHooks(log logrus.FieldLogger, cacheDir string) (*session.Named, error) {
	if o.Hooks.Set == nil {
		return nil, nil
	}
	skipped(log, o.Hooks.Set)
	named, err := o.hook.named(o.operation)
	return &session.Named{Options: named, CacheDir: cacheDir}, err
}

// findHooks finds the hooks of a session, in its supervisor.
func findHooks(named session.Named) (session.Hooks, error) {
	named.Shipped = hooks.Shipped()
	set, err := hook.Load(named.Options)
	if err != nil {
		return session.Hooks{}, err
	}
	return hooksBefore(set, named.Operation, named.CacheDir), nil
}

// openTerminal is the caller's terminal, for shells: where a person sees what we say. Standard
// output may be a pipe all the same.
func openTerminal(stderr *os.File) *os.File {
	if !console.IsTerminal(stderr) {
		return nil
	}
	f, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil // no controlling terminal, nobody to ask
	}
	return f
}

// newInJail is what the escape %e of commands on the host begins with. It is no verb for people.
func newInJail(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "in-jail SOCKET COMMAND...", Hidden: true, Args: rangeArgs(2, -1, "which command?"),
		RunE: func(c *cobra.Command, args []string) error {
			status, err := hook.RunInJail(c.Context(), args[0], args[1:], os.Stdin, a.stdout,
				a.stderr)
			if err != nil {
				return err
			}
			if code := status.ExitCode(); code != 0 {
				return commandStatus(code)
			}
			return nil
		},
	}
}
