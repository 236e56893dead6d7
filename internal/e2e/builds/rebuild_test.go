package builds

import (
	"path/filepath"
	"strings"
	"testing"

	"nsbuild/internal/e2e"
	"nsbuild/internal/testenv"
)

// TestRebuild builds again what a .buildinfo describes, without network, over a root of just
// its packages: the same comes out of it, and no root stays.
func TestRebuild(t *testing.T) {
	w := e2e.RealWorld(t)
	testenv.HostState(t)
	source := w.WriteSource(t, e2e.Small("again"))
	out := t.TempDir()
	w.Must(t, "build", "-q", "-d", "bookworm", "--output="+out, source)
	infos, err := filepath.Glob(filepath.Join(out, "again_1.0_*.buildinfo"))
	if err != nil || len(infos) != 1 {
		t.Fatal(infos, err)
	}
	bases := w.Must(t, "list").Stdout
	o := w.Must(t, "rebuild", "--offline", "--source="+source, "--output="+t.TempDir(), infos[0])
	if !strings.HasSuffix(o.Stdout, "again 1.0: identical\n") ||
		strings.Count(o.Stdout, ".deb: same\n") != 2 {
		t.Errorf("it said:\n%s", o.Stdout)
	}
	if now := w.Must(t, "list").Stdout; strings.Count(now, "\n") != strings.Count(bases, "\n") {
		t.Errorf("bases were:\n%s and are:\n%s", bases, now)
	}
	if o := w.Must(t, "compare", infos[0], out); o.Stdout != "packages   2 have the same bytes\n" {
		t.Errorf("compare said:\n%s", o.Stdout)
	}
	debs, err := filepath.Glob(filepath.Join(out, "again*_1.0_*.deb"))
	if err != nil || len(debs) != 2 {
		t.Fatal(debs, err)
	}
	o = w.Run(t, "compare", "--json", debs[0], debs[1])
	e2e.Valid(t, "compare.schema.json", o.Stdout)
	if o.Status != 4 || !strings.Contains(o.Stdout, `"renamed"`) {
		t.Error(o)
	}
}
