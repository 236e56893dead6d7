package pkgbuild

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nsbuild/internal/fakejail"
	"nsbuild/internal/result"
	"nsbuild/internal/sandbox"
)

// TestTried holds what is told of a build that would have used the network, and wrote elsewhere.
func TestTried(t *testing.T) {
	w := newWorld(t)
	spec := w.source(crane())
	w.prepare = func(h *fakejail.Holder) {
		h.Traced = sandbox.Traces{Counted: true, Unreachable: 5, Unanswered: 1, More: 2,
			Written: []sandbox.Written{{Path: "/var/tmp/b\nE: no"},
				{Path: "/etc/a", Deleted: true}}}
	}
	for _, fails := range []bool{false, true} {
		if fails {
			w.replace("dpkg-buildpackage", fakejail.Prints("make: *** Error 1\n", 2))
		}
		b := w.build(spec)
		if (b.err != nil) != fails {
			t.Fatal(b.err)
		}
		want := []result.Tried{{Stage: "build", Unreachable: 5, Unanswered: 1, WrittenMore: 2,
			Written: []result.Written{{Path: "/etc/a", Deleted: true}, {Path: "/var/tmp/b\nE: no"}}}}
		if diff := cmp.Diff(want, b.result.Tried); diff != "" {
			t.Error(diff)
		}
		for _, line := range []string{"5 attempts to reach another machine: there is no network.",
			"1 datagram where nobody answers, such as questions for the address of a name.",
			"4 files were written outside of the build directory and /tmp:",
			"  /etc/a (deleted)", `  /var/tmp/b\nE: no`, "Network-Attempts: 6"} {
			if !strings.Contains(b.log, line+"\n") {
				t.Errorf("the log has no %q\n%s", line, b.log)
			}
		}
	}
}

func TestTriedNothing(t *testing.T) {
	w := newWorld(t)
	spec := w.source(crane())
	if b := w.must(spec); b.result.Tried != nil || strings.Contains(b.log, "What the build tried") {
		t.Errorf("%+v\n%s", b.result.Tried, b.log)
	}
	w.prepare = func(h *fakejail.Holder) {
		for i := range shownTraces + 3 {
			h.Traced.Written = append(h.Traced.Written,
				sandbox.Written{Path: fmt.Sprintf("/opt/%02d", i)})
		}
	}
	if b := w.must(spec); !strings.Contains(b.log, "  /opt/19\n  and 3 more\n") {
		t.Error(b.log)
	}
	w.fail = func(c fakejail.Call) error {
		if c.Op == "Traces" {
			return errors.New("no /proc")
		}
		return nil
	}
	if b := w.must(spec); !strings.Contains(b.log,
		"W: what the build tried cannot be told: no /proc") {
		t.Error(b.log)
	}
}
