package gitsrc

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

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
		c := exec.Command("git",
			append(
				[]string{"-C", dir, "-c", "user.name=A B", "-c", "user.email=a@mirror.example"},
				args...)...)
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

// hostJail runs commands on the host: these tests have made their repositories themselves.
type hostJail struct {
	names *strings.Replacer
	work  string
}

func (j hostJail) Run(ctx context.Context, c Command, out io.Writer) error {
	argv := make([]string, len(c.Argv))
	for i, a := range c.Argv {
		argv[i] = j.names.Replace(a)
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Stdin, cmd.Stdout = j.names.Replace(c.Dir), c.In, out
	cmd.Env = append(os.Environ(), "TMPDIR="+j.work, "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_CONFIG_NOSYSTEM=1")
	for _, v := range c.Env {
		cmd.Env = append(cmd.Env, j.names.Replace(v))
	}
	var said bytes.Buffer
	cmd.Stderr = &said
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return &Failure{argv[0], exit.String(), said.String()}
	}
	return err
}

// opened is the repository of a directory.
func opened(t *testing.T, dir string) *Repository {
	t.Helper()
	l, err := Locate(dir)
	if err != nil || l == nil {
		t.Fatal(l, err)
	}
	work := t.TempDir()
	check(t, os.Mkdir(filepath.Join(work, "objects"), 0o755))
	r, err := Open(l,
		hostJail{strings.NewReplacer("/tmp/", work+"/", jailTree, l.Top, jailGit, l.Common),
			work})
	check(t, err)
	return r
}

func TestExport(t *testing.T) {
	dir := repository(t)
	r := opened(t, dir)
	for what, want := range map[string]string{Head: "committed\n", Index: "indexed\n"} {
		into := filepath.Join(t.TempDir(), "tree")
		done, err := r.Export(t.Context(), what, into, false)
		if err != nil || done.Files != 4 || done.Submodules != nil || done.LFS != nil {
			t.Error(what, done, err)
		}
		if got, err := os.ReadFile(filepath.Join(into, "sub/debian/control")); err != nil ||
			string(got) != want {
			t.Errorf("%s: %q, %v", what, got, err)
		}
		if fi, err := os.Stat(filepath.Join(into, "link")); err != nil ||
			fi.Mode().Perm()&0o100 == 0 {
			t.Errorf("%s: %v, %v", what, fi, err)
		}
		if _, err := os.Stat(filepath.Join(into, "new")); err == nil {
			t.Errorf("%s has a file that git does not know", what)
		}
	}
	if got, err := r.Changes(t.Context()); err != nil ||
		!slices.Equal(got, []string{"MM sub/debian/control", "?? new"}) {
		t.Errorf("%q, %v", got, err)
	}
	below := opened(t, filepath.Join(dir, "sub"))
	for what, want := range map[string]string{Head: "committed\n", Index: "indexed\n"} {
		into := filepath.Join(t.TempDir(), "tree")
		_, err := below.Export(t.Context(), what, into, false)
		check(t, err)
		if got, err := os.ReadFile(filepath.Join(into, "debian/control")); err != nil ||
			string(got) != want {
			t.Errorf("below, %s: %q, %v", what, got, err)
		}
	}
	if l, err := Locate(t.TempDir()); l != nil || err != nil {
		t.Error(l, err)
	}
}

