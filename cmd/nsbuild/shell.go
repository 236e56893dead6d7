package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"nsbuild/internal/fault"
	"nsbuild/internal/hook"
	"nsbuild/internal/pkgbuild"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/session"
)

// shellOptions are the flags of shell beyond those of run.
type shellOptions struct {
	runOptions
	save string // "", "ask" or "yes"
	deps bool   // the argument is a source, whose build dependencies are installed
	dist string
	env  *pkgbuild.Env
}

func newShell(a *app) *cobra.Command {
	o := shellOptions{runOptions: runOptions{operation: hook.Shell}}
	c := &cobra.Command{
		Use:   "shell [BASE | --root DIR | --build-deps [SOURCE]] [flags]",
		Short: "Open a root shell in a throwaway sandbox",
		Long: `shell opens a login shell, whose prompt names the base. Without BASE it takes the only
base there is, else that of this machine's own suite. The base of a suite is made when it is
missing.

With --build-deps the shell is in the unpacked SOURCE, which is named as for nsbuild build (default:
the current directory). The build dependencies are installed, the environment is that of the build,
and the shell is the builder's. Nothing is built.

All that is done in it is thrown away at its end. --save makes a new generation of the base of it:
on a terminal after a question, otherwise when the shell ends with status 0. Builds that use the old
generation keep it until they end. When somebody else has changed the base meanwhile, --save makes a
base of another name.
`,
		Example: "  nsbuild shell trixie\n  nsbuild shell --install=strace,vim trixie\n  nsbuild " +
			"shell --save trixie",
		Args: rangeArgs(0, 1,
			"one base is enough, and it takes no command: nsbuild run BASE -- COMMAND"),
		RunE: func(c *cobra.Command, args []string) error {
			if o.deps {
				return a.shellOfSource(c, &o, args)
			}
			if len(args) == 1 {
				o.Base = args[0]
			}
			return a.shell(c.Context(), &o)
		},
	}
	f := c.Flags()
	o.addFlags(f)
	f.StringVar(&o.User, "as", "", "the same as --user: `USER`")
	f.BoolVar(&o.deps, "build-deps", false,
		"be in a SOURCE, with its build dependencies installed, as the builder")
	f.StringVarP(&o.dist, "dist", "d", "", "take the build dependencies of this `SUITE`, with "+
		"--build-deps (default: as nsbuild build does)")
	f.StringVar(&o.save, "save", "",
		"keep what was done as a new generation of the base; `yes`: without a question")
	f.Lookup("save").NoOptDefVal = "ask"
	return c
}

// shellOfSource is a shell with --build-deps, for which holds what is configured for builds.
func (a *app) shellOfSource(c *cobra.Command, o *shellOptions, args []string) error {
	var contradicts string
	c.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		switch f.Name {
		case "build-deps", "dist", "memory", "cpus", "pids", "help":
		default:
			if rankOf(f) == rankFlag {
				contradicts = f.Name
			}
		}
	})
	if contradicts != "" {
		return usage("leave out one of them",
			"shell: --build-deps and --%s contradict each other: the sandbox is that of a build",
			contradicts)
	}
	build, _, err := c.Root().Find([]string{"build"})
	if err != nil {
		return err
	}
	b := a.buildFlags
	if b.Sources = args; len(args) == 0 {
		b.Sources = []string{"."}
	}
	if err := b.complete(a.verbose, build.LocalNonPersistentFlags()); err != nil {
		return err
	}
	if err := o.limits.complete(&o.Limits); err != nil {
		return err
	}
	if o.dist != "" {
		b.Suite, b.Suites = o.dist, nil
	}
	if b.Many() {
		return usage("--dist SUITE", "shell: several are configured to build for, and a shell is "+
			"for one")
	}
	if o.Limits != (sandbox.Limits{}) {
		b.Limits = o.Limits
	}
	return a.depsShell(c.Context(), b)
}

func (a *app) shell(ctx context.Context, o *shellOptions) error {
	switch {
	case o.dist != "":
		return usage("name the suite, whose base is used: nsbuild shell "+o.dist,
			"shell: --dist is for --build-deps")
	case o.Root != "" && o.Base != "":
		return usage("either BASE or --root DIR",
			"shell: %q is one argument too many beside --root", o.Base)
	case o.Root != "" && o.save != "":
		return usage("nsbuild import makes a base of a directory",
			"shell: --save is for bases, not for --root")
	case o.save != "" && o.save != "ask" && o.save != "yes":
		return usage("--save or --save=yes; the base comes as an argument of its own",
			"--save=%s is not known", o.save)
	case o.save != "" && o.ReadOnly:
		return usage("leave out one of them", "--save and --read-only contradict each other")
	}
	if o.save != "" {
		o.Keep = func(ctx context.Context, left session.Left) error { return a.save(ctx, o, left) }
		o.Env = append(o.Env, "HISTFILE=") // what was typed is no part of the base
	}
	o.opened = func(env *pkgbuild.Env) error {
		o.env = env
		return nil
	}
	if o.Base == "" && o.Root == "" {
		var err error
		if o.Base, err = a.defaultBase(); err != nil {
			return err
		}
	}
	return a.run(ctx, &o.runOptions)
}

// save makes a generation of what a shell has left, if that is wanted.
func (a *app) save(ctx context.Context, o *shellOptions, left session.Left) error {
	name := left.Base.Name
	if o.save == "ask" && term.IsTerminal(int(os.Stdin.Fd())) {
		yes, err := a.ask(fmt.Sprintf("Keep what was done as a new generation of %s? [y/N] ", name))
		if err != nil || !yes {
			return err
		}
	} else if !left.Status.Success() {
		o.Log.Warnf("nothing is kept, since the shell ended with %s", left.Status)
		return nil
	}
	saved, err := o.env.Bases().Save(ctx, left.Holder, left.Base, left.Lowers, left.Caller)
	if err != nil {
		return fmt.Errorf("keeping what was done: %w", err)
	}
	if saved.Conflict {
		return fault.New(fault.Internal, fmt.Sprintf("nsbuild shell %s", saved.Name),
			"base %s was changed by another nsbuild meanwhile, so what was done is kept as base %s",
			name, saved.Name)
	}
	o.Log.Infof("base %s has generation %d: %s new or in another version", saved.Name, saved.Number,
		fault.Count(saved.Installed, "package", "packages"))
	return nil
}

// ask asks a question that is answered by yes or no. No answer is no.
func (a *app) ask(question string) (bool, error) {
	fmt.Fprint(a.stderr, question)
	answer, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true, nil
	}
	return false, nil
}
