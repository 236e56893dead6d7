package treediff

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// changes are what is told of two trees, sorted.
func changes(t *testing.T, trees Trees) (all []string) {
	t.Helper()
	if err := Compare(t.Context(), trees, func(c Change) error {
		all = append(all, strings.TrimSpace(fmt.Sprint(c.Change, " ", c.Type, " ", c.Path, " ",
			strings.Join(c.What, "+"))))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

func TestCompare(t *testing.T) {
	dir := t.TempDir()
	trees := Trees{Before: filepath.Join(dir, "before"), After: filepath.Join(dir, "after"),
		Skip: []string{"skipped"}}
	put := func(name, text string) {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755),
			os.WriteFile(name, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for _, tree := range []string{"before/", "after/"} {
		for _, name := range []string{"same", "dir/same", "mode", "type", "gone/is"} {
			put(tree+name, "x")
		}
	}
	put("before/content", "one")
	put("after/content", "two")
	put("before/dir/size", "one")
	put("after/dir/size", "three")
	put("after/made/dir/file", "")
	put("before/deleted/dir/file", "")
	put("before/dir/deleted", "")
	put("after/skipped/file", "")
	put("before/was/below", "of a directory")
	if err := errors.Join(os.Chmod(filepath.Join(dir, "after/mode"), 0o600),
		os.Remove(filepath.Join(dir, "after/type")),
		os.Mkdir(filepath.Join(dir, "after/type"), 0o755),
		os.Symlink("a", filepath.Join(dir, "before/link")),
		os.Symlink("b", filepath.Join(dir, "after/link")),
		// what a link leads to is not the tree's
		os.Symlink("dir", filepath.Join(dir, "after/was")),
		os.RemoveAll(filepath.Join(dir, "after/gone")),
		os.Symlink("/", filepath.Join(dir, "before/root")),
		os.MkdirAll(filepath.Join(dir, "after/root/etc"), 0o755)); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"changed d root type", "changed d type type", "changed f content content",
		"changed f dir/size size", "changed f mode mode", "changed l link target",
		"changed l was type", "created d made", "created d made/dir", "created d root/etc",
		"created f made/dir/file", "deleted d deleted", "deleted d gone", "deleted f dir/deleted",
	}
	if diff := cmp.Diff(want, changes(t, trees)); diff != "" {
		t.Error(diff)
	}
	// Names that are not in what was written are not looked at; deletions are told beside them.
	put("written/content", "")
	trees.Written = filepath.Join(dir, "written")
	if diff := cmp.Diff([]string{"changed f content content", "deleted d deleted", "deleted d gone"},
		changes(t, trees)); diff != "" {
		t.Error(diff)
	}
}

func TestCompareStops(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "a"), 0o755),
		os.MkdirAll(filepath.Join(dir, "b/c"), 0o755)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	trees := Trees{Before: filepath.Join(dir, "a"), After: filepath.Join(dir, "b")}
	if err := Compare(ctx, trees, func(Change) error { return nil }); err == nil {
		t.Error("it goes on")
	}
}
