package pkgbuild

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"nsbuild/internal/buildroot"
	"nsbuild/internal/console"
	"nsbuild/internal/jails"
	"nsbuild/internal/pump"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/session"
)

// hasTerminal tells whether there is a person to ask.
func (b *builder) hasTerminal() bool {
	return b.o.Terminal != nil && console.IsTerminal(b.o.Terminal)
}

// onTerminal runs a command with a terminal of the jail's, joined to the caller's, as its /dev/tty.
// Where out is given, what the command prints goes there.
func (at *attempt) onTerminal(ctx context.Context, c sandbox.Command, out io.Writer) (
	status sandbox.Status, err error) {
	defer at.env.Progress.Pause()()
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGWINCH, syscall.SIGCONT)
	defer signal.Stop(signals)
	streams := session.Streams{Stdin: at.o.Terminal, Stdout: at.o.Terminal, Signals: signals}
	c.Terminal, c.Stdout, c.Stderr = true, at.o.Terminal, at.o.Terminal
	for _, key := range []string{"TERM", "COLORTERM"} {
		if value := os.Getenv(key); value != "" {
			c.Env = append(c.Env, key+"="+value)
		}
	}
	jail, err := jails.Real(at.root.open)
	if err != nil {
		return status, err
	}
	if out == nil {
		return session.Attach(ctx, jail, c, streams, at.env.Log)
	}
	said, err := pump.Start(out)
	if err != nil {
		return status, err
	}
	c.Stdout, c.Stderr = said.W, said.W
	status, err = session.Attach(ctx, jail, c, streams, at.env.Log)
	return status, errors.Join(err, said.W.Close(), said.Finish())
}

// failureShell opens a shell in the jail that failed. That it cannot is no further failure.
func (at *attempt) failureShell(ctx context.Context) {
	switch {
	case at.root.open == nil:
		at.env.Log.Warnf("--shell-on-failure: no jail is open at stage %s", at.found.stage)
		return
	case !at.hasTerminal():
		at.env.Log.Warn("--shell-on-failure: there is no terminal")
		return
	}
	c := at.hookContext()
	dir := c.SourceDir
	if dir == "" {
		dir = "/"
	}
	text := "the build failed at stage " + at.found.stage +
		": a shell in its jail; it ends with the shell."
	if at.outcome.LogPath != "" {
		text += " Log: " + at.outcome.LogPath
	}
	fmt.Fprintln(at.env.Progress.Writer(), text)
	at.log.Info("A shell was opened in the jail (--shell-on-failure).")
	env := append(buildroot.Env(), "debian_chroot="+at.header.Package, "HOME=/root")
	if status, err := at.onTerminal(ctx,
		sandbox.Command{Argv: []string{"/bin/bash", "-i"}, Env: env,
			Dir: dir}, nil); err != nil {
		at.env.Log.Warnf("--shell-on-failure: %v", err)
	} else {
		at.log.Info("The shell ended: %s", status)
	}
}
