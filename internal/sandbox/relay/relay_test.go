package relay

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nsbuild/internal/testenv"
)

// open makes a file with a text and this mode, and opens it.
func open(t *testing.T, text string, mode os.FileMode, flags int) *os.File {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, flags, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// isFile tells whether what a jail was given is a file of the caller's.
func isFile(t *testing.T, f *os.File) bool {
	t.Helper()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return st.Mode().IsRegular()
}

// TestInput has a jail read a file itself only where it could open it for nothing else.
func TestInput(t *testing.T) {
	for _, c := range []struct {
		name   string
		mode   os.FileMode
		flags  int
		jail   Jail
		direct bool
	}{
		{"everybody may read it", 0o644, os.O_RDONLY, Jail{}, true},
		{"a jail with the caller's ids owns it", 0o644, os.O_RDONLY, Jail{CallersIDs: true}, false},
		{"nobody else may read it", 0o600, os.O_RDONLY, Jail{}, false},
		{"everybody may write to it", 0o666, os.O_RDONLY, Jail{}, false},
	} {
		in := open(t, "one\ntwo\n", c.mode, c.flags)
		out := open(t, "", 0o600, os.O_WRONLY)
		passed, between, done, err := c.jail.Between([]*os.File{in, out, out})
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := isFile(t, passed[0]); got != c.direct {
			t.Errorf("%s: the jail has the file: %v", c.name, got)
		}
		if isFile(t, passed[1]) || isFile(t, passed[2]) || passed[1] != passed[2] {
			t.Errorf("%s: the jail has the file that it writes to, or two pipes to it", c.name)
		}
		// A command that reads a part: whoever reads the file next begins behind that.
		part := make([]byte, 4)
		if _, err := io.ReadFull(passed[0], part); err != nil || string(part) != "one\n" {
			t.Errorf("%s: %q, %v", c.name, part, err)
		}
		done()
		if err := between.Wait(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if rest, err := io.ReadAll(in); err != nil || string(rest) != "two\n" {
			t.Errorf("%s: %q is left, %v", c.name, rest, err)
		}
	}
}

// TestOutput has all that a command has written where it belongs when it has ended.
func TestOutput(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	out, errs := open(t, "", 0o666, os.O_RDWR), open(t, "", 0o666, os.O_RDWR)
	passed, between, done, err := Jail{}.Between([]*os.File{null, out, errs})
	if err != nil {
		t.Fatal(err)
	}
	if passed[0] != null {
		t.Error("the jail does not have /dev/null itself")
	}
	long := strings.Repeat("x", 300<<10) // more than a pipe holds
	for i, text := range []string{long, "short"} {
		if isFile(t, passed[1+i]) {
			t.Error("the jail has the file")
		}
		if _, err := passed[1+i].WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	done()
	if err := between.Wait(); err != nil {
		t.Error(err)
	}
	for f, want := range map[*os.File]string{out: long, errs: "short"} {
		if got, err := os.ReadFile(f.Name()); err != nil || string(got) != want {
			t.Errorf("%d bytes arrived of %d, %v", len(got), len(want), err)
		}
	}
}

// TestPipes passes the caller's pipes on, but where their owner is in the jail.
func TestPipes(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if err := w.Chmod(0o622); err != nil {
		t.Fatal(err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, callers := range []bool{false, true} {
		passed, between, done, err := Jail{CallersIDs: callers}.Between([]*os.File{null, w, w})
		if err != nil {
			t.Fatal(err)
		}
		if direct := passed[1] == w; direct == callers {
			t.Errorf("with the caller's ids %v: the jail has the pipe: %v", callers, direct)
		}
		done()
		if between != nil {
			if err := between.Wait(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestHostsTerminal gives a jail no terminal but its own: who has one open can read its keys.
func TestHostsTerminal(t *testing.T) {
	_, terminal := testenv.Terminal(t)
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	streams := []*os.File{terminal, terminal, terminal}
	own, err := os.Open("/dev/pts")
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	for _, c := range []struct {
		jail Jail
		has  bool
	}{{Jail{}, false}, {Jail{PTS: own}, true}} {
		keyless, err := c.jail.WithoutKeys(streams, null)
		if err != nil {
			t.Fatal(err)
		}
		if has := keyless[0] == terminal; has != c.has {
			t.Errorf("the jail reads a terminal that is its own (%v): %v", c.has, has)
		}
		passed, between, done, err := c.jail.Between(keyless)
		if err != nil {
			t.Fatal(err)
		}
		if has := passed[1] == terminal; has != c.has {
			t.Errorf("the jail writes to a terminal that is its own (%v): %v", c.has, has)
		}
		done()
		if between != nil {
			if err := between.Wait(); err != nil {
				t.Error(err)
			}
		}
	}
}
