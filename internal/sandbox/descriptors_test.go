package sandbox

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestDescriptorsStayInside starts every kind of process that a jail has, and walks from whatever
// directory one of them holds up to its top: that is the jail's root, or a detached mount that has
// nothing but libraries.
func TestDescriptorsStayInside(t *testing.T) {
	for _, spec := range []Spec{{}, {Caller: &Caller{UID: 1000, GID: 1000}}} {
		h := startHolder(t)
		spec.Root = Root{Lowers: []Lower{{Path: testRoot(t, h)}}}
		spec.Mounts = programs()
		j, err := h.NewJail(context.Background(), spec)
		if err != nil {
			t.Fatal(err)
		}
		startEveryKind(t, j)
		out, st := run(t, j, Command{Applet: "descriptors"})
		if !st.Success() {
			t.Fatalf("%s %v", out, st)
		}
		seen := 0
		for line := range strings.Lines(out) {
			name, top, found := strings.Cut(strings.TrimSpace(line), " -> ")
			switch {
			case !found:
				seen++
			case !onlyLibraries(top):
				t.Errorf("%s leads out of the jail, to a directory of %s", name, top)
			}
		}
		if seen < 8 {
			t.Errorf("only %d descriptors were looked at:\n%s", seen, out)
		}
		if _, err := j.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestNothingOutsideIsWritable tries to write to every file that a process of the jail holds, this
// program's loader and libraries among them, as jail root and as the caller's own id, which a jail
// with binds of the caller's files has.
func TestNothingOutsideIsWritable(t *testing.T) {
	h := startHolder(t)
	caller := &Caller{UID: 1000, GID: 1000}
	j, err := h.NewJail(context.Background(), Spec{
		Root: Root{Lowers: []Lower{{Path: testRoot(t, h)}}}, Mounts: programs(), Caller: caller,
	})
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	_, err = j.Start(Command{Applet: "wait", UID: caller.UID, GID: caller.GID, Stdout: w})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(make([]byte, 16)); err != nil {
		t.Fatal(err)
	}
	startEveryKind(t, j)
	const write = "for f in /proc/[0-9]*/fd/* /proc/[0-9]*/fd/*/*; do " +
		"[ -f $f ] && (: >>$f) 2>/dev/null && echo wrote $f $(readlink $f); done"
	var out string
	for _, uid := range []int{0, caller.UID} {
		text, _ := run(t, j, Command{Argv: []string{"/bin/sh", "-c", write}, UID: uid, GID: uid})
		out += text
	}
	if strings.Contains(out, "wrote") {
		t.Errorf("a jail writes to this program:\n%s", out)
	}
	if _, err := j.Close(); err != nil {
		t.Error(err)
	}
}

// TestDirectoryAsStream gives a command a directory of the host as a stream.
func TestDirectoryAsStream(t *testing.T) {
	h := startHolder(t)
	j := hostJail(t, h)
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	for _, c := range []Command{{Stdin: dir}, {Stderr: dir}, {Files: []*os.File{dir}}} {
		c.Argv = []string{"ls", "/proc/self/fd/0/.."}
		if _, err := j.Start(c); err == nil || !strings.Contains(err.Error(), "is a directory") {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if _, err := j.Close(); err != nil {
		t.Error(err)
	}
}

// startEveryKind leaves a command of each kind running: with a terminal, as PID 1, with a limit
// of memory, with the caller's network, as a user, an applet with descriptors. It returns when
// each of them runs.
func startEveryKind(t *testing.T, j *Jail) {
	t.Helper()
	argv := []string{"/bin/sh", "-c", "echo ready; sleep 1000"}
	terminal, err := j.NewTerminal(0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = terminal.CloseSlave() }() // what it has started has its own
	tty := terminal.Slave()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	defer w.Close()
	for _, c := range []Command{
		{Argv: argv, Stdout: w},
		{Argv: argv, Stdout: w, UID: 1000, GID: 1000},
		{Argv: argv, Stdin: tty, Stdout: tty, Stderr: tty, Terminal: true},
		{Argv: argv, Stdout: w, PID1: true},
		{Argv: argv, Stdout: w, Memory: 1 << 30},
		{Argv: argv, Stdout: w, Network: NetworkHost},
		{Applet: "wait", Stdout: w, Files: []*os.File{r}},
	} {
		if _, err := j.Start(c); err != nil {
			t.Fatal(err)
		}
		from := io.Reader(r)
		if c.Terminal {
			from = terminal
		}
		line := make([]byte, len("ready"))
		if _, err := io.ReadFull(from, line); err != nil || string(line) != "ready" {
			t.Fatalf("%+v says %q, %v", c, line, err)
		}
		if !c.Terminal { // its line ends with two bytes, and nothing else is read from there
			if _, err := io.ReadFull(from, line[:1]); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func onlyLibraries(entries string) bool {
	for name := range strings.FieldsSeq(entries) {
		if !strings.Contains(name, ".so") {
			return false
		}
	}
	return entries != ""
}

// descriptorsApplet prints a line for each directory that some process holds, and where the walk
// up from it ends when that is not the root directory: the names in there.
func descriptorsApplet([]string) int {
	var names []string
	for _, pattern := range []string{"fd/*", "cwd", "root", "task/*/cwd", "task/*/root"} {
		found, err := filepath.Glob("/proc/[0-9]*/" + pattern)
		if err != nil {
			fmt.Println(err)
			return 1
		}
		names = append(names, found...)
	}
	var root unix.Stat_t
	if err := unix.Stat("/", &root); err != nil {
		fmt.Println(err)
		return 1
	}
	for _, name := range names {
		target, err := os.Readlink(name)
		if err != nil {
			continue // another's, or ended
		}
		line := fmt.Sprintf("%s (%s)", name, target)
		if top, st, err := walkUp(name); err == nil && (st.Dev != root.Dev || st.Ino != root.Ino) {
			line += " -> " + strings.Join(top, " ")
		}
		fmt.Println(line)
	}
	return 0
}

// walkUp goes from a directory to its parents until there is none.
func walkUp(name string) (entries []string, st unix.Stat_t, err error) {
	fd, err := unix.Open(name+"/.", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, st, err
	}
	for {
		if err := unix.Fstat(fd, &st); err != nil {
			return nil, st, err
		}
		up, err := unix.Openat(fd, "..", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			return nil, st, err
		}
		var above unix.Stat_t
		if err := unix.Fstat(up, &above); err != nil {
			return nil, st, err
		}
		unix.Close(fd)
		fd = up
		if above.Dev == st.Dev && above.Ino == st.Ino {
			break
		}
	}
	dir := os.NewFile(uintptr(fd), name)
	defer dir.Close()
	entries, err = dir.Readdirnames(-1)
	return entries, st, err
}
