package unpack

import (
	"os"
	"path/filepath"
	"testing"
)

// TestDirsByTwoNames: of packages that have one directory by several names, as with merged /usr,
// the first counts, whatever the names.
func TestDirsByTwoNames(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "usr/lib/a/b"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("usr/lib", filepath.Join(root, "lib")); err != nil {
		t.Fatal(err)
	}
	attr := func(rank int, sec int64) dirAttr {
		return dirAttr{rank: rank, mode: 0o755, uid: os.Getuid(), gid: os.Getgid(), sec: sec}
	}
	for range 20 { // maps have no order
		tr := newTree(Plan{Database: true})
		for name, a := range map[string]dirAttr{
			"": attr(0, 1), "lib": attr(0, 2), "usr/lib": attr(3, 3), "lib/a": attr(2, 200),
			"usr/lib/a": attr(1, 100), "lib/a/b": attr(1, 300), "usr/lib/a/b": attr(2, 400),
			"usr": attr(5, 9000),
		} {
			tr.dirs[filepath.Join(root, name)] = a
		}
		if err := tr.finishDirs(5000); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]int64{"usr/lib": 3, "usr/lib/a": 100, "usr/lib/a/b": 300,
			"usr": 5000} {
			if fi, err := os.Stat(filepath.Join(root, name)); err != nil ||
				fi.ModTime().Unix() != want {
				t.Fatalf("%s: %v, %v, want %d", name, fi.ModTime().Unix(), err, want)
			}
		}
	}
}
