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
	"golang.org/x/term"

	"nsbuild/internal/bases"
	"nsbuild/internal/fault"
	"nsbuild/internal/hook"
	"nsbuild/internal/jails"
	"nsbuild/internal/pkgbuild"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/session"
)

// shellOptions are the flags of shell beyond those of run.
type shellOptions struct {
	runOptions
	install []string
	save    string // "", "ask" or "yes"
	env     *pkgbuild.Env
}

func newShell(a *app) *cobra.Command {
	o := shellOptions{runOptions: runOptions{operation: hook.Shell}}
	c := &cobra.Command{
		Use:   "shell [BASE | --root DIR] [flags]",
		Short: "Open a root shell in a throwaway sandbox",
		Long: `shell opens a login shell, whose prompt names the base. Without BASE it takes the only
base there is, else that of this machine's own suite.

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
			if len(args) == 1 {
				o.Base = args[0]
			}
			return a.shell(c.Context(), &o)
		},
	}
	f := c.Flags()
	o.addFlags(f)
	f.StringVar(&o.User, "as", "", "the same as --user: `USER`")
	f.StringSliceVar(&o.install, "install", nil,
		"install these `PACKAGES` first, with commas between them")
	f.StringVar(&o.save, "save", "",
		"keep what was done as a new generation of the base; `yes`: without a question")
	f.Lookup("save").NoOptDefVal = "ask"
	return c
}

func (a *app) shell(ctx context.Context, o *shellOptions) error {
	switch {
	case o.Root != "" && o.Base != "":
		return usage("either BASE or --root DIR",
			"shell: %q is one argument too many beside --root", o.Base)
	case o.Root != "" && (len(o.install) > 0 || o.save != ""):
		return usage("nsbuild import makes a base of a directory",
			"shell: --install and --save are for bases, not for --root")
	case o.save != "" && o.save != "ask" && o.save != "yes":
		return usage("--save or --save=yes; the base comes as an argument of its own",
			"--save=%s is not known", o.save)
	case o.save != "" && o.ReadOnly:
		return usage("leave out one of them", "--save and --read-only contradict each other")
	}
	if err := bases.CheckPackages(o.install); err != nil {
		return err
	}
	o.archive = len(o.install) > 0
	if o.archive {
		o.Under = func(ctx context.Context, h jails.Holder, g session.Ground) ([]sandbox.Lower,
			error) {
			layer, err := o.env.Bases().InstallLayer(ctx, h, g.Base, g.Lowers, g.Caller, o.install)
			return []sandbox.Lower{layer}, err
		}
	}
	if o.save != "" {
		o.Keep = func(ctx context.Context, left session.Left) error { return a.save(ctx, o, left) }
		o.Env = append(o.Env, "HISTFILE=") // what was typed is no part of the base
	}
	o.opened = func(env *pkgbuild.Env) (err error) {
		o.env = env
		if o.Base == "" && o.Root == "" {
			o.Base, err = defaultBase(env)
		}
		return err
	}
	return a.run(ctx, &o.runOptions)
}

// defaultBase is the base that is meant when none is named.
func defaultBase(env *pkgbuild.Env) (string, error) {
	names, err := env.Store.Names()
	if err != nil {
		return "", err
	}
	if len(names) == 1 {
		return names[0], nil
	}
	return pkgbuild.DefaultSuite(env.Suites), nil
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
