package sandbox

import (
	"cmp"
	"context"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"nsbuild/internal/testenv"
)

// TestTraces holds what is told of a jail: tries to reach other machines, and what was written.
func TestTraces(t *testing.T) {
	testenv.RequireUserns(t)
	testenv.RequireTool(t, "bash")
	h := startHolder(t)
	j := hostJail(t, h)
	if out, st := sh(t, j, `mkdir -p /srv/kept /srv/skipped && echo x >/srv/kept/a &&
		echo x >/srv/skipped/b
		for i in 1 2 3; do bash -c 'echo x >/dev/tcp/192.0.2.1/80'; done
		for i in 1 2; do bash -c 'echo x >/dev/udp/127.0.0.1/53'; done; :`); !st.Success() {
		t.Fatal(out, st)
	}
	got, err := h.Traces(context.Background(), j.ID(), []string{"srv/skipped"})
	if err != nil {
		t.Fatal(err)
	}
	if !got.Counted || got.Unreachable != 3 || got.Unanswered < 1 || got.Plain || got.More != 0 {
		t.Errorf("%+v", got)
	}
	files := slices.DeleteFunc(slices.Clone(got.Written), func(w Written) bool {
		return w.Path != "/srv/kept/a"
	})
	if len(files) != 1 {
		t.Errorf("%+v", got.Written)
	}
	if slices.Contains(got.Written, Written{Path: "/srv/skipped/b"}) {
		t.Errorf("told of what was to be left out: %+v", got.Written)
	}
	if _, err := j.Close(); err != nil {
		t.Fatal(err)
	}
	after, err := h.Traces(context.Background(), j.ID(), []string{"srv/skipped"})
	byPath := func(a, b Written) int { return cmp.Compare(a.Path, b.Path) }
	slices.SortFunc(got.Written, byPath)
	slices.SortFunc(after.Written, byPath)
	if diff := gocmp.Diff(got.Written, after.Written); err != nil || diff != "" || after.Counted {
		t.Errorf("of a closed jail: %v, %+v\n%s", err, after, diff)
	}
	if _, err := h.Traces(context.Background(), 99, nil); err == nil {
		t.Error("a jail that there is not")
	}
}
