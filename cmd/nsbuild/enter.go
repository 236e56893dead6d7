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

	"nsbuild/internal/buildlog"
	"nsbuild/internal/console"
	"nsbuild/internal/fault"
	"nsbuild/internal/jails"
	"nsbuild/internal/keptroot"
	"nsbuild/internal/layer"
	"nsbuild/internal/pkgbuild"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/session"
)

// enterOptions are the flags of enter.
type enterOptions struct {
	root, write bool
	copyBack    string
}

func newEnter(a *app) *cobra.Command {
	var o enterOptions
	c := &cobra.Command{
		Use:   "enter [ID] [flags] [-- COMMAND...]",
		Short: "Work in a kept build",
		Long: `enter runs a shell, or COMMAND, in the root of a kept build as it was when the build
ended: as the user that built, in the unpacked source, with the environment of the build, without
network. What is done there is thrown away, unless --write is given. Several may enter at once.

Without an ID it is the newest kept build of the source that the current directory is or lies in,
else the newest of all.
`,
		Example: "  nsbuild enter hello-7c1e\n  nsbuild enter -- dh_auto_test",
		RunE: func(c *cobra.Command, args []string) error {
			id, argv := "", args
			switch dash := c.ArgsLenAtDash(); {
			case dash > 1 || dash < 0 && len(args) > 1:
				return usage("nsbuild enter [ID] -- COMMAND", "enter: %q is one argument too many "+
					"before the command", args[1])
			case dash == 0:
			case len(args) > 0:
				id, argv = args[0], args[1:]
			}
			if o.write && o.copyBack != "" {
				return usage("leave out one of them", "enter: --write and --copy-back contradict each "+
					"other")
			}
			return a.enter(c.Context(), id, argv, o)
		},
	}
	f := c.Flags()
	f.BoolVar(&o.root, "root", false, "be root there")
	f.BoolVar(&o.write, "write", false, "keep what is done there, in the kept build")
	f.StringVar(&o.copyBack, "copy-back", "", "at the end show what was changed in `DIR` of the "+
		"source, such as debian, and take it to the source directory after asking")
	return c
}

// opener takes kept builds into use.
func opener(env *pkgbuild.Env) (*keptroot.Opener, error) {
	layers, err := layer.Open(env.CacheDir)
	return &keptroot.Opener{Kept: env.Kept, Bases: env.Store, Layers: layers, Work: env.Work}, err
}

// useKept takes a kept build into use.
func useKept(env *pkgbuild.Env, id string) (*keptroot.Opener, *keptroot.Root, error) {
	from, err := opener(env)
	if err != nil {
		return nil, nil, err
	}
	root, err := from.Use(id)
	return from, root, err
}

// findKept finds the kept build that is meant; "" is that of the current directory.
func findKept(env *pkgbuild.Env, id string) (string, error) {
	dir := ""
	if id == "" {
		var err error
		if dir, err = os.Getwd(); err != nil {
			return "", err
		}
	}
	return env.Kept.Find(id, dir)
}

func (a *app) enter(ctx context.Context, id string, argv []string, o enterOptions) (err error) {
	// It starts while we find out what it is to do.
	begun, err := sandbox.Begin()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, begun.Cancel()) }()
	env, err := a.openLocal(ctx)
	if err != nil {
		return err
	}
	env.Work.Start = func(ctx context.Context, spec sandbox.HolderSpec) (jails.Holder, error) {
		h, err := begun.Start(ctx, spec)
		if err != nil {
			return nil, err
		}
		return jails.HolderOf(h), nil
	}
	if id, err = findKept(env, id); err != nil {
		return err
	}
	from, err := opener(env)
	if err != nil {
		return err
	}
	use := from.Use
	if o.write {
		use = from.Own
	}
	root, err := use(id)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	var mounts []sandbox.Mount
	if o.copyBack != "" {
		mounts = root.CopyBackMounts()
	}
	open, err := from.Open(ctx, root, o.write, mounts...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, open.Close()) }()
	if o.copyBack != "" {
		back, err := keptroot.NewCopyBack(open, o.copyBack)
		if err != nil {
			return err
		}
		return errors.Join(a.runIn(ctx, open, argv, o), a.copyBack(ctx, back))
	}
	err = a.runIn(ctx, open, argv, o)
	if o.write {
		_, closed := open.Jail.Close()
		err = errors.Join(err, closed, open.Measure(ctx))
	}
	return err
}

