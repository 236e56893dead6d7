package keptroot

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"nsbuild/internal/jails"
)

// tree is a directory as the files of a jail: no link is followed, and what is no file not opened.
type tree struct {
	jails.Files
	dir string
}

func (t tree) Open(name string) (*os.File, error) {
	file := filepath.Join(t.dir, name)
	st, err := os.Lstat(file)
	switch {
	case err != nil:
		return nil, err
	case st.Mode()&os.ModeSymlink != 0:
		return nil, &os.PathError{Op: "open", Path: name, Err: unix.ELOOP}
	case !st.Mode().IsRegular() && !st.IsDir():
		return nil, &os.PathError{Op: "open", Path: name, Err: unix.EINVAL}
	}
	return os.Open(file)
}

// TestCopy takes a hostile tree out: what is no file stays there, and what comes can be read and
// deleted by whoever took it.
func TestCopy(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	hostile := "a\nkept as b\x1b[31m"
	if err := errors.Join(os.MkdirAll(filepath.Join(from, "d/closed"), 0o755),
		os.WriteFile(filepath.Join(from, "d/closed/f"), []byte("x"), 0o444),
		os.WriteFile(filepath.Join(from, "d", hostile), []byte("y"), 0o755),
		os.Symlink("/etc/passwd", filepath.Join(from, "d/link")),
		unix.Mkfifo(filepath.Join(from, "d/fifo"), 0o644),
		os.Chmod(filepath.Join(from, "d/closed"), 0o555)); err != nil {
		t.Fatal(err)
	}
	c := Copier{Jail: tree{dir: from}}
	if err := c.Copy(t.Context(), "d", filepath.Join(to, "d")); err != nil || c.Left != 2 {
		t.Fatalf("%d are left out: %v", c.Left, err)
	}
	for name, want := range map[string]os.FileMode{"d/closed": os.ModeDir | 0o755,
		"d/closed/f": 0o644, "d/" + hostile: 0o755} {
		st, err := os.Lstat(filepath.Join(to, name))
		if err != nil || st.Mode() != want {
			t.Errorf("%q: %v, want %v (%v)", name, st.Mode(), want, err)
		}
	}
	for name, says := range map[string]string{"d/link": "a symbolic link",
		"d/fifo": "neither a regular file nor a directory"} {
		if err := c.Copy(t.Context(), name, filepath.Join(to, "one")); err == nil ||
			!strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.Chmod(filepath.Join(from, "d/closed"), 0o755); err != nil { // for its deletion
		t.Fatal(err)
	}
}
