package pkgbuild

import (
	"context"
	"errors"
	"fmt"
	"time"

	"nsbuild/internal/buildroot"
	"nsbuild/internal/fault"
	"nsbuild/internal/jails"
	"nsbuild/internal/proctree"
	"nsbuild/internal/sandbox"
)

// timeLimit is the error of a build that has reached a limit in time.
type timeLimit struct{ text string }

func (l *timeLimit) Error() string { return l.text }

// watched looks at the limits in time that closely.
const watched = time.Second

// within runs a stage within the build's limits in time. The one of silence is for stages that run
// what the source says: others wait for mirrors, or for a person.
func (at *attempt) within(ctx context.Context, s stage) error {
	silence := at.o.Silence
	if !s.foreign && !s.after {
		silence = 0
	}
	if at.o.Timeout == 0 && silence == 0 {
		return s.run(at, ctx)
	}
	inner, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	begun := at.root.open // the stage may open another
	open := func() jails.Jail { return begun }
	if s.after {
		open = at.bench().Open
	}
	ended := make(chan error, 1)
	go func() { ended <- s.run(at, inner) }()
	began := time.Now()
	tick := time.NewTicker(watched)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-tick.C:
		}
		var limit *timeLimit
		quiet := time.Since(at.log.LastWrite())
		switch {
		case at.o.Timeout > 0 && time.Since(at.header.Start) >= at.o.Timeout:
			limit = &timeLimit{fmt.Sprintf("the build has taken longer than --timeout %v",
				at.o.Timeout)}
		case silence > 0 && quiet >= silence && time.Since(began) >= silence:
			limit = &timeLimit{fmt.Sprintf("the build has written nothing to its log for --silence %v",
				silence)}
		default:
			continue
		}
		at.tellProcesses(ctx, open(), limit)
		cancel(limit)
		err := <-ended
		if err == nil || errors.Is(err, limit) { // it may have ended by itself meanwhile
			err = limit
		}
		return fault.Wrap(fault.Attempted, "a longer --timeout or --silence, or 0 for none",
			fmt.Errorf("%w", err))
	}
}

// tellProcesses writes what is running to the log.
func (at *attempt) tellProcesses(ctx context.Context, jail jails.Jail, limit *timeLimit) {
	at.log.Subsection("Limit in time")
	at.log.Error("%v", limit)
	if jail == nil {
		at.log.Printf("No jail is open: what is running is not told.")
		return
	}
	const patience = 10 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	at.log.Printf("What is running:")
	out := at.log.Stream()
	defer out.Flush()
	status, err := jail.RunTo(ctx, sandbox.Command{Applet: proctree.Applet, Env: buildroot.Env()},
		out, out)
	if err == nil && !status.Success() {
		err = errors.New(status.String())
	}
	if err != nil {
		at.log.Warning("what is running cannot be told: %v", err)
	}
}
