package kept

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"nsbuild/internal/e2e"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/testenv"
)

// broken is a source whose build writes something in each place, and fails.
func broken(t *testing.T, w *e2e.World) string {
	t.Helper()
	return w.WriteSource(t, fakedebian.Source{Name: "broken", Version: "1.0",
		Packages: []fakedebian.Package{{Name: "broken", Architecture: "any"}},
		Rules: e2e.BadRules("\techo made > made; rm -rf debian/source; " +
			"echo hi > /tmp/left; exit 7\n")})
}

// id is the ID that the last line of a failure has.
func id(t *testing.T, o e2e.Outcome) string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^kept as (\S+): `).FindStringSubmatch(o.Stderr)
	if m == nil {
		t.Fatalf("nothing was kept: %s", o)
	}
	return m[1]
}

// listed are the IDs of what is kept, the newest first.
func listed(t *testing.T, w *e2e.World) (ids []string) {
	t.Helper()
	var list struct {
		Kept []struct {
			ID, Source, Version, Distribution, Stage, Why string
			Bytes                                         int64
		}
	}
	e2e.Check(t, json.Unmarshal([]byte(w.Must(t, "kept", "--json").Stdout), &list))
	for _, k := range list.Kept {
		if k.Source != "broken" || k.Version != "1.0" || k.Distribution != "bookworm" ||
			k.Stage != "build" || !strings.Contains(k.Why, "Error 7") || k.Bytes == 0 {
			t.Errorf("%+v", k)
		}
		ids = append(ids, k.ID)
	}
	return ids
}

// TestKeep keeps what a failed build has written, wherever it wrote that, with what is known of it;
// and forgets it.
func TestKeep(t *testing.T) {
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	dsc := broken(t, w)
	var kept []string
	for _, scratch := range []string{"tmpfs", "disk", "copy"} {
		o := w.Run(t, "build", "-q", "-d", "bookworm", "--scratch", scratch, dsc)
		if o.Status != 2 {
			t.Fatal(o)
		}
		one := id(t, o)
		lines := strings.Split(strings.TrimSpace(o.Stderr), "\n")
		e2e.WantIn(t, "the end", strings.Join(lines[len(lines)-2:], "\n"),
			`\Ansbuild: Build failure`, `^kept as `+one+`: nsbuild .*`+one)
		dir := filepath.Join(w.State, "kept", one)
		e2e.WantIn(t, "the log", e2e.Read(t, filepath.Join(dir, "log")), `^Status: attempted$`)
		e2e.WantIn(t, "the result", e2e.Read(t, filepath.Join(dir, "result.json")), `"attempted"`)
		e2e.WantIn(t, "the plan", e2e.Read(t, filepath.Join(dir, "plan.json")), `"broken_1.0.dsc"`)
		made := filepath.Join(dir, "tree", "0", "build", "reproducible-path", "broken-1.0", "made")
		if text := e2e.Read(t, made); text != "made\n" {
			t.Errorf("%s: %q", scratch, text)
		}
		kept = append([]string{one}, kept...)
	}
	if got := listed(t, w); strings.Join(got, " ") != strings.Join(kept, " ") {
		t.Errorf("%q; want %q", got, kept)
	}
	w.NoScratch(t)

	o := w.Run(t, "remove", "bookworm")
	if o.Status != 1 {
		t.Errorf("the base was removed that builds lie on: %s", o)
	}
	e2e.WantIn(t, "the error", o.Stderr, "3 kept builds lie on base bookworm", "hint: nsbuild forget")
	w.Must(t, "forget", kept[0], kept[1][:len(kept[1])-1])
	if got := listed(t, w); len(got) != 1 || got[0] != kept[2] {
		t.Errorf("%q are left", got)
	}
	for text, want := range map[string]string{
		kept[2] + "0": "did you mean " + kept[2], "nothing": "nsbuild kept lists them"} {
		o := w.Run(t, "forget", text)
		if o.Status != 64 {
			t.Error(o)
		}
		e2e.WantIn(t, "the error", o.Stderr, regexp.QuoteMeta(want))
	}
	w.Must(t, "forget", "--older-than", "1h")
	if got := listed(t, w); len(got) != 1 {
		t.Errorf("%q are left", got)
	}
	w.Must(t, "forget", "--all")
	if left, err := os.ReadDir(filepath.Join(w.State, "kept")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestKeepBounds keeps no more than it may, and nothing where that is not wanted.
func TestKeepBounds(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	dsc := broken(t, w)
	for _, c := range []struct {
		args []string
		says string
		left int
	}{
		{args: []string{"--keep", "never"}},
		{args: []string{"-q", "--keep-size", "1K"}, says: "what the build wrote is not kept: it takes"},
		{left: 1}, {left: 2}, {args: []string{"--keep-count", "2"}, left: 2},
		{args: []string{"--keep", "always", "--keep-count", "1"}, left: 1},
	} {
		o := w.Run(t, append([]string{"build", "-d", "bookworm", dsc}, c.args...)...)
		if o.Status != 2 {
			t.Errorf("%v: %s", c.args, o)
		}
		e2e.WantIn(t, "what is said", o.Stderr, c.says)
		if got := listed(t, w); len(got) != c.left || c.left > 0 && got[0] != id(t, o) {
			t.Errorf("%v: %q are left", c.args, got)
		}
	}
	for _, bad := range [][]string{{"--keep", "sometimes"}, {"--keep-count", "0"},
		{"--keep-size", "much"}, {"--keep-age", "old"}} {
		if o := w.Run(t, append([]string{"build", dsc}, bad...)...); o.Status != 64 {
			t.Errorf("%v: %s", bad, o)
		}
	}
	w.Must(t, "forget", "--all")
}

// TestKeepKilled kills builds at chance moments while they keep what they wrote: it is kept whole
// or not at all, and the next forget leaves nothing.
func TestKeepKilled(t *testing.T) {
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	dsc := broken(t, w)
	chance := e2e.Chance(t)
	drafts := filepath.Join(w.State, "kept", "draft-*")
	moment := e2e.Moment{Name: "keeping", Come: func() bool {
		found, _ := filepath.Glob(drafts) // of a pattern that is one
		return len(found) > 0
	}}
	for range 6 {
		w.At(t, moment, time.Duration(chance.IntN(60))*time.Millisecond, syscall.SIGKILL, "build",
			"-q", "-d", "bookworm", "--scratch", []string{"tmpfs", "disk"}[chance.IntN(2)], dsc)
		for _, one := range listed(t, w) {
			e2e.WantIn(t, "the log", e2e.Read(t, filepath.Join(w.State, "kept", one, "log")),
				`^Status: attempted$`)
		}
		w.Must(t, "forget", "--all")
		if found, err := filepath.Glob(drafts); err != nil || len(found) > 0 {
			t.Errorf("left: %q, %v", found, err)
		}
	}
}
