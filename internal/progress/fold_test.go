package progress

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type marks struct{}

func (marks) Begin(id int, name string) string { return fmt.Sprintf("<%d %s\n", id, name) }
func (marks) End(id int) string                { return fmt.Sprintf("%d>\n", id) }

// TestFolds: the log of a phase is folded, and nothing else.
func TestFolds(t *testing.T) {
	var out strings.Builder
	p := newProgress(&out, Options{Folds: marks{}}, nil)
	log, other := p.LogWriter(), p.Writer()
	fmt.Fprintln(log, "before")
	deps := p.Phase("deps")
	inner := p.Phase("download")
	fmt.Fprint(log, "a\nb")
	fmt.Fprint(log, "c\n")
	inner.Done(nil)
	fmt.Fprintln(log, "d")
	fmt.Fprintln(other, "a warning")
	fmt.Fprintln(log, "e")
	deps.Done(nil)
	build := p.Phase("build")
	fmt.Fprint(log, "f\nunfinished")
	build.Done(errors.New("no"))
	again := p.Phase("again")
	fmt.Fprint(log, "\n")
	view, done := p.Task("task")
	fmt.Fprintln(view.LogWriter(), "of a task")
	done("", nil)
	fmt.Fprint(log, "last")
	_ = again // Close ends it
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(out.String()) {
		word, _, _ := strings.Cut(line, "  ")
		got = append(got, strings.TrimSpace(word))
	}
	want := strings.Split("before|<1 deps|a|bc|1>|download|<2 deps|d|2>|a warning|<3 deps|e|3>|deps|"+
		"<4 build|f|4>|build|<5 again|unfinished|5>|task: of a task|task|last|again", "|")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
