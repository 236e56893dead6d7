package session

import (
	"context"
	"errors"
	"os"
	"syscall"

	"github.com/sirupsen/logrus"

	"nsbuild/internal/console"
	"nsbuild/internal/sandbox"
)

// Attach runs a command in an open jail and passes signals on to it. The caller's terminal is never
// handed in: who has it open can read its keys and change its mode. Streams that are one become a
// terminal of the jail's.
//
// A command with a Terminal is joined to Stdin and Stdout. One of whose streams only some are the
// terminal writes to it at once; the keys it gets when it asks for them: they may be for another
// program of the same pipeline, such as a pager.
func Attach(ctx context.Context, jail *sandbox.Jail, c sandbox.Command, s Streams,
	log logrus.FieldLogger) (sandbox.Status, error) {
	return (&errand{Streams: s, log: log}).attach(ctx, jail, c)
}

func (e *errand) attach(ctx context.Context, jail *sandbox.Jail, c sandbox.Command) (
	sandbox.Status, error) {
	w := waiter{e: e}
	screen := screenOf(&c)
	switch {
	case c.Terminal:
		screen = e.Stdin
	case console.IsTerminal(c.Stdin):
		c.Terminal = true
		if c.Background = !c.PID1; c.Background {
			w.keys = c.Stdin
		}
	case screen == nil:
		return w.run(ctx, jail, c)
	}
	term, err := jail.NewTerminal(c.UID)
	if err != nil {
		return sandbox.Status{}, err
	}
	defer term.Close()
	// Before the command starts: a program asks for the window's size first of all.
	if c.Terminal && !c.Background {
		w.console, err = console.Join(e.Stdin, shownOn(e.Stdout, screen), term)
	} else {
		w.console, err = console.Watch(screen, term)
	}
	if err != nil {
		return sandbox.Status{}, errors.Join(err, term.CloseSlave())
	}
	if c.Terminal {
		c.Stdin = term.Slave()
	}
	for _, stream := range []**os.File{&c.Stdout, &c.Stderr} {
		if console.IsTerminal(*stream) {
			*stream = term.Slave()
		}
	}
	w.p, err = e.start(jail, c)
	if err = errors.Join(err, term.CloseSlave()); err != nil {
		return sandbox.Status{}, errors.Join(err, w.console.Close())
	}
	status, err := w.wait(ctx)
	return status, errors.Join(err, w.console.Close())
}

// run runs a command that has no terminal.
func (w *waiter) run(
	ctx context.Context, jail *sandbox.Jail, c sandbox.Command,
) (sandbox.Status, error) {
	var err error
	if w.p, err = w.e.start(jail, c); err != nil {
		return sandbox.Status{}, err
	}
	return w.wait(ctx)
}

// screenOf is the terminal among a command's streams, that where it is read last.
func screenOf(c *sandbox.Command) *os.File {
	for _, f := range []*os.File{c.Stdout, c.Stderr, c.Stdin} {
		if console.IsTerminal(f) {
			return f
		}
	}
	return nil
}

// shownOn is where a joined terminal is shown: standard output may lead elsewhere.
func shownOn(stdout, screen *os.File) *os.File {
	if console.IsTerminal(stdout) {
		return stdout
	}
	return screen
}

// paused is called when the command has stopped: as its user wants, as we do, or, as long as it has
// no keys, because it wants them.
func (w *waiter) paused() error {
	switch {
	case w.pausing:
		w.pausing = false
		return nil
	case w.keys == nil:
		return w.stopSelf()
	}
	err := w.console.Take(w.keys)
	if err != nil {
		return err
	}
	w.keys = nil
	w.send(syscall.SIGCONT)
	return nil
}
