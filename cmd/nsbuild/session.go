package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"nsbuild/internal/config"
	"nsbuild/internal/hook"
	"nsbuild/internal/progress"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/session"
	"nsbuild/internal/strays"
)

func newSession(a *app) *cobra.Command {
	c := group(&cobra.Command{
		Use:   "session",
		Short: "Keep a sandbox, and run commands in it",
		Long: `A session is a sandbox that stays: what one command writes and what it leaves running is
there for the next. nsbuild session end ends it. It also ends when its supervisor dies, a process
that nsbuild session begin leaves behind.

A link to nsbuild that is called schroot takes the command line of schroot(1). Bases are its chroots
then, and these sessions its sessions.
`,
	})
	c.AddCommand(newSessionBegin(a), newSessionRun(a), newSessionList(a), newSessionEnd(a))
	return c
}

func newSessionBegin(a *app) *cobra.Command {
	o := runOptions{strays: string(strays.Kill), operation: hook.Session}
	var name string
	c := &cobra.Command{
		Use:   "begin {BASE | --root DIR} [flags]",
		Short: "Begin a session, and print its name",
		Long: `begin opens a sandbox as nsbuild run does, prints the session's name and returns. The
session goes on when the terminal is closed. What is written over a base is thrown away at the end.
Hooks run once, before the session can be joined.
`,
		Example: "  id=$(nsbuild session begin bookworm)\n  nsbuild session run $id -- apt-get " +
			"--version\n  nsbuild session end $id",
		Args: func(c *cobra.Command, args []string) error {
			if dash := c.ArgsLenAtDash(); len(args) > 1 || dash >= 0 && len(args) > dash {
				return usage("nsbuild session run NAME -- COMMAND",
					"begin: %q is one argument too many", args[len(args)-1])
			}
			return o.takeBase(c, args, nil)
		},
		RunE: func(c *cobra.Command, _ []string) error {
			return a.sessionBegin(c.Context(), &o, name)
		},
	}
	c.Flags().StringVar(&name, "name", "",
		"call the session `NAME` (default: as the base, with random digits)")
	c.Flags().StringVarP(&o.Whose, "user", "u", "", "have commands run as this `USER` of the "+
		"sandbox, to whom your files of a --bind belong there (default: root)")
	o.addJailFlags(c.Flags())
	o.hook.addFlags(c.Flags())
	return c
}

// openSessions is what the verbs of sessions need of the environment: they must begin at once, and
// make nothing in the state directory.
func (a *app) openSessions() (session.Host, config.Dirs, error) {
	dirs, err := config.FindDirs(a.stateDir, a.cacheDir)
	if err != nil {
		return session.Host{}, dirs, err
	}
	return session.Host{StateDir: dirs.State,
		Log: a.logger(progress.New(a.stderr, progress.Options{Quiet: a.quiet}))}, dirs, nil
}

func (a *app) sessionBegin(ctx context.Context, o *runOptions, name string) error {
	if err := o.resolve(); err != nil {
		return err
	}
	if err := o.loadHooks(); err != nil {
		return err
	}
	host, dirs, err := a.openSessions()
	if err != nil {
		return err
	}
	hooks, err := o.nameHooks(host.Log, dirs.Cache)
	if err != nil {
		return err
	}
	if err := o.showApt(a.suites(), host.Log); err != nil {
		return err
	}
	if missing, err := a.missingBase(&o.Base); err != nil {
		return err
	} else if missing != nil {
		env, err := a.open(ctx)
		if err != nil {
			return err
		}
		if err := a.makeBase(ctx, env, *missing); err != nil {
			return err
		}
	}
	o.Require = a.require()
	spec := session.Spec{Name: name, Jail: o.Jail, Hooks: hooks, StateDir: host.StateDir,
		CacheDir: dirs.Cache, Install: o.install}
	if len(o.install) > 0 {
		if spec.Settings, err = a.settings(); err != nil {
			return err
		}
	}
	id, err := session.Begin(ctx, spec, a.stderr, host.Log)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.stdout, id)
	return err
}

