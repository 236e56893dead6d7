package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return strings.Join(out, " ")
}

func TestWrite(t *testing.T) {
	old := syscall.Umask(0o027)
	defer syscall.Umask(old)
	dir := t.TempDir()
	for _, tt := range []struct {
		opt  Options
		want fs.FileMode
	}{
		{Options{}, 0o600},
		{Options{Perm: 0o666}, 0o640},
		{Options{Mode: 0o644, Sync: true}, 0o644},
	} {
		name := filepath.Join(dir, "file")
		for _, text := range []string{"long text", "short"} { // the second replaces the first
			if err := Write(name, []byte(text), tt.opt); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(name)
			if err != nil || string(got) != text {
				t.Errorf("%+v: %q, %v", tt.opt, got, err)
			}
		}
		if info, err := os.Stat(name); err != nil || info.Mode() != tt.want {
			t.Errorf("%+v: mode %v, %v; want %v", tt.opt, info.Mode(), err, tt.want)
		}
		if got := names(t, dir); got != "file" {
			t.Errorf("%+v has left %q", tt.opt, got)
		}
	}
}

// Until Finish nobody sees anything, and what failed leaves nothing.
func TestFinish(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "file")
	if err := Write(name, []byte("old"), Options{}); err != nil {
		t.Fatal(err)
	}
	f, err := Create(name, Options{Prefix: ".new-"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("half of"); err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir); !strings.HasPrefix(got, ".new-") || !strings.HasSuffix(got, " file") {
		t.Errorf("while it is written there is %q", got)
	}
	broken := errors.New("broken")
	if err := f.Finish(broken); !errors.Is(err, broken) {
		t.Errorf("Finish: %v", err)
	}
	got, err := os.ReadFile(name)
	if err != nil || string(got) != "old" || names(t, dir) != "file" {
		t.Errorf("afterwards: %q, %v, and %q", got, err, names(t, dir))
	}
	if err := os.Mkdir(filepath.Join(dir, "dir"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Write(filepath.Join(dir, "dir"), nil, Options{}); err == nil {
		t.Error("a directory was replaced by a file")
	}
	if got := names(t, dir); got != "dir file" {
		t.Errorf("what failed has left %q", got)
	}
	if err := Write(filepath.Join(dir, "none", "file"), nil, Options{}); !errors.Is(err,
		fs.ErrNotExist) {
		t.Errorf("in a directory that is not there: %v", err)
	}
}

func TestSymlink(t *testing.T) {
	dir := t.TempDir()
	link, temp := filepath.Join(dir, "link"), filepath.Join(dir, "temp")
	for _, target := range []string{"one", "two"} {
		// as one that was killed has left it
		if err := os.Symlink("other", temp); err != nil {
			t.Fatal(err)
		}
		if err := Symlink(target, link, temp); err != nil {
			t.Fatal(err)
		}
		if got, err := os.Readlink(link); err != nil || got != target {
			t.Errorf("it points to %q, %v; want %q", got, err, target)
		}
	}
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(link, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Symlink("three", link, temp); err == nil {
		t.Error("a directory was replaced by a link")
	}
	if got := names(t, dir); got != "link" {
		t.Errorf("what failed has left %q", got)
	}
}

// TestErrorsNameTheFile: what cannot be written is called by its own name.
func TestErrorsNameTheFile(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{filepath.Join(dir, "gone", "file"), dir} {
		err := Write(name, nil, Options{Prefix: ".new-"})
		var p *fs.PathError
		if !errors.As(err, &p) || p.Path != name || strings.Contains(err.Error(), ".new-") {
			t.Errorf("%s: %v", name, err)
		}
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := &File{File: full, name: "file"}
	for what, write := range map[string]func() error{
		"Write": func() error { _, err := f.Write([]byte("x")); return err },
		"ReadFrom": func() error {
			_, err := f.ReadFrom(strings.NewReader("x"))
			return err
		},
	} {
		if err := write(); err == nil || err.Error() != "write file: no space left on device" {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := full.Close(); err != nil {
		t.Error(err)
	}
}
