package session

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// writesAnew opens its streams anew, in each way that scripts do.
const writesAnew = `echo one >/dev/stdout; echo two >/dev/stderr; echo three | tee /dev/stderr
exec 3>&1; echo four >/dev/fd/3; echo five >>/proc/self/fd/2`

// TestStreamsOpenedAnew has commands open /dev/stdout and its like, where the caller's streams are
// pipes, files and sockets, as users of the jail.
func TestStreamsOpenedAnew(t *testing.T) {
	for _, user := range []string{"", "someone", "4711"} {
		for _, kind := range []string{"pipe", "file", "socket", "FIFO"} {
			t.Run(kind+" "+user, func(t *testing.T) {
				o := tree(t)
				o.User = user
				out, gotOut := stream(t, kind)
				errs, gotErrs := stream(t, kind)
				o.Stdout, o.Stderr = out, errs
				o.Argv = []string{"/bin/sh", "-c", writesAnew}
				if st, err := Run(context.Background(), o); err != nil || !st.Success() {
					t.Errorf("%v %v", st, err)
				}
				if got, want := gotOut(), "one\nthree\nfour\n"; got != want {
					t.Errorf("standard output %q, want %q", got, want)
				}
				if got, want := gotErrs(), "two\nthree\nfive\n"; got != want {
					t.Errorf("standard error %q, want %q", got, want)
				}
			})
		}
	}
}

// TestOneFileForBoth keeps the order of what is written to two streams that are one.
func TestOneFileForBoth(t *testing.T) {
	o := tree(t)
	out, got := stream(t, "file")
	o.Stdout, o.Stderr = out, out
	o.Argv = []string{"/bin/sh", "-c", "for i in 1 2 3 4 5 6 7 8; do echo $i; echo $i >&2; done"}
	if st, err := Run(context.Background(), o); err != nil || !st.Success() {
		t.Errorf("%v %v", st, err)
	}
	if got, want := strings.ReplaceAll(got(), "\n", ""), "1122334455667788"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestStreamsGrantNoMore has a jail try to get at more of the caller's files than the streams
// allow.
func TestStreamsGrantNoMore(t *testing.T) {
	for _, kind := range []string{"pipe", "file"} {
		t.Run(kind, func(t *testing.T) {
			o := tree(t)
			out, got := stream(t, kind)
			if _, err := out.WriteString("secret\n"); err != nil {
				t.Fatal(err)
			}
			o.Stdout = out
			o.Argv = []string{"/bin/sh", "-c", `for f in /proc/$$/fd/*; do
				timeout 1 head -c 6 "$f" >/read 2>/dev/null; grep -q secret /read && echo "read by $f"
			done; : >/dev/stdout; echo end`}
			if st, err := Run(context.Background(), o); err != nil || !st.Success() {
				t.Errorf("%v %v", st, err)
			}
			if got, want := got(), "secret\nend\n"; got != want {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}

// TestReaderGone ends a command that writes on when nobody reads any more.
func TestReaderGone(t *testing.T) {
	for _, kind := range []string{"pipe", "socket"} {
		t.Run(kind, func(t *testing.T) {
			o := tree(t)
			r, w := pair(t, kind)
			o.Stdout, o.Argv = w, []string{"/bin/sh", "-c", "exec yes"}
			go func() {
				_, _ = r.Read(make([]byte, 2))
				r.Close()
			}()
			st, err := Run(context.Background(), o)
			if err != nil || st.Signal != syscall.SIGPIPE {
				t.Errorf("%v %v", st, err)
			}
		})
	}
}

// TestOutputCannotBeWritten has a file that takes nothing: the command's end is not all that is
// told.
func TestOutputCannotBeWritten(t *testing.T) {
	o := tree(t)
	fd, err := unix.MemfdCreate("sealed", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		t.Fatal(err)
	}
	sealed := os.NewFile(uintptr(fd), "sealed")
	defer sealed.Close()
	if _, err := unix.FcntlInt(sealed.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_GROW); err != nil {
		t.Fatal(err)
	}
	o.Stdout, o.Argv = sealed, []string{"/bin/sh", "-c", "echo x"}
	_, err = Run(context.Background(), o)
	if err == nil || !strings.Contains(err.Error(), "writing the command's standard output") {
		t.Errorf("%v", err)
	}
}

// TestReaderIsSlow ends, when it is asked to, a command whose output nobody takes.
func TestReaderIsSlow(t *testing.T) {
	o := tree(t)
	r, w := pair(t, "FIFO")
	defer r.Close()
	signals := make(chan os.Signal, 1)
	o.Signals, o.Stdout, o.Argv = signals, w, []string{"/bin/sh", "-c", "exec yes"}
	var asked time.Time
	go func() {
		// That something can be read shows that the command has begun.
		if n, err := unix.Poll([]unix.PollFd{{Fd: int32(r.Fd()), Events: unix.POLLIN}},
			60_000); n != 1 || err != nil {
			t.Errorf("nothing is written: %v", err)
		}
		asked = time.Now()
		signals <- syscall.SIGTERM
	}()
	st, err := Run(context.Background(), o)
	if took := time.Since(asked); err != nil || st.Signal != syscall.SIGTERM ||
		took > soon {
		t.Errorf("%v %v after %v", st, err, took)
	}
}

// pair is a reader and a writer of a kind.
func pair(t *testing.T, kind string) (r, w *os.File) {
	t.Helper()
	var err error
	switch kind {
	case "pipe":
		r, w, err = os.Pipe()
	case "socket":
		var fds [2]int
		fds, err = unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		r, w = os.NewFile(uintptr(fds[0]), kind), os.NewFile(uintptr(fds[1]), kind)
	case "FIFO":
		name := filepath.Join(t.TempDir(), kind)
		if err := unix.Mkfifo(name, 0o600); err != nil {
			t.Fatal(err)
		}
		if r, err = os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0); err == nil {
			w, err = os.OpenFile(name, os.O_WRONLY, 0)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return r, w
}

// stream is one of a kind to write to, and what was written there in the end.
func stream(t *testing.T, kind string) (*os.File, func() string) {
	t.Helper()
	if kind == "file" {
		name := filepath.Join(t.TempDir(), "file")
		f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		return f, func() string {
			text, err := os.ReadFile(name)
			if err := errors.Join(err, f.Close()); err != nil {
				t.Error(err)
			}
			return string(text)
		}
	}
	r, w := pair(t, kind)
	var text bytes.Buffer
	done := make(chan error, 1)
	go func() { _, err := io.Copy(&text, r); done <- err }()
	return w, func() string {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		return text.String()
	}
}
