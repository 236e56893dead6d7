package fdpass

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

func pair(t *testing.T) (a, b *net.UnixConn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "socket")
		c, err := net.FileConn(f)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		ends[i] = c.(*net.UnixConn)
		t.Cleanup(func() { _ = c.Close() })
	}
	return ends[0], ends[1]
}

func null(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// open counts the descriptors of this process.
func open(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestPass(t *testing.T) {
	a, b := pair(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	// more than a socket takes at once
	text := bytes.Repeat([]byte("text"), 1<<20)
	sent := make(chan error, 1)
	go func() { sent <- errors.Join(Write(a, text, w, null(t)), w.Close()) }()
	got := make([]byte, len(text))
	n, files, err := Read(b, got, 2)
	if err != nil || n == 0 || len(files) != 2 {
		t.Fatalf("%d bytes, %d files, %v", n, len(files), err)
	}
	if _, err := io.ReadFull(b, got[n:]); err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil || !bytes.Equal(got, text) {
		t.Fatalf("Write: %v; the text is the same: %v", err, bytes.Equal(got, text))
	}
	for _, f := range files {
		flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, f.Fd(), syscall.F_GETFD, 0)
		if errno != 0 || flags&syscall.FD_CLOEXEC == 0 {
			t.Errorf("a descriptor outlives an exec: %#x, %v", flags, errno)
		}
	}
	if _, err := files[0].WriteString("through"); err != nil {
		t.Fatal(err)
	}
	closeAll(files)
	if got, err := io.ReadAll(r); err != nil || string(got) != "through" {
		t.Errorf("through the pipe came %q, %v", got, err)
	}
}

func TestNoFiles(t *testing.T) {
	a, b := pair(t)
	if err := Write(a, []byte("x")); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 10)
	if n, files, err := Read(b, p, 3); n != 1 || files != nil || err != nil {
		t.Errorf("%d bytes, %v, %v", n, files, err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if n, files, err := Read(b, p, 3); n != 0 || files != nil || !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %d bytes, %v, %v", n, files, err)
	}
}

// What is not wanted is closed: whether there was room for it or not.
func TestTooMany(t *testing.T) {
	for _, many := range []int{2, 3, 10} {
		a, b := pair(t)
		var files []*os.File
		for range many {
			files = append(files, null(t))
		}
		if err := Write(a, []byte("x"), files...); err != nil {
			t.Fatal(err)
		}
		before := open(t)
		_, got, err := Read(b, make([]byte, 10), 1)
		if err == nil || got != nil {
			t.Errorf("%d descriptors for one: %d, %v", many, len(got), err)
		}
		if after := open(t); after != before {
			t.Errorf("%d descriptors for one: %d are open now, %d before", many, after, before)
		}
	}
}

// A process that has no room for a descriptor is told that it missed one.
func TestLost(t *testing.T) {
	a, b := pair(t)
	if err := Write(a, []byte("x"), null(t)); err != nil {
		t.Fatal(err)
	}
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE,
		&syscall.Rlimit{Cur: 3, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	_, files, err := Read(b, make([]byte, 10), 1)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if files != nil || err == nil || !strings.Contains(err.Error(), "too many open files") {
		t.Errorf("%d files, %v", len(files), err)
	}
}
