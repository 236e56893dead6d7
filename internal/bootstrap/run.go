package bootstrap

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"nsbuild/internal/jails"
	"nsbuild/internal/pump"
	"nsbuild/internal/sandbox"
)

// tailLines is how much of a failed command's output an error repeats.
const tailLines = 20

// tailWriter copies a command's output to the log and remembers its end.
type tailWriter struct {
	out   io.Writer
	lines []string
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
		case err == io.EOF:
			return nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
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
func (j *job) start(jail jails.Jail, c sandbox.Command) (*running, error) {
	tail := &tailWriter{out: j.o.Log}
	said, err := pump.StartFunc(tail.copy)
	if err != nil {
		return nil, err
	}
	c.Stdout, c.Stderr = said.W, said.W
	p, err := jail.Start(c)
	if err = errors.Join(err, said.W.Close()); err != nil {
		return nil, errors.Join(err, said.Finish())
	}
	return &running{p, said, tail}, nil
}

type running struct {
	p    jails.Process
	said *pump.Pump
	tail *tailWriter
}

func (r *running) finish(ctx context.Context, what string) error {
	status, err := r.p.Wait(ctx)
	if err = errors.Join(err, r.said.Finish()); err != nil {
		return fmt.Errorf("%s in the jail: %w", what, err)
	}
	if !status.Success() {
		return fmt.Errorf("%s in the jail: %s%s", what, status, r.tail.last())
	}
	return nil
}

// command runs a command as jail root.
func (j *job) command(ctx context.Context, jail jails.Jail, argv ...string) error {
	what := strings.Join(argv, " ")
	r, err := j.start(jail, sandbox.Command{Argv: argv, Env: j.scriptEnv()})
	if err != nil {
		return fmt.Errorf("%s in the jail: %w", what, err)
	}
	return r.finish(ctx, what)
}
