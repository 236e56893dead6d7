package pump

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestPump(t *testing.T) {
	var out bytes.Buffer
	p, err := Start(&out)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("text", 1<<18) // more than a pipe holds
	if _, err := p.W.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.W.Close(), p.Finish()); err != nil || out.String() != text {
		t.Errorf("%d of %d bytes, %v", out.Len(), len(text), err)
	}
}

// A process that the command left has the pipe, and says something now and then.
func TestStray(t *testing.T) {
	var out bytes.Buffer
	p, err := Start(&out)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := syscall.Dup(int(p.W.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	stray := os.NewFile(uintptr(fd), "stray")
	defer stray.Close()
	if _, err := p.W.WriteString("the command's"); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := errors.Join(p.W.Close(), p.Finish()); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took < Grace {
		t.Errorf("it was not waited for, but %v", took)
	}
	if out.String() != "the command's" {
		t.Errorf("it said %q", out.String())
	}
	if _, err := stray.WriteString("x"); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("the pipe is still there: %v", err)
	}
}

// What ends the reading is told.
func TestBroken(t *testing.T) {
	broken := errors.New("broken")
	p, err := StartFunc(func(r io.Reader) error {
		_, err := r.Read(make([]byte, 1))
		return errors.Join(broken, err)
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.W.WriteString("x"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.W.Close(), p.Finish()); !errors.Is(err, broken) {
		t.Errorf("it ended with %v", err)
	}
}
