package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// Outcome is how a run of nsbuild ended.
type Outcome struct {
	Status         int
	Stdout, Stderr string
}

func (o Outcome) String() string {
	return fmt.Sprintf("status %d\nstdout: %s\nstderr: %s", o.Status, o.Stdout, o.Stderr)
}

// Refusal is what a user is to be told.
type Refusal struct {
	Status int
	Says   []string // in the line "nsbuild: …"
	Hint   string   // in the line "hint: …"
}

// Check compares what the user was told with what was to be told.
func (r Refusal) Check(t *testing.T, o Outcome) {
	t.Helper()
	if o.Status != r.Status {
		t.Errorf("exit status %d, want %d", o.Status, r.Status)
	}
	told, hint := Told(o.Stderr)
	for _, s := range r.Says {
		if !strings.Contains(told, s) {
			t.Errorf("the message lacks %q", s)
		}
	}
	if !strings.Contains(hint, r.Hint) || r.Hint == "" && hint != "" {
		t.Errorf("the hint is %q, want %q", hint, r.Hint)
	}
	if t.Failed() {
		t.Log(o)
	}
}

// Told takes the message and the hint out of the standard error.
func Told(stderr string) (message, hint string) {
	if i := strings.LastIndex("\n"+stderr, "\nhint: "); i >= 0 {
		stderr, hint = stderr[:i], strings.TrimPrefix(stderr[i:], "hint: ")
	}
	if i := strings.LastIndex("\n"+stderr, "\nnsbuild: "); i >= 0 {
		message = stderr[i:]
	}
	return message, strings.TrimSpace(hint)
}
