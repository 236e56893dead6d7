package source

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	logtest "github.com/sirupsen/logrus/hooks/test"

	"nsbuild/internal/dsc"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/plan"
	"nsbuild/internal/workdir"
)

// planOf opens a source and plans it.
func planOf(t *testing.T, o *Opener, spec string) plan.Source {
	t.Helper()
	in, err := o.Open(t.Context(), spec)
	check(t, err)
	p, err := in.Plan(t.Context())
	check(t, err)
	return p
}

// planner opens sources that lie here.
func planner(t *testing.T) *Opener {
	t.Helper()
	log, _ := logtest.NewNullLogger()
	work, err := workdir.Open(t.Context(), t.TempDir(), log)
	check(t, err)
	t.Cleanup(func() { check(t, work.Close(t.Context(), log)) })
	return &Opener{Work: work, Log: log}
}

// TestPlannedTree builds a directory as it was planned, in all that a build may see of it.
func TestPlannedTree(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tree")
	for name, text := range map[string]string{
		"debian/control":   "Source: planned\nMaintainer: A <a@mirror.example>\n\nPackage: planned\nArchitecture: any\n",
		"debian/changelog": "planned (1.0) bookworm; urgency=low\n\n  * X.\n\n -- A <a@mirror.example>  Tue, 14 Nov 2023 22:13:20 +0000\n",
		"file":             "a\n",
	} {
		check(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		check(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	o := planner(t)
	p := planOf(t, o, dir)
	in, err := o.Planned(t.Context(), p)
	check(t, err)
	if name, version := in.Identity(); name != "planned" || version != "1.0" || in.Tree == nil {
		t.Errorf("%s %s", name, version)
	}
	file := filepath.Join(dir, "file")
	st, err := os.Stat(file)
	check(t, err)
	for what, change := range map[string]func() error{
		"mode": func() error { return os.Chmod(file, 0o755) },
		"time": func() error {
			return os.Chtimes(file, st.ModTime(), st.ModTime().Add(time.Hour))
		},
		"content":  func() error { return os.WriteFile(file, []byte("b\n"), 0o644) },
		"new name": func() error { return os.WriteFile(file+"2", nil, 0o644) },
	} {
		check(t, change())
		if _, err := o.Planned(t.Context(), p); err == nil ||
			!strings.Contains(err.Error(), "not as it was planned") {
			t.Errorf("another %s: %v", what, err)
		}
		check(t, os.WriteFile(file, []byte("a\n"), 0o644))
		check(t, os.Chmod(file, 0o644))
		check(t, os.Chtimes(file, st.ModTime(), st.ModTime()))
		if what == "new name" {
			check(t, os.Remove(file+"2"))
			check(t, os.Chtimes(dir, st.ModTime(), st.ModTime()))
			p = planOf(t, o, dir)
		}
	}
}

// TestPlannedFiles takes the files of a source package that were planned, and no others.
func TestPlannedFiles(t *testing.T) {
	dir := t.TempDir()
	for _, m := range (fakedebian.Source{Name: "planned", Version: "1.0-1"}).Build(t) {
		check(t, os.WriteFile(filepath.Join(dir, m.Name), m.Data, 0o644))
	}
	o := planner(t)
	p := planOf(t, o, filepath.Join(dir, "planned_1.0-1.dsc"))
	in, err := o.Planned(t.Context(), p)
	check(t, err)
	check(t, in.DSC.Verify(dsc.Dir(in.Dir)))
	check(t, in.Close())
	check(t, os.WriteFile(filepath.Join(dir, p.Files[0].Name), []byte("other"), 0o644))
	if _, err := o.Planned(t.Context(), p); err == nil ||
		!strings.Contains(err.Error(), p.Files[0].Name) {
		t.Errorf("with another file: %v", err)
	}
	p.Files[0].Name = "../" + p.Files[0].Name
	if _, err := o.Planned(t.Context(), p); err == nil {
		t.Error("a plan's file is taken from elsewhere")
	}
}

// TestPlanHasNoLogins: a plan is a file for others, too.
func TestPlanHasNoLogins(t *testing.T) {
	dir := t.TempDir()
	for _, m := range (fakedebian.Source{Name: "planned", Version: "1.0-1"}).Build(t) {
		check(t, os.WriteFile(filepath.Join(dir, m.Name), m.Data, 0o644))
	}
	in, err := planner(t).Open(t.Context(), filepath.Join(dir, "planned_1.0-1.dsc"))
	check(t, err)
	in.Spec, in.urls = "https://me:secret@mirror.example/planned_1.0-1.dsc", map[string]string{}
	for _, f := range in.DSC.Files {
		in.urls[f.Name] = "https://me:secret@mirror.example/" + f.Name
	}
	p, err := in.Plan(t.Context())
	check(t, err)
	if p.From != "https://mirror.example/planned_1.0-1.dsc" ||
		p.Files[0].URL != "https://mirror.example/"+p.Files[0].Name {
		t.Errorf("%+v", p)
	}
}
