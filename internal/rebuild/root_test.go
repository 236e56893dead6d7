package rebuild

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nsbuild/internal/base"
	"nsbuild/internal/fakejail"
	"nsbuild/internal/machine"
	"nsbuild/internal/sandbox"
)

// left makes a base as a rebuild leaves one that is killed, last used so long ago.
func (w *world) left(name, lock string, ago time.Duration) *base.Store {
	w.t.Helper()
	store, err := base.Open(filepath.Join(w.dir, "state"))
	w.check(err)
	draft, err := store.Begin(w.t.Context(), name, nil)
	w.check(err)
	w.check(os.Mkdir(draft.Tree(), 0o755))
	_, err = draft.Commit(base.Manifest{Suite: suiteName, Arch: machine.Native(), Lock: lock,
		Variant: "buildd", Bootstrapper: "native"})
	w.check(err)
	then := time.Now().Add(-ago)
	w.check(os.Chtimes(filepath.Join(w.dir, "state/bases", name, "gen-1", "lock"), then, then))
	return store
}

// What killed rebuilds have left goes with the next one; what is somebody's stays.
func TestKilled(t *testing.T) {
	w := newWorld(t)
	const digest = "0123456789ab"
	w.left("rebuild-"+digest, digest+"cdef", time.Hour)
	w.left("rebuild-of-mine", "", time.Hour)
	w.left("rebuild-ffffffffffff", digest, time.Hour) // not of the packages of its name
	w.left("rebuild-aaaaaaaaaaaa", "aaaaaaaaaaaabb", time.Second)
	used, err := w.left("rebuild-bbbbbbbbbbbb", "bbbbbbbbbbbbcc",
		time.Hour).Look("rebuild-bbbbbbbbbbbb")
	w.check(err)
	defer used.Close()
	w.stays = []string{"rebuild-aaaaaaaaaaaa", "rebuild-bbbbbbbbbbbb", "rebuild-ffffffffffff",
		"rebuild-of-mine"}
	w.made()
}

// A root that is there already is used, and deleted by the last one that uses it.
func TestReused(t *testing.T) {
	w := newWorld(t)
	build := w.programs["dpkg-buildpackage"]
	var root *base.Generation
	w.programs["dpkg-buildpackage"] = func(ctx context.Context, p *fakejail.Proc) sandbox.Status {
		store, err := base.Open(filepath.Join(w.dir, "state"))
		w.check(err)
		names, err := store.Names()
		w.check(err)
		if root == nil {
			root, err = store.Use(names[0])
			w.check(err)
			w.stays = names // for another rebuild uses it
		}
		return build(ctx, p)
	}
	sum, size, _ := w.made()
	w.check(root.Close())
	w.stays = nil
	report, err := w.run(Request{File: w.info(sum, size)})
	if err != nil || report.RootTime != 0 {
		t.Errorf("%v; made anew in %v s\n%s", err, report.RootTime,
			strings.Join(report.Lines(), "\n"))
	}
}
