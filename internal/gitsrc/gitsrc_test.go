package gitsrc

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nsbuild/internal/testenv"
)

// repository makes one with a commit, an indexed and an unindexed change.
func repository(t *testing.T) string {
	t.Helper()
	testenv.RequireTool(t, "git")
	dir := t.TempDir()
	write := func(name, text string) {
		check(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		check(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	git := func(args ...string) {
		c := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=A B", "-c", "user.email=a@mirror.example"}, args...)...)
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	git("init", "-q")
	write("upstream.c", "upstream\n")
	git("add", ".")
	git("commit", "-q", "-m", "upstream")
	git("tag", "upstream/1.0_rc1")
	write("sub/debian/control", "committed\n")
	check(t, os.WriteFile(filepath.Join(dir, "run"), []byte("#!/bin/sh\n"), 0o755))
	check(t, os.Symlink("run", filepath.Join(dir, "link")))
	git("add", ".")
	git("commit", "-q", "-m", "debian")
	write("sub/debian/control", "indexed\n")
	git("add", ".")
	write("sub/debian/control", "changed\n")
	write("new", "")
	return dir
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestExport(t *testing.T) {
	dir := repository(t)
	r, err := Find(t.Context(), dir)
	if err != nil || r == nil {
		t.Fatal(r, err)
	}
	for what, want := range map[string]string{Head: "committed\n", Index: "indexed\n"} {
		into := filepath.Join(t.TempDir(), "tree")
		check(t, r.Export(t.Context(), what, into))
		if got, err := os.ReadFile(filepath.Join(into, "sub/debian/control")); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", what, got, err)
		}
		if fi, err := os.Stat(filepath.Join(into, "link")); err != nil || fi.Mode().Perm()&0o100 == 0 {
			t.Errorf("%s: %v, %v", what, fi, err)
		}
		if _, err := os.Stat(filepath.Join(into, "new")); err == nil {
			t.Errorf("%s has a file that git does not know", what)
		}
	}
	if got, err := r.Changes(t.Context()); err != nil || !slices.Equal(got, []string{"MM sub/debian/control", "?? new"}) {
		t.Errorf("%q, %v", got, err)
	}
	below, err := Find(t.Context(), filepath.Join(dir, "sub"))
	check(t, err)
	for what, want := range map[string]string{Head: "committed\n", Index: "indexed\n"} {
		into := filepath.Join(t.TempDir(), "tree")
		check(t, below.Export(t.Context(), what, into))
		if got, err := os.ReadFile(filepath.Join(into, "debian/control")); err != nil || string(got) != want {
			t.Errorf("below, %s: %q, %v", what, got, err)
		}
	}
	if r, err := Find(t.Context(), t.TempDir()); r != nil || err != nil {
		t.Error(r, err)
	}
}

func TestOrig(t *testing.T) {
	r, err := Find(t.Context(), repository(t))
	check(t, err)
	a, b := t.TempDir(), t.TempDir()
	for _, into := range []string{a, b} {
		how, err := r.Orig(t.Context(), DefaultConfig(), "foo", "1.0~rc1", into)
		if err != nil || how != "git archive upstream/1.0_rc1" {
			t.Fatal(how, err)
		}
	}
	out, err := exec.Command("tar", "-tzf", filepath.Join(a, "foo_1.0~rc1.orig.tar.gz")).Output()
	if err != nil || string(out) != "foo-1.0~rc1/\nfoo-1.0~rc1/upstream.c\n" {
		t.Errorf("%q, %v", out, err)
	}
	one, err1 := os.ReadFile(filepath.Join(a, "foo_1.0~rc1.orig.tar.gz"))
	two, err2 := os.ReadFile(filepath.Join(b, "foo_1.0~rc1.orig.tar.gz"))
	if err1 != nil || err2 != nil || string(one) != string(two) {
		t.Error("the same commit makes two tarballs")
	}
	if _, err := r.Orig(t.Context(), DefaultConfig(), "foo", "2.0", t.TempDir()); err == nil || !strings.Contains(err.Error(), "no upstream/2.0") {
		t.Error(err)
	}
	if _, err := r.Orig(t.Context(), Config{UpstreamTree: "--output=/x"}, "foo", "1.0", t.TempDir()); err == nil || !strings.Contains(err.Error(), "begins so") {
		t.Error(err)
	}
}

func TestReadConfig(t *testing.T) {
	got, err := ReadConfig(DefaultConfig(), strings.NewReader("# x\n[DEFAULT]\nupstream-tag = v%(version)s\npristine-tar: False\nupstream-branch = main\n\n[import-orig]\nupstream-tag = no\n[buildpackage]\nupstream-tree = BRANCH\n"))
	if want := (Config{UpstreamTag: "v%(version)s", UpstreamBranch: "main", UpstreamTree: "BRANCH"}); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	for version, want := range map[string]string{"1.0": "v1.0", "1:1.0~rc1": "v1%1.0_rc1", "1..2": "v1.#.2"} {
		if got := got.tag(version); got != want {
			t.Errorf("%s: %s, want %s", version, got, want)
		}
	}
}

func FuzzReadConfig(f *testing.F) {
	f.Add("[DEFAULT]\nupstream-tag = v%(version)s\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ReadConfig(DefaultConfig(), strings.NewReader(text))
		if err == nil {
			_ = c.tag("1.0~a")
		}
	})
}
