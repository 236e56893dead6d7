package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strings"

	"github.com/sirupsen/logrus"

	"nsbuild/internal/base"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/compat/schroot"
	"nsbuild/internal/fault"
	"nsbuild/internal/pkgbuild"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/session"
	"nsbuild/internal/strays"
)

// schrootCall is one call under schroot's name. The chroots are the bases; sessions are sessions.
type schrootCall struct {
	*schroot.Call
	a       *app
	environ []string // the caller's
	env     *pkgbuild.Env
}

// runSchroot is run for schroot's command line. Whatever fails has status 1, as there; what is said
// begins with "E: ".
func runSchroot(args []string, stdout, stderr *os.File) int {
	ctx, release, stop := withSignals(context.Background(), func(err error) int {
		fmt.Fprintf(stderr, "E: %v\n", err)
		return 1
	})
	defer stop()
	s := &schrootCall{environ: os.Environ(),
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

func (s *schrootCall) run(ctx context.Context, args []string) (err error) {
	s.Call, err = schroot.Parse(args)
	s.a.quiet, s.a.verbose = s.Quiet, s.Verbose
	if err != nil {
		return err
	}
	switch s.Action {
	case schroot.Help:
		fmt.Fprint(s.a.stdout, s.Usage())
		return nil
	case schroot.Version:
		fmt.Fprintf(s.a.stdout, "schroot (nsbuild %s)\n", release())
		return nil
	}
	if s.env, err = s.a.openLocal(ctx); err != nil {
		return err
	}
	known, err := s.known(ctx)
	if err != nil {
		return err
	}
	chosen, err := s.Choose(known)
	if err != nil {
		return err
	}
	switch s.Action {
	case schroot.List, schroot.Info, schroot.Config, schroot.Location:
		return s.describe(chosen)
	case schroot.Begin:
		if len(chosen) != 1 {
			return fault.New(fault.Usage, schroot.HelpHint,
				"Exactly one chroot must be specified when beginning a session")
		}
		return s.begin(ctx, chosen[0])
	case schroot.Recover: // a session that is there is in order
		return nil
	case schroot.End:
		for _, c := range chosen {
			if err := s.a.endSession(ctx, s.quietly(), c.Name); err != nil {
				return fmt.Errorf("%s: %w", c.Name, err)
			}
		}
		return nil
	}
	var last error
	for _, c := range chosen {
		if err := s.runOne(ctx, c); err != nil {
			last = err
			if !errors.As(err, new(commandStatus)) {
				return err
			}
		}
	}
	return last
}

// describe prints what programs read.
func (s *schrootCall) describe(chosen []schroot.Chroot) error {
	owner := ""
	if s.Action == schroot.Config {
		me, err := user.Current()
		if err != nil {
			return err
		}
		owner = me.Username
	}
	_, err := fmt.Fprint(s.a.stdout, schroot.Describe(s.Action, chosen, owner))
	return err
}

// known are the chroots that there are.
func (s *schrootCall) known(ctx context.Context) ([]schroot.Chroot, error) {
	names, err := s.env.Store.Names()
	if err != nil {
		return nil, err
	}
	var bases []schroot.Base
	for _, name := range names {
		g, err := s.env.Store.Look(name)
		if errors.Is(err, base.ErrNone) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, err
		}
		bases = append(bases, schroot.Base{Name: name, Arch: g.Manifest.Arch,
			Suite: g.Manifest.Suite})
		if err := g.Close(); err != nil {
			return nil, err
		}
	}
	sessions, err := session.List(ctx, s.env.StateDir, s.env.Log)
	return schroot.Known(bases, sessions), err
}

// quietly is the host of what schroot does without a word.
func (s *schrootCall) quietly() session.Host {
	h := session.Host{StateDir: s.env.StateDir, Log: s.env.Log}
	if !s.a.verbose {
		log := s.a.logger(s.env.Progress)
		log.SetLevel(logrus.PanicLevel)
		h.Log = log
	}
	return h
}

func (s *schrootCall) begin(ctx context.Context, c schroot.Chroot) error {
	switch c.Namespace {
	case "session":
		return fault.New(fault.Usage, "", "%s: a session is begun already", c.Name)
	case "source":
		return fault.New(fault.Usage, "“nsbuild shell --save "+c.Base+"”, or “nsbuild update”",
			"%s: a session would throw away what is done in a source chroot", c)
	}
	jail, err := schroot.Jail(c)
	if err != nil {
		return err
	}
	id, err := session.Begin(ctx, session.Spec{Name: s.SessionName, Jail: jail,
		StateDir: s.env.StateDir}, s.a.stderr, s.env.Log)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.a.stdout, id)
	return err
}

// runOne runs the command, or a shell, in a base or in a session.
func (s *schrootCall) runOne(ctx context.Context, c schroot.Chroot) error {
	inSession := s.InSession()
	if c.Namespace == "session" && !inSession {
		return fault.New(fault.Internal, "--run-session runs a command in a session",
			"%s: Chroot not found", c)
	}
	var o runOptions
	if !inSession {
		var err error
		if o.Jail, err = schroot.Jail(c); err != nil {
			return err
		}
	}
	o.StateDir, o.Log, o.Store, o.Fallback, o.Strays = s.env.StateDir, s.env.Log, s.env.Store,
		s.env.Work.Path(), strays.Kill
	command, err := s.CommandIn(c, s.environ)
	if err != nil {
		return err
	}
	o.Command = command
	if c.Namespace == "source" {
		o.Keep = func(ctx context.Context, left session.Left) error {
			saved, err := s.env.Bases().Save(ctx, left.Holder, left.Base, left.Lowers,
				left.Caller)
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
			return session.RunIn(ctx, o.Host, c.Name, o.Command, o.Streams)
		}
		return session.Run(ctx, o.Options)
	})
	if err := schroot.Ended(status, err); err != nil {
		return err
	}
	if status.Code != 0 {
		return commandStatus(status.Code)
	}
	return nil
}
