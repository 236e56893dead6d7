package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nsbuild/internal/fault"
	"nsbuild/internal/result"
)

// TestCachePin pins, lists and unpins, as nsbuild build --cache-pin does and nsbuild cache.
func TestCachePin(t *testing.T) {
	onlyConfig(t, "[build]\ncache-pin = true\n")
	a := &app{stdout: os.Stdout, stderr: os.Stderr}
	root := newRoot(a)
	c, rest, err := root.Find([]string{"build", "--cache-pin", "--keep-lock"})
	check(t, err)
	check(t, c.ParseFlags(rest))
	if !a.buildFlags.pin || !a.buildFlags.KeepLock {
		t.Error("nothing is kept")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "r.json")
	check(t, result.Write(file, of(t, dir, "hello")))
	bad := filepath.Join(dir, "bad.json")
	check(t, os.WriteFile(bad, []byte("{"), 0o600))
	state, cache := t.TempDir(), t.TempDir()
	name := ""
	for _, s := range []struct {
		name string
		args []string
		kind fault.Kind
		out  string // of what is printed; NAME is the pin's
	}{
		{"nothing", []string{"pin"}, none, ""},
		{"no result", []string{"pin", bad}, fault.Usage, ""},
		{"not there", []string{"pin", file + "x"}, fault.Usage, ""},
		{"pinned", []string{"pin", file}, fault.Internal, "not in the cache: hello.dsc, libc6 2"},
		{"listed", []string{"pin"}, fault.Internal, "NAME"},
		{"kept", []string{"clean", "--all"}, none, ""},
		{"which", []string{"unpin"}, fault.Usage, ""},
		{"unknown", []string{"unpin", "x"}, fault.Usage, ""},
		{"by file", []string{"unpin", file}, none, ""},
		{"pinned again", []string{"pin", file}, fault.Internal, "hello 1"},
		{"all", []string{"unpin", "--all"}, none, ""},
		{"nothing again", []string{"pin"}, none, ""},
	} {
		out, err := os.Create(filepath.Join(t.TempDir(), "out"))
		check(t, err)
		t.Setenv("NSBUILD_STATE", state)
		t.Setenv("NSBUILD_CACHE", cache)
		a := &app{stdout: out, stderr: os.Stderr}
		root := newRoot(a)
		root.SetArgs(append([]string{"cache", "--quiet"}, s.args...))
		err = root.ExecuteContext(t.Context())
		if a.env != nil {
			check(t, a.close(t.Context()))
		}
		check(t, out.Close())
		text := read(t, out.Name())
		if _, after, ok := strings.Cut(text, "("); ok && name == "" {
			_, after, _ = strings.Cut(after, "(") // (12 B) (NAME)
			name, _, _ = strings.Cut(after, ")")
		}
		if (err != nil) != (s.kind != none) || err != nil && fault.KindOf(err) != s.kind ||
			!strings.Contains(text, strings.ReplaceAll(s.out, "NAME", name)) {
			t.Errorf("%s: %v (%v)\n%s", s.name, err, fault.KindOf(err), text)
		}
	}
}
