package session

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// input is a file to be read by a command.
func input(t *testing.T, mode os.FileMode, text string) *os.File {
	t.Helper()
	name := filepath.Join(t.TempDir(), "input")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// TestInputOpenedAnew has users of the jail open /dev/stdin, where it is a file of any mode, and
// try to write to it.
func TestInputOpenedAnew(t *testing.T) {
	for _, mode := range []os.FileMode{0o600, 0o644, 0o666} {
		for _, user := range []string{"", "someone"} {
			t.Run(mode.String()+user, func(t *testing.T) {
				o := tree(t)
				f := input(t, mode, "fed\n")
				o.User, o.Stdin = user, f
				out, st, err := output(t, o, `cat /dev/stdin; for fd in /proc/$$/fd/0 /dev/stdin; do
					(echo overwritten >$fd) 2>/dev/null; done; :`)
				if err != nil || !st.Success() || out != "fed\n" {
					t.Errorf("%q %v %v", out, st, err)
				}
				if text, err := os.ReadFile(f.Name()); err != nil || string(text) != "fed\n" {
					t.Errorf("the file is %q: %v", text, err)
				}
			})
		}
	}
}

// TestInputIsGivenBack leaves to the next reader of a file what a command has not read.
func TestInputIsGivenBack(t *testing.T) {
	for _, mode := range []os.FileMode{0o600, 0o644, 0o666} {
		for name, c := range map[string]struct {
			script string
			read   int64
		}{
			"nothing": {"true", 0},
			"line":    {"read line", 6},
			"some":    {"dd bs=100000 count=1 iflag=fullblock of=/dev/null 2>/dev/null", 100000},
			"all":     {"cat >/dev/null", 600000},
		} {
			t.Run(mode.String()+" "+name, func(t *testing.T) {
				o := tree(t)
				f := input(t, mode, strings.Repeat("12345\n", 100000))
				o.Stdin = f
				if out, st, err := output(t, o, c.script); err != nil || !st.Success() {
					t.Errorf("%q %v %v", out, st, err)
				}
				if at, err := f.Seek(0, io.SeekCurrent); err != nil || at != c.read {
					t.Errorf("the next reader begins at %d, want %d: %v", at, c.read, err)
				}
			})
		}
	}
}
