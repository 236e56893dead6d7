package bootstrap

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"nsbuild/internal/sandbox"
)

// tailLines is how much of a failed command's output an error repeats.
const tailLines = 20

// strayGrace is how long the rest of the output of a command that has ended is waited for.
const strayGrace = 500 * time.Millisecond

// tailWriter copies a command's output to the log and remembers its end.
type tailWriter struct {
	out   io.Writer
	r     *os.File
	lines []string
	done  chan error
}

// pipe returns the end that a command writes to. The caller closes it once the command has its
// copy, and then calls wait.
func (t *tailWriter) pipe() (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	t.r, t.done = r, make(chan error, 1)
	go func() { t.done <- t.copy(r) }()
	return w, nil
}

func (t *tailWriter) copy(r io.Reader) error {
	br := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := br.ReadSlice('\n')
		if len(line) > 0 {
			if _, werr := t.out.Write(line); werr != nil {
				return fmt.Errorf("writing the log: %w", werr)
			}
			t.lines = append(t.lines, strings.TrimRight(string(line), "\n"))
			if len(t.lines) > tailLines {
				t.lines = t.lines[1:]
			}
		}
		switch {
		case err == io.EOF || errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
}

// wait waits until the command's output is read. A process that it left behind may hold the pipe
// for ever; what that one says is not waited for.
func (t *tailWriter) wait() error {
	err := t.r.SetReadDeadline(time.Now().Add(strayGrace))
	return errors.Join(err, <-t.done, t.r.Close())
}

// last is the remembered end as the tail of an error message.
func (t *tailWriter) last() string {
	if len(t.lines) == 0 {
		return ""
	}
	return "; its last lines:\n  " + strings.Join(t.lines, "\n  ")
}

// start starts a command whose output goes to the log. finish waits for it and makes its failure an
// error named after what.
func (j *job) start(jail *sandbox.Jail, c sandbox.Command) (*running, error) {
	tail := &tailWriter{out: j.o.Log}
	w, err := tail.pipe()
	if err != nil {
		return nil, err
	}
	c.Stdout, c.Stderr = w, w
	p, err := jail.Start(c)
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, errors.Join(err, tail.wait())
	}
	return &running{p, tail}, nil
}

type running struct {
	p    *sandbox.Process
	tail *tailWriter
}

func (r *running) finish(ctx context.Context, what string) error {
	status, err := r.p.Wait(ctx)
	if err = errors.Join(err, r.tail.wait()); err != nil {
		return fmt.Errorf("%s in the jail: %w", what, err)
	}
	if !status.Success() {
		return fmt.Errorf("%s in the jail: %s%s", what, status, r.tail.last())
	}
	return nil
}

// command runs a command as jail root.
func (j *job) command(ctx context.Context, jail *sandbox.Jail, argv ...string) error {
	what := strings.Join(argv, " ")
	r, err := j.start(jail, sandbox.Command{Argv: argv, Env: j.scriptEnv()})
	if err != nil {
		return fmt.Errorf("%s in the jail: %w", what, err)
	}
	return r.finish(ctx, what)
}
