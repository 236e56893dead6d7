package result

import (
	"bytes"
	"encoding/json"
	"io"
	"sync"
	"time"

	"nsbuild/internal/rawjson"
)

// EventSchema is the number of the format of events.
const EventSchema = 1

// Kinds of events.
const (
	EventPhaseBegun = "phase-begun"
	EventProgress   = "progress" // something was counted
	EventPhaseEnded = "phase-ended"
	EventMessage    = "message"  // what a person would be told
	EventArtefact   = "artefact" // a file that a build has left
	EventKept       = "kept"     // what a build wrote is kept
	EventResult     = "result"   // how a build ended
)

// Event is one line of --json. Fields that say nothing about a kind of event are absent.
type Event struct {
	Schema int       `json:"schema"`
	Time   time.Time `json:"time"`
	Event  string    `json:"event"`
	Task   string    `json:"task,omitempty"` // of several sources that are built at once, which

	Phase   string  `json:"phase,omitempty"`
	Outcome string  `json:"outcome,omitempty"` // of an ended phase: "done", "failed", "stopped"
	Seconds float64 `json:"seconds,omitempty"` // since the phase began
	Done    int64   `json:"done,omitempty"`    // counted so far
	Total   int64   `json:"total,omitempty"`   // absent while it is not known
	Unit    string  `json:"unit,omitempty"`    // of done and total: "bytes", "packages" …
	Note    string  `json:"note,omitempty"`    // what the phase is busy with

	Level   string `json:"level,omitempty"` // of a message: "debug", "info", "warning", "error"
	Message string `json:"message,omitempty"`
	Hint    string `json:"hint,omitempty"` // what to do about an error

	Artefact *Artefact `json:"artefact,omitempty"`
	Result   *Result   `json:"result,omitempty"`
	Kept     string    `json:"kept,omitempty"`  // the ID that nsbuild kept lists
	Check    string    `json:"check,omitempty"` // whose jail is kept; absent: it is the build

	// Escaped is that of Result, for the event's own texts.
	Escaped []string `json:"escaped,omitempty"`
}

// Events writes events, a line each. It may be used concurrently.
type Events struct {
	mu  sync.Mutex
	out io.Writer
	err error
}

// NewEvents writes to w.
func NewEvents(w io.Writer) *Events {
	return &Events{out: w}
}

// Write writes an event; its schema is set, and its time unless it has one.
func (e *Events) Write(ev Event) {
	ev.Schema = EventSchema
	if ev.Time.IsZero() {
		ev.Time = time.Now()
	}
	ev.Time = ev.Time.UTC()
	if ev.Result != nil {
		ev.Result = ev.Result.legible()
	}
	ev, ev.Escaped = rawjson.Legible(ev)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err == nil {
		e.err = writeLine(e.out, ev)
	}
}

// writeLine writes an event. Two hashes in a text, which a build service could take for the
// beginning of a command to itself, are written as JSON allows, too.
func writeLine(w io.Writer, ev Event) error {
	var line bytes.Buffer
	enc := json.NewEncoder(&line)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(ev); err != nil {
		return err
	}
	_, err := w.Write(bytes.ReplaceAll(line.Bytes(), []byte("##"), []byte(`\u0023\u0023`)))
	return err
}

// Err is the first error of writing: a reader that is gone does not end the work, but the work then
// has failed.
func (e *Events) Err() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.err
}
