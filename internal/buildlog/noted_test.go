package buildlog

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestNote: tags and warnings are those of their sections, without the places that move.
func TestNote(t *testing.T) {
	box := func(title string) string {
		rule := "+" + strings.Repeat("-", 20) + "+\n"
		return "\n" + rule + fmt.Sprintf("| %-18s |\n", title) + rule + "\n"
	}
	log := "nsbuild 0\n" + box("Fetch source files") + "W: x: warning: not of the build\n" +
		box("Build") +
		"a.c:12:3: warning: unused variable ‘x’ [-Wunused]\n" +
		"a.c:19:3: warning: unused variable ‘x’ [-Wunused]\n" +
		"dpkg-shlibdeps: warning: package could avoid a useless dependency\n" +
		"foo at 0x7f00: warning: it moved\n" + strings.Repeat("x", 1<<20) + " warning: cut off\n" +
		box("Post Build") + "lintian\n-------\n\nCommand: lintian\n" +
		"E: one: some-tag context [usr/bin/x:12]\nN: a note\nW: one source: other-tag\n" +
		"I: Lintian run was successful.\nI: lintian: fail\n" +
		"\npiuparts\n--------\n\nE: one: not-of-lintian\n" + box("Summary") + "Status: successful\n"
	got, err := Note(strings.NewReader(log))
	if err != nil {
		t.Fatal(err)
	}
	want := &Noted{Linted: true,
		Tags: []string{"E: one: some-tag context [usr/bin/x]", "W: one source: other-tag"},
		Warnings: []string{"a.c: warning: unused variable ‘x’ [-Wunused]",
			"a.c: warning: unused variable ‘x’ [-Wunused]",
			"dpkg-shlibdeps: warning: package could avoid a useless dependency",
			"foo at 0x…: warning: it moved"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestTags: what lintian writes now has the tags that its part of a log has, in whatever pieces it
// comes.
func TestTags(t *testing.T) {
	const out = "E: one: some-tag context [usr/bin/x:12]\nN: a note\nW: one source: other-tag\n" +
		"I: lintian: fail\nno tag"
	want := []string{"E: one: some-tag context [usr/bin/x]", "W: one source: other-tag"}
	for size := 1; size < len(out); size += 7 {
		var got Tags
		for rest := out; rest != ""; {
			n := min(size, len(rest))
			if _, err := got.Write([]byte(rest[:n])); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if d := cmp.Diff(want, got.All); d != "" {
			t.Error(d)
		}
	}
	much := Tags{All: make([]string, mostNoted-1)}
	for range 2 {
		_, _ = much.Write([]byte("W: one: tag " + strings.Repeat("x", 2*widestRead) + "\n"))
	}
	if last := much.All[len(much.All)-1]; len(much.All) != mostNoted ||
		len(last) > widestNoted+len("…") {
		t.Errorf("%d tags, of %d bytes", len(much.All), len(last))
	}
}

func FuzzNote(f *testing.F) {
	f.Add("\n+---+\n| Build |\n+---+\na:1:2: warning: x\n")
	f.Fuzz(func(t *testing.T, log string) {
		got, err := Note(strings.NewReader(log))
		if err != nil || len(got.Tags)+len(got.Warnings) > len(log) {
			t.Errorf("%v, %v", got, err)
		}
	})
}
