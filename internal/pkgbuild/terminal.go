package pkgbuild

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"nsbuild/internal/bootstrap"
	"nsbuild/internal/buildlog"
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

// failureShell opens a shell in the jail that failed, after what has failed and how to repeat it.
// That it cannot is no further failure.
func (at *attempt) failureShell(ctx context.Context, failed error) {
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
	out := at.env.Progress.Writer()
	fmt.Fprintf(out, "nsbuild: %s\n", buildlog.VisibleString(failed.Error()))
	for _, cause := range at.causes()[:min(1, len(at.causes()))] {
		fmt.Fprintf(out, "%s: %s (line %d)\n", cause.Label(),
			buildlog.VisibleString(cause.Text), cause.Line.Number)
	}
	if at.outcome.LogPath != "" {
		fmt.Fprintf(out, "log: %s\n", at.outcome.LogPath)
	}
	if at.found.stage == buildlog.StageBuild {
		fmt.Fprintf(out, "to repeat it as the builder: %s\n", at.repetition())
	}
	fmt.Fprintf(out, "the build failed at stage %s: a root shell in its jail, which ends with it\n",
		at.found.stage)
	at.log.Info("A shell was opened in the jail (--shell-on-failure).")
	env := append(buildroot.Env(), "debian_chroot="+at.header.Package, "HOME=/root")
	for _, v := range at.worker().Command("").Env { // what repetition leaves out
		if strings.HasPrefix(v, "DEB_") || strings.HasPrefix(v, "CONFIG_SITE=") ||
			slices.Contains(at.hookEnv, v) {
			env = append(env, v)
		}
	}
	if status, err := at.onTerminal(ctx,
		sandbox.Command{Argv: []string{"/bin/bash", "-i"}, Env: env,
			Dir: dir}, nil); err != nil {
		at.env.Log.Warnf("--shell-on-failure: %v", err)
	} else {
		at.log.Info("The shell ended: %s", status)
	}
}

// repetition is the command of the build as the root of its jail types it, in the environment that
// a shell of failureShell has.
func (at *attempt) repetition() string {
	words := []string{"HOME=/nonexistent", "runuser", "-u", bootstrap.BuilderName, "--"}
	for _, w := range at.command() {
		if w == "" || strings.ContainsAny(w, " \t\n'\"\\$`&|;<>()*?[]#~!{}") {
			w = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		words = append(words, w)
	}
	return strings.Join(words, " ")
}