// runIn runs a command, or a shell, in a kept build.
func (a *app) runIn(ctx context.Context, open *keptroot.Open, argv []string, o enterOptions) error {
	jail, err := jails.Real(open.Jail)
	if err != nil {
		return err
	}
	shell := len(argv) == 0
	if shell {
		argv = []string{"/bin/bash", "--norc", "-i"}
	}
	c := open.Command(o.root, argv...)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, a.stdout, a.stderr
	c.Terminal = console.IsTerminal(os.Stdin) && console.IsTerminal(a.stdout)
	if shell && !c.Terminal {
		c.Argv = []string{"/bin/bash"}
	}
	if c.Terminal {
		for _, key := range []string{"TERM", "COLORTERM"} {
			if value := os.Getenv(key); value != "" {
				c.Env = append(c.Env, key+"="+value)
			}
		}
	}
	if shell && c.Terminal {
		c.Env = append(c.Env, "PS1="+prompt(open.Root))
		a.greet(open.Root, o)
	}
	run := &runOptions{}
	return a.runAs(run, func() (sandbox.Status, error) {
		return session.Attach(ctx, jail, c, run.Streams, a.env.Log)
	})
}

// copyBack shows what was changed, and takes it back when the person says so.
func (a *app) copyBack(ctx context.Context, back *keptroot.CopyBack) error {
	left, err := back.Find(ctx)
	if err != nil {
		return err
	}
	for _, name := range left {
		a.env.Log.Warnf("%s is no regular file, and is not copied back",
			buildlog.VisibleString(name))
	}
	if back.Count() == 0 {
		a.env.Log.Info("nothing was changed that could be copied back")
		return nil
	}
	shown := io.Writer(a.stdout)
	if console.IsTerminal(a.stdout) {
		shown = &visibleLines{to: a.stdout}
	}
	if err := back.Patch(ctx, shown); err != nil {
		return err
	}
	if !console.IsTerminal(os.Stdin) {
		a.env.Log.Warn("nothing is copied back: there is no terminal to ask at")
		return nil
	}
	fmt.Fprintf(a.stderr, "change %s so? [y/N] ", back.Tree)
	answer, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		a.env.Log.Info("nothing is copied back")
		return nil
	}
	if err := back.Apply(ctx); err != nil {
		return err
	}
	next := "nsbuild retry --source " + back.Tree + " goes on with it"
	if back.Root.Check != nil {
		next = "nsbuild build makes the check anew"
	}
	a.env.Log.Infof("%s in %s; %s",
		fault.Count(back.Count(), "file was changed", "files were changed"), back.Tree, next)
	return nil
}

// prompt says where one is, and what failed there.
func prompt(r *keptroot.Root) string {
	failed := ""
	if r.Stage != "" {
		failed = ": " + r.Stage + " failed"
	}
	return "[" + r.ID + strings.Map(plain, failed) + `] \w\$ `
}

// plain leaves out what a prompt of bash means something else by.
func plain(r rune) rune {
	if strings.ContainsRune("\\$`", r) {
		return -1
	}
	return r
}

// greet tells a person where they are.
func (a *app) greet(r *keptroot.Root, o enterOptions) {
	if a.quiet {
		return
	}
	out := a.env.Progress.Writer()
	if r.Why != "" {
		fmt.Fprintf(out, "%s: %s\n", r.ID, buildlog.VisibleString(r.Why))
	}
	if r.Check != nil && r.Check.Again != "" {
		fmt.Fprintf(out, "to repeat it: %s\n", buildlog.VisibleString(r.Check.Again))
	}
	if o.write {
		fmt.Fprintln(out, "what is changed here stays; the shell's end (exit, Ctrl-D) ends it")
	} else {
		fmt.Fprintln(out, "what is changed here is thrown away at the shell's end; --write keeps it")
	}
}
