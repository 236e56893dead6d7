package regular

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// odd makes a directory with a file of each kind that an ordinary user can make, and links to them.
func odd(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(filepath.Join(dir, "file"), []byte("text"), 0o644))
	must(os.Mkdir(filepath.Join(dir, "dir"), 0o755))
	must(syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o644))
	l, err := net.Listen("unix", filepath.Join(dir, "socket"))
	must(err)
	t.Cleanup(func() { l.Close() })
	outside := filepath.Join(t.TempDir(), "secret")
	must(os.WriteFile(outside, []byte("secret"), 0o644))
	for name, target := range map[string]string{
		"to-file": "file", "to-fifo": "fifo", "to-zero": "/dev/zero", "to-null": "/dev/null",
		"to-nothing": "nothing", "out": outside,
	} {
		must(os.Symlink(target, filepath.Join(dir, name)))
	}
	return dir
}

// soon fails when f waits.
func soon(t *testing.T, f func() (*os.File, error)) (*os.File, error) {
	t.Helper()
	type opened struct {
		f   *os.File
		err error
	}
	done := make(chan opened, 1)
	go func() { f, err := f(); done <- opened{f, err} }()
	select {
	case o := <-done:
		return o.f, o.err
	case <-time.After(5 * time.Second):
		t.Fatal("it waits")
	}
	return nil, nil
}

func TestOpeners(t *testing.T) {
	dir := odd(t)
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	const fine = ""
	for _, tt := range []struct{ name, open, noFollow, in string }{
		{"file", fine, fine, fine},
		{"to-file", fine, "symbolic link", fine},
		{"to-null", fine, "symbolic link", "escapes"},
		{"out", fine, "symbolic link", "escapes"},
		{"dir", "it is a directory, not a regular file", "directory", "directory"},
		{"fifo", "it is a pipe (FIFO), not a regular file", "pipe", "pipe"},
		{"to-fifo", "pipe", "symbolic link", "pipe"},
		{"to-zero", "device", "symbolic link", "escapes"},
		{"socket", "no such device or address", "no such device", "no such device"},
		{"to-nothing", "no such file", "symbolic link", "no such file"},
	} {
		path := filepath.Join(dir, tt.name)
		for want, open := range map[*string]func() (*os.File, error){
			&tt.open:     func() (*os.File, error) { return Open(path) },
			&tt.noFollow: func() (*os.File, error) { return OpenNoFollow(path) },
			&tt.in:       func() (*os.File, error) { return OpenIn(root, tt.name) },
		} {
			f, err := soon(t, open)
			switch {
			case err == nil && *want == fine:
				f.Close()
			case err == nil:
				t.Errorf("%s was opened, want: %s", tt.name, *want)
			case *want == fine || !strings.Contains(err.Error(), *want) ||
				!strings.Contains(err.Error(), tt.name):
				t.Errorf("%s: %v, want %q", tt.name, err, *want)
			}
		}
	}
	if _, err := Open(filepath.Join(dir, "fifo")); !errors.Is(err, ErrNotRegular) {
		t.Errorf("%v is not ErrNotRegular", err)
	} else if errors.Is(err, ErrLink) {
		t.Errorf("%v is ErrLink", err)
	}
	if _, err := OpenNoFollow(filepath.Join(dir, "to-file")); !errors.Is(err, ErrLink) ||
		!errors.Is(err, ErrNotRegular) {
		t.Errorf("%v is not ErrLink", err)
	}
}

func TestReadFile(t *testing.T) {
	dir := odd(t)
	if data, err := ReadFile(filepath.Join(dir, "file"), 4); err != nil || string(data) != "text" {
		t.Errorf("%q, %v", data, err)
	}
	if _, err := ReadFile(filepath.Join(dir, "file"), 3); err == nil ||
		!strings.Contains(err.Error(), "larger than 3 bytes") {
		t.Error(err)
	}
	if data, err := ReadFile(os.DevNull, 3); err != nil || len(data) != 0 {
		t.Errorf("%q, %v", data, err)
	}
	if _, err := ReadFile(filepath.Join(dir, "none"), 3); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestDirFS(t *testing.T) {
	files := DirFS(odd(t))
	entries, err := fs.ReadDir(files, ".")
	if err != nil || len(entries) != 10 {
		t.Errorf("%v, %v", entries, err)
	}
	if data, err := fs.ReadFile(files, "to-file"); err != nil || string(data) != "text" {
		t.Errorf("%q, %v", data, err)
	}
	if st, err := fs.Stat(files, "fifo"); err != nil || st.Mode()&fs.ModeNamedPipe == 0 {
		t.Errorf("%v, %v", st, err)
	}
	_, err = soon(t, func() (*os.File, error) { _, err := files.Open("fifo"); return nil, err })
	if !errors.Is(err, ErrNotRegular) {
		t.Error(err)
	}
	if _, err := files.Open("../x"); err == nil {
		t.Error("a name that leads out was opened")
	}
}
