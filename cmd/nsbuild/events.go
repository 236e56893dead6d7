package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/sirupsen/logrus"
	"github.com/spf13/pflag"

	"nsbuild/internal/annotate"
	"nsbuild/internal/fault"
	"nsbuild/internal/pkgbuild"
	"nsbuild/internal/progress"
	"nsbuild/internal/result"
)

// addJSON adds the flag of verbs that can tell a program what happens.
func (a *app) addJSON(f *pflag.FlagSet) {
	f.BoolVar(&a.json, "json", false, "write what happens to standard output, for programs: a "+
		"JSON object a line (docs/events.schema.json)")
}

// openEvents begins to write events.
func (a *app) openEvents() *result.Events {
	if a.json && a.events == nil {
		a.events = result.NewEvents(a.stdout)
	}
	return a.events
}

// newProgress shows progress to a person, or tells a program.
func (a *app) newProgress() *progress.Progress {
	events := a.openEvents()
	if events == nil {
		o := progress.Options{Quiet: a.quiet}
		if a.service != annotate.None && a.service != "" {
			o.Folds = a.service
		}
		return progress.New(a.stderr, o)
	}
	return progress.New(io.Discard, progress.Options{Quiet: true, Events: func(e progress.Event) {
		line := result.Event{Event: e.Kind, Task: e.Task, Phase: e.Phase, Outcome: e.Outcome,
			Seconds: e.Elapsed.Seconds(), Done: e.Done, Total: e.Total, Note: e.Note}
		if e.Done != 0 || e.Total != 0 {
			line.Unit = e.Unit
		}
		if e.Kind == result.EventPhaseBegun {
			line.Seconds = 0
		}
		events.Write(line)
	}})
}

// messages makes log lines events.
type messages struct {
	events *result.Events
	quiet  bool
}

func (messages) Levels() []logrus.Level { return logrus.AllLevels }

func (m messages) Fire(e *logrus.Entry) error {
	if m.quiet && silenced(e) {
		return nil
	}
	m.events.Write(result.Event{Event: result.EventMessage, Time: e.Time, Level: e.Level.String(),
		Message: e.Message})
	return nil
}

// tellJSON is tell for programs.
func (a *app) tellJSON(o *pkgbuild.Outcome) {
	for i := range o.Result.Artefacts {
		a.events.Write(result.Event{Event: result.EventArtefact, Artefact: &o.Result.Artefacts[i]})
	}
	a.events.Write(result.Event{Event: result.EventResult, Result: o.Result})
}

// errorJSON is printError for programs; task is which of several sources it is about.
func (a *app) errorJSON(task string, err error) {
	a.events.Write(result.Event{Event: result.EventMessage, Task: task, Level: "error",
		Message: strings.TrimRight(err.Error(), "\n"), Hint: fault.HintOf(err)})
}

// closeEvents tells whether all events were written.
func (a *app) closeEvents() error {
	if a.events == nil || a.events.Err() == nil {
		return nil
	}
	return fmt.Errorf("writing events: %w", a.events.Err())
}