func newSessionRun(a *app) *cobra.Command {
	o := runOptions{strays: string(strays.Kill), network: string(sandbox.NetworkNone)}
	var name string
	c := &cobra.Command{
		Use:   "run NAME [flags] [--] [COMMAND...]",
		Short: "Run a command in a session",
		Long: `run runs a command in a session. Terminal, streams, signals and exit status are as with
nsbuild run. What the command leaves running stays. When nsbuild itself is killed, the command is
killed. Without a command it runs a login shell.
`,
		Args: ownWords(func() int { return 1 },
			func(_ *cobra.Command, own, command []string) error {
				if len(own) == 0 {
					return usage("nsbuild session list", "run: in which session?")
				}
				name, o.Argv = own[0], command
				return nil
			}),
		RunE: func(c *cobra.Command, _ []string) error {
			host, _, err := a.openSessions()
			if err = errors.Join(o.resolve(), err); err != nil {
				return err
			}
			return a.runAs(&o, func() (sandbox.Status, error) {
				return session.RunIn(c.Context(), host, name, o.Command, o.Streams)
			})
		},
	}
	c.Flags().SetInterspersed(false)
	o.addCommandFlags(c.Flags())
	return c
}

func newSessionList(a *app) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List the sessions",
		Long: `list shows each session with its base or directory, its age, the number of its
processes, the memory that they use, and the size of what has been written to the throwaway layer. A
session whose supervisor is dead is not listed; what it left is deleted.
`,
		Args: rangeArgs(0, 0, "it takes no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.sessionList(c.Context(), asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "write an array of objects, for programs")
	return c
}

func (a *app) sessionList(ctx context.Context, asJSON bool) error {
	host, _, err := a.openSessions()
	if err != nil {
		return err
	}
	all, err := session.List(ctx, host.StateDir, host.Log)
	if err != nil {
		return err
	}
	if asJSON {
		legible := make([]session.Info, len(all))
		for i, s := range all {
			legible[i] = s.Legible()
		}
		e := json.NewEncoder(a.stdout)
		e.SetIndent("", "  ")
		return e.Encode(legible)
	}
	if len(all) == 0 {
		host.Log.Info("there are no sessions; nsbuild session begin BASE begins one")
		return nil
	}
	w := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "SESSION\tBASE\tAGE\tPROCESSES\tMEMORY\tDISK")
	for _, s := range all {
		of := s.Base
		if of == "" {
			of = s.Root
		}
		switch disk := config.FormatSize(s.Disk); {
		case s.Ending:
			fmt.Fprintf(w, "%s\t%s\t%s\tending\t-\t-\n", s.ID, of, age(s.Began))
		case s.Silent:
			fmt.Fprintf(w, "%s\t%s\t%s\tno answer\t-\t-\n", s.ID, of, age(s.Began))
		default:
			if s.DiskMore {
				disk = "> " + disk
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\n", s.ID, of, age(s.Began), s.Processes,
				config.FormatSize(s.Memory), disk)
		}
	}
	return w.Flush()
}

func age(since time.Time) string { return time.Since(since).Round(time.Second).String() }

func newSessionEnd(a *app) *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:   "end {NAME... | --all}",
		Short: "End sessions, and everything in them",
		Long: "end lists what still runs in a session, and ends it. What was written over a base " +
			"is then gone.\n",
		RunE: func(c *cobra.Command, args []string) error {
			if all == (len(args) > 0) {
				return usage("nsbuild session list", "end: which session? or --all")
			}
			return a.sessionEnd(c.Context(), args, all)
		},
	}
	c.Flags().BoolVar(&all, "all", false, "end every session")
	return c
}

func (a *app) sessionEnd(ctx context.Context, names []string, all bool) error {
	host, _, err := a.openSessions()
	if err != nil {
		return err
	}
	if all {
		infos, err := session.List(ctx, host.StateDir, host.Log)
		if err != nil {
			return err
		}
		for _, s := range infos {
			names = append(names, s.ID)
		}
	}
	var failed error
	for _, name := range names {
		failed = errors.Join(failed, a.endSession(ctx, host, name))
	}
	return failed
}

func (a *app) endSession(ctx context.Context, host session.Host, name string) error {
	strays, exhausted, err := session.End(ctx, host.StateDir, name)
	if exhausted != nil {
		host.Log.Warnf("%s: %v", name, exhausted)
	}
	for _, s := range strays {
		host.Log.Info(name + ": " + session.Describe(s))
	}
	return err
}