// in runs git in a repository of a test's.
func in(t *testing.T, dir string, args ...string) string {
	t.Helper()
	c := exec.Command("git",
		append(
			[]string{"-C", dir, "-c", "user.name=A B", "-c", "user.email=a@mirror.example",
				"-c", "protocol.file.allow=always"}, args...)...)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestExportIsTheCommit compares an export with what the commit has, where attributes would make it
// another.
func TestExportIsTheCommit(t *testing.T) {
	dir := repository(t)
	in(t, dir, "config", "core.autocrlf", "true")
	in(t, dir, "config", "filter.x.smudge", "tr a-z A-Z")
	files := map[string]string{
		".gitattributes": "sub/debian export-ignore\n*.h export-subst\n*.bat eol=crlf\n*.i " +
			"ident\n*.x filter=x\n*.u working-tree-encoding=UTF-16\n",
		"version.h": "$Format:%H$\n", "run.bat": "one\ntwo\n", "id.i": "$Id$\n", "f.x": "text\n",
		"w.u": "text\n", "big.bin": lfsPointer + "oid x\n",
		"a\tb\n\xff": "odd name\n", "-dash": "", "sub/.gitattributes": "* export-ignore\n",
	}
	for name, text := range files {
		check(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	in(t, dir, "-c", "core.autocrlf=false", "add", "--all", "--", ":!w.u")
	w := exec.Command("git", "-C", dir, "hash-object", "-w", "--no-filters", "w.u")
	id, err := w.Output()
	check(t, err)
	in(t, dir, "update-index", "--add", "--cacheinfo", "100644,"+strings.TrimSpace(string(id))+
		",w.u")
	in(t, dir, "commit", "-q", "-m", "attributes")
	into := filepath.Join(t.TempDir(), "tree")
	done, err := opened(t, dir).Export(t.Context(), Head, into, false)
	check(t, err)
	if !slices.Equal(done.LFS, []string{"big.bin"}) {
		t.Error(done.LFS)
	}
	for name, text := range files {
		if got, err := os.ReadFile(filepath.Join(into, name)); err != nil || string(got) != text {
			t.Errorf("%q: %q, %v", name, got, err)
		}
	}
	if _, err := os.Stat(filepath.Join(into, "sub/debian/control")); err != nil {
		t.Error(err)
	}
}

func TestExportIndex(t *testing.T) {
	dir := repository(t)
	in(t, dir, "add", "-N", "new")
	into := filepath.Join(t.TempDir(), "tree")
	_, err := opened(t, dir).Export(t.Context(), Index, into, false)
	check(t, err)
	if _, err := os.Lstat(filepath.Join(into, "new")); err == nil {
		t.Error("a file that was only announced is exported")
	}
	id := strings.TrimSpace(in(t, dir, "rev-parse", "HEAD:upstream.c"))
	unmerged := exec.Command("git", "-C", dir, "update-index", "--index-info")
	unmerged.Stdin = strings.NewReader("0 " + id + "\tupstream.c\n100644 " + id +
		" 1\tupstream.c\n100644 " + id + " 2\tupstream.c\n")
	if out, err := unmerged.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	_, err = opened(t, dir).Export(t.Context(), Index, filepath.Join(t.TempDir(), "tree"), false)
	if err == nil || !strings.Contains(err.Error(), "upstream.c is not merged") {
		t.Error(err)
	}
}

func TestExportSubmodules(t *testing.T) {
	inner, middle, dir := repository(t), repository(t), repository(t)
	in(t, middle, "submodule", "add", "-q", inner, "inner")
	in(t, middle, "commit", "-q", "-m", "sub")
	in(t, dir, "submodule", "add", "-q", middle, "lib/middle")
	in(t, dir, "commit", "-q", "-m", "sub")
	fresh := filepath.Join(t.TempDir(), "clone")
	in(t, dir, "clone", "-q", dir, fresh)
	into := filepath.Join(t.TempDir(), "tree")
	done, err := opened(t, fresh).Export(t.Context(), Head, into, false)
	check(t, err)
	if !slices.Equal(done.Submodules, []string{"lib/middle"}) {
		t.Error(done.Submodules)
	}
	if entries, err := os.ReadDir(filepath.Join(into, "lib/middle")); err != nil ||
		len(entries) != 0 {
		t.Error(entries, err)
	}
	_, err = opened(t, fresh).Export(t.Context(), Head, filepath.Join(t.TempDir(), "tree"), true)
	if err == nil ||
		!strings.Contains(err.Error(), "submodule lib/middle, whose files are not here") {
		t.Error(err)
	}
	in(t, fresh, "submodule", "update", "-q", "--init", "--recursive")
	check(t, os.WriteFile(filepath.Join(fresh, "lib/middle/upstream.c"), []byte("changed\n"),
		0o644))
	into = filepath.Join(t.TempDir(), "tree")
	_, err = opened(t, fresh).Export(t.Context(), Head, into, true)
	check(t, err)
	for _, name := range []string{"lib/middle/upstream.c", "lib/middle/inner/upstream.c"} {
		if got, err := os.ReadFile(filepath.Join(into, name)); err != nil ||
			string(got) != "upstream\n" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	// A link in the place of a submodule leads to another repository of the caller's.
	check(t, os.RemoveAll(filepath.Join(fresh, "lib/middle")))
	check(t, os.Symlink(middle, filepath.Join(fresh, "lib/middle")))
	_, err = opened(t, fresh).Export(t.Context(), Head, filepath.Join(t.TempDir(), "tree"), true)
	if err == nil || !strings.Contains(err.Error(), "not here") {
		t.Error(err)
	}
}

// TestHostileTrees exports what git itself would not check out.
func TestHostileTrees(t *testing.T) {
	dir := repository(t)
	id := strings.TrimSpace(in(t, dir, "rev-parse", "HEAD:upstream.c"))
	link := exec.Command("git", "-C", dir, "hash-object", "-w", "--stdin")
	link.Stdin = strings.NewReader("../../../..")
	out, err := link.Output()
	check(t, err)
	to := strings.TrimSpace(string(out))
	raw := func(entries ...string) string { // mode, name, id
		var data []byte
		for i := 0; i < len(entries); i += 3 {
			bin, err := hex.DecodeString(entries[i+2])
			check(t, err)
			data = append(append(data, entries[i]+" "+entries[i+1]+"\x00"...), bin...)
		}
		c := exec.Command("git", "-C", dir, "hash-object", "-w", "-t", "tree", "--literally",
			"--stdin")
		c.Stdin = bytes.NewReader(data)
		out, err := c.Output()
		check(t, err)
		return strings.TrimSpace(string(out))
	}
	hooks := raw("100755", "post-checkout", id)
	for name, tree := range map[string]string{
		"..":            raw("100644", "..", id),
		".git":          raw("40000", ".git", hooks),
		".GIT":          raw("40000", ".GIT", hooks),
		"slash":         raw("100644", "a/../../x", id),
		"link and tree": raw("120000", "a", to, "40000", "a", hooks),
	} {
		in(t, dir, "update-ref", "HEAD",
			strings.TrimSpace(in(t, dir, "commit-tree", "-m", "x", tree)))
		into := filepath.Join(t.TempDir(), "tree")
		if done, err := opened(t, dir).Export(t.Context(), Head, into, false); err == nil {
			t.Errorf("%s: %+v", name, done)
		}
		if _, err := os.Lstat(filepath.Join(filepath.Dir(into), "post-checkout")); err == nil {
			t.Errorf("%s: it was written outside", name)
		}
	}
}

func TestOrig(t *testing.T) {
	r := opened(t, repository(t))
	a, b := t.TempDir(), t.TempDir()
	foo := Upstream{"foo", "1.0~rc1"}
	for _, into := range []string{a, b} {
		how, err := r.Orig(t.Context(), DefaultConfig(), foo, into)
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
	for said, conf := range map[string]Config{
		"no upstream/2.0":  DefaultConfig(),
		"begins so":        {UpstreamTree: "--output=/x"},
		"no branch main":   {UpstreamTree: "branch", UpstreamBranch: "main"},
		"no nothing":       {UpstreamTree: "nothing"},
		"begins none of":   {UpstreamTree: "tag", UpstreamTag: "v%(version)d"},
		"no pristine-tar ": {PristineTar: On, Compression: "auto"},
	} {
		if _, err := r.Orig(t.Context(), conf, Upstream{"foo", "2.0"}, t.TempDir()); err == nil ||
			!strings.Contains(err.Error(), said) {
			t.Errorf("%s: %v", said, err)
		}
	}
}

func FuzzReadConfig(f *testing.F) {
	f.Add("[DEFAULT]\nupstream-tag = v%(version)s\ncomponent = ['a', \"b\"]\n")
	f.Fuzz(func(_ *testing.T, text string) {
		all := newSections()
		if err := all.read("gbp.conf", text, false); err != nil {
			return
		}
		if c, err := all.config(); err == nil {
			_, _ = c.tag("1.0~a") // it may have no name
		}
	})
}

// TestPipes puts pipes where git reads files.
func TestPipes(t *testing.T) {
	for _, name := range []string{"HEAD", "config", "index", "refs/heads/other", "objects/ab/cdef",
		"info/exclude"} {
		dir := repository(t)
		pipe := filepath.Join(dir, ".git", name)
		check(t, os.RemoveAll(pipe))
		check(t, os.MkdirAll(filepath.Dir(pipe), 0o755))
		check(t, unix.Mkfifo(pipe, 0o644))
		if _, err := Locate(dir); err == nil || !strings.Contains(err.Error(), pipe+" is a pipe") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
