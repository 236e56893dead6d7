// Package session runs the commands of people in jails: over a base or a directory of the host, as
// a user of the jail, on a terminal of the jail's own or with the caller's pipes.
//
// Bases are internal/base's, mounts and processes internal/sandbox's, the caller's terminal
// internal/console's; flags and exit statuses are cmd/nsbuild's. What belongs to building packages
// is internal/pkgbuild's.
package session

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"

	"nsbuild/internal/fault"
	"nsbuild/internal/jails"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/strays"
)

// errand is the run of a command, from the opening of its jail to the last of what comes after it.
type errand struct {
	Command
	Streams
	log     logrus.FieldLogger
	chroot  string          // what the jail is called, for prompts
	network sandbox.Network // of the jail
	// throwaway tells whether a user can be added to the jail's without a trace
	throwaway bool

	attention *attention  // who heeds the signals, between the beginning of a run and its end
	early     []os.Signal // that have come before the command began
}

// called is what a jail is called in prompts: as its base, or as the directory.
func called(base, root string) string {
	if base != "" {
		return base
	}
	return filepath.Base(root)
}

// Run runs a command in a jail of its own, and ends all that it left running.
func Run(ctx context.Context, o Options) (sandbox.Status, error) {
	e := &errand{Command: o.Command, Streams: o.Streams, log: o.Log,
		chroot: called(o.Base, o.Root), network: o.Network,
		throwaway: o.Base != "" && !o.ReadOnly}
	o.Whose, o.WhoseGroup = o.User, o.Group
	// The jail ends with the context, and with this process.
	return e.attended(ctx, func() {}, func(ctx context.Context) (sandbox.Status, error) {
		return e.runOver(ctx, &opening{Jail: o.Jail, Host: o.Host, Around: o.Around})
	})
}

// runOver opens the jail, runs the command, and does what comes after it.
func (e *errand) runOver(ctx context.Context, o *opening) (status sandbox.Status, err error) {
	r, err := o.open(ctx)
	if err != nil {
		return status, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	tellNotes(o.Log, r.notes, r.holder.Spared())
	if err := o.Hooks.run(ctx, r, e.Stderr, hookLog{o.Log}); err != nil {
		return status, err
	}
	e.attention.deadline(e.Timeout)
	if status, err = e.runIn(ctx, r.jail); err != nil {
		return status, err
	}
	exhausted, err := r.holder.Exhausted()
	if err != nil {
		return status, err
	}
	e.tellExhausted(exhausted, status)
	if err := o.end(r.jail, o.Log); err != nil || o.Keep == nil {
		return status, err
	}
	if _, err := r.jail.Close(); err != nil {
		return status, err
	}
	return status,
		o.Keep(ctx,
			Left{Base: r.base, Holder: jails.HolderOf(r.holder),
				Lowers: append([]sandbox.Lower{{Jail: r.jail.ID()}}, r.lowers...),
				Caller: r.caller, Status: status})
}

// tellNotes tells what a jail does without, and which limits do not hold as they were asked for.
func tellNotes(log logrus.FieldLogger, notes, spared []string) {
	for _, n := range notes {
		log.Warn(n)
	}
	for _, n := range spared {
		log.WithField(fault.Shown, true).Warn(n)
	}
}

// tellExhausted names what was killed because memory ran out, if anything was.
func (e *errand) tellExhausted(x *sandbox.Exhaustion, status sandbox.Status) {
	if x == nil {
		return
	}
	if len(x.Victims) == 0 && x.Kills == 1 && status.ExitCode() == 128+int(syscall.SIGKILL) {
		x.Victims = []sandbox.Victim{{Command: "the command", Memory: status.MaxRSS}}
	}
	e.log.Error(x)
}

// runIn runs the command in an open jail.
func (e *errand) runIn(ctx context.Context, jail *sandbox.Jail) (sandbox.Status, error) {
	command, err := e.command(ctx, jail)
	if err != nil {
		return sandbox.Status{}, err
	}
	return e.attach(ctx, jail, command)
}

// end deals with what still runs. The kernel ends it with the holder.
func (a *Around) end(jail *sandbox.Jail, log logrus.FieldLogger) error {
	left, err := jail.Strays()
	if err != nil || len(left) == 0 {
		return err
	}
	say := log.Debugf
	if a.Verbose {
		say = log.Infof
	}
	if a.Strays.Shown() {
		say = log.Warnf
	}
	for _, s := range left {
		say("%s", Describe(s))
	}
	if a.Strays == strays.Fail {
		return fault.New(fault.Internal, "--strays=kill ends them without a word",
			"the command left %s running", fault.Count(len(left), "process", "processes"))
	}
	return nil
}

// start starts the command. Signals are for it from now on, unless it does not begin.
func (e *errand) start(jail *sandbox.Jail, c sandbox.Command) (p *sandbox.Process, err error) {
	if e.attention == nil {
		return jail.Start(c)
	}
	defer e.attention.begun()
	e.early = e.attention.leave()
	started := make(chan struct{})
	go func() {
		p, err = jail.Start(c)
		close(started)
	}()
	var late <-chan time.Time
	var asked syscall.Signal
	for {
		select {
		case <-started:
			if err != nil {
				e.attention.heed()
			}
			return p, err
		case s := <-e.Signals:
			e.early = append(e.early, s)
			if sig, ok := s.(syscall.Signal); ok && asksForEnd(s) && asked == 0 {
				asked, late = sig, time.After(grace)
			}
		case <-late:
			e.attention.stop(asked)
		}
	}
}
