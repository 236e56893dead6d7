package session

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nsbuild/internal/testenv"
)

// redirected runs a script of which only some streams are the terminal, and returns what the file
// got that the others are.
func redirected(t *testing.T, o Options, terminal *os.File, streams, script string) string {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for i, stream := range []**os.File{&o.Stdin, &o.Stdout, &o.Stderr} {
		switch {
		case streams[i] == 't':
			*stream = terminal
		case i > 0:
			*stream = file
		}
	}
	before, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	o.Argv = []string{"/bin/sh", "-c", script}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if st, err := Run(ctx, o); err != nil || !st.Success() {
		t.Errorf("%v %v", st, err)
	}
	after, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil || *after != *before {
		t.Errorf("the terminal is not as it was: %+v, %+v, %v", before, after, err)
	}
	text, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestRedirected has some streams be the caller's terminal: the command's is one of the jail's.
func TestRedirected(t *testing.T) {
	const where = "a=$(for i in 0 1 2; do readlink /proc/$$/fd/$i; done); echo $a $(stty -F " +
		"/dev/pts/0 size) >&3"
	for streams, want := range map[string]string{
		"tff": "/dev/pts/0 pipe: pipe: 41 111",
		"tft": "/dev/pts/0 pipe: /dev/pts/0 41 111",
		"ttf": "/dev/pts/0 /dev/pts/0 pipe: 41 111",
		"ftf": "/dev/null /dev/pts/0 pipe: 41 111",
		"fft": "/dev/null pipe: /dev/pts/0 41 111",
	} {
		t.Run(streams, func(t *testing.T) {
			keyboard, terminal := testenv.Terminal(t)
			go func() { _, _ = io.Copy(io.Discard, keyboard) }()
			o := tree(t)
			got := redirected(t, o, terminal, streams,
				"exec 3>&"+map[bool]string{true: "1", false: "2"}[streams[1] == 'f']+"; "+where)
			var fields []string
			for f := range strings.FieldsSeq(got) {
				if strings.HasPrefix(f, "pipe:") {
					f = "pipe:"
				}
				fields = append(fields, f)
			}
			if got := strings.Join(fields, " "); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}

// TestKeysOfOthers types something for the next program of a pipeline, or the shell: a command that
// does not ask for keys takes none.
func TestKeysOfOthers(t *testing.T) {
	for _, streams := range []string{"tff", "tft", "ftt"} {
		keyboard, terminal := testenv.Terminal(t)
		if _, err := io.WriteString(keyboard, "for the pager\n"); err != nil {
			t.Fatal(err)
		}
		redirected(t, tree(t), terminal, streams, "sleep 0.2; echo done; sleep 0.1")
		ready := []unix.PollFd{{Fd: int32(terminal.Fd()), Events: unix.POLLIN}}
		if n, err := unix.Poll(ready, 1000); n != 1 || err != nil {
			t.Errorf("%s: nothing is left to read: %v", streams, err)
			continue
		}
		line := make([]byte, 100)
		n, err := terminal.Read(line)
		if string(line[:n]) != "for the pager\n" || err != nil {
			t.Errorf("%s: %q, %v", streams, line[:n], err)
		}
	}
}

// TestModeOfRedirected has commands change the mode of each stream that is a terminal: redirected
// checks that the caller's is as it was.
func TestModeOfRedirected(t *testing.T) {
	for _, streams := range []string{"tff", "tft", "ftf", "fft"} {
		keyboard, terminal := testenv.Terminal(t)
		go func() { _, _ = io.Copy(io.Discard, keyboard) }()
		lead := strings.IndexByte(streams, 't')
		redirected(t, tree(t), terminal, streams, fmt.Sprintf("stty -echo -icrnl <&%d", lead))
	}
}

// waitRaw waits until keys are passed on as they are typed: the command has asked for them.
func waitRaw(terminal *os.File) {
	for range 20_000 {
		mode, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
		if err != nil || mode.Lflag&unix.ICANON == 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// TestKeysWhenAskedFor types at commands whose output leads elsewhere.
func TestKeysWhenAskedFor(t *testing.T) {
	for streams, shown := range map[string]string{"tff": "", "tft": "ready"} {
		keyboard, terminal := testenv.Terminal(t)
		screen := &bytes.Buffer{}
		seen := make(chan struct{})
		go func() {
			defer close(seen)
			_, _ = io.Copy(screen, keyboard)
		}()
		go func() {
			waitRaw(terminal)
			_, _ = io.WriteString(keyboard, "one\rtwo\r\x04")
		}()
		got := redirected(t, tree(t), terminal, streams, "echo ready >&2; read a; stty -echo; "+
			"read b; echo $a $b; cat; stty -a | grep -o -- '-echo '")
		want := "one two\n-echo \n"
		if streams == "tff" {
			want = "ready\n" + want
		}
		if got != want {
			t.Errorf("%s: %q, want %q", streams, got, want)
		}
		terminal.Close()
		<-seen
		if text := screen.String(); !strings.Contains(text, shown) ||
			!strings.Contains(text, "one\r\n") {
			t.Errorf("%s: shown was %q", streams, text)
		}
	}
}
