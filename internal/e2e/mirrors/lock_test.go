package mirrors

import (
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"nsbuild/internal/e2e"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/lock"
)

// lockOfLibc is a lock with the one package libc6 of a tree made by smallSuite.
func lockOfLibc(tree *fakedebian.Tree, mirror string) *lock.File {
	date := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	file := tree.Find("libc6_1.0-1_all.deb")
	data := tree.Read(file)
	return &lock.File{Suite: "bookworm", Arch: "amd64", Variant: "essential", Epoch: date,
		Repositories: []lock.Repository{{
			URI: mirror, Suite: "bookworm", Components: []string{"main"}, Date: date,
			Packages: []lock.Package{
				{Name: "libc6", Version: "1.0-1", Arch: "all", Required: true,
					Size: int64(len(data)), SHA256: fmt.Sprintf("%x", sha256.Sum256(data)),
					File: file},
			},
		}}}
}

// writeLock writes a lock into the directory where nsbuild is called.
func writeLock(t *testing.T, w *e2e.World, name string, f *lock.File) {
	t.Helper()
	d, err := lock.Begin(filepath.Join(w.Dir, name))
	e2e.Check(t, err)
	e2e.Check(t, d.Write(f))
	e2e.Check(t, d.Commit())
}
