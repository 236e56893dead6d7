package sandbox

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"nsbuild/internal/testenv"
)

// onTerminal runs a shell command on a terminal of the jail, types, and returns what it showed.
func onTerminal(t *testing.T, j *Jail, uid int, script, keys string) (string, Status) {
	t.Helper()
	term, err := j.NewTerminal(uid)
	if err != nil {
		t.Fatal(err)
	}
	defer term.Close()
	if err := term.Resize(33, 77); err != nil {
		t.Fatal(err)
	}
	p, err := j.Start(
		Command{Argv: []string{"/bin/sh", "-c", script},
			Env: []string{"PATH=" + DefaultPath},
			UID: uid, GID: uid,
			Stdin: term.Slave(), Stdout: term.Slave(), Stderr: term.Slave(), Terminal: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := term.CloseSlave(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(term, keys); err != nil {
		t.Fatal(err)
	}
	if err := term.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := io.Copy(&out, term); err != nil {
		t.Fatalf("%v after %q", err, out.String())
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	st, err := p.Wait(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return out.String(), st
}

func TestTerminal(t *testing.T) {
	j := hostJail(t, startHolder(t))
	for _, c := range []struct {
		name, script, keys, out string
		uid, code               int
	}{
		{"name", "tty", "", "/dev/pts/0\r\n", 0, 0},
		{"owner", "stat -c %u:%g:%a $(tty)", "", "1000:5:620\r\n", 1000, 0},
		{"controlling", "echo own >/dev/tty", "", "own\r\n", 0, 0},
		{"size", "stty size", "", "33 77\r\n", 0, 0},
		{"interrupt", "stty -echo -echoctl; exec sleep 20", "\x03", "", 0, 130},
		{"status", "exit 7", "", "", 0, 7},
		{"foreground", "set -- $(cat /proc/$$/stat); test $5 = $8 && echo yes", "", "yes\r\n", 0,
			0},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, st := onTerminal(t, j, c.uid, c.script, c.keys)
			if c.out != "" && out != c.out || st.ExitCode() != c.code {
				t.Errorf("%s: %q, %v; want %q, %d", c.script, out, st, c.out, c.code)
			}
		})
	}
}

func TestPausedAndResumed(t *testing.T) {
	j := hostJail(t, startHolder(t))
	term, err := j.NewTerminal(0)
	if err != nil {
		t.Fatal(err)
	}
	defer term.Close()
	p, err := j.Start(Command{Argv: []string{"/bin/sh", "-c", "kill -TSTP $$; echo again"},
		Env:   []string{"PATH=" + DefaultPath},
		Stdin: term.Slave(), Stdout: term.Slave(), Stderr: term.Slave(), Terminal: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := term.CloseSlave(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.Paused():
	case <-time.After(10 * time.Second):
		t.Fatal("a stopped command was not reported: its process group is an orphaned one")
	}
	if err := p.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := term.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(term)
	if err != nil || string(out) != "again\r\n" {
		t.Errorf("%q, %v", out, err)
	}
}

func TestTerminalCommandNotFound(t *testing.T) {
	j := hostJail(t, startHolder(t))
	term, err := j.NewTerminal(0)
	if err != nil {
		t.Fatal(err)
	}
	defer term.Close()
	defer func() {
		if err := term.CloseSlave(); err != nil {
			t.Error(err)
		}
	}()
	s := term.Slave()
	if _, err := j.Start(Command{Argv: []string{"no-such-command"}, Stdin: s, Stdout: s, Stderr: s,
		Terminal: true}); !os.IsNotExist(err) && !strings.Contains(err.Error(), "no such file") {
		t.Errorf("%v", err)
	}
}

// TestHostTerminal hands a terminal of the host's to a command: it does not get it.
func TestHostTerminal(t *testing.T) {
	j := hostJail(t, startHolder(t))
	master, slave := testenv.Terminal(t)
	if _, err := io.WriteString(master, "key\n"); err != nil {
		t.Fatal(err)
	}
	script := "for i in 0 1 2; do test -t $i && echo terminal $i; done; read x; echo got $x."
	p, err := j.Start(
		Command{Argv: []string{"/bin/sh", "-c", script},
			Env:   []string{"PATH=" + DefaultPath},
			Stdin: slave, Stdout: slave, Stderr: slave})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if st, err := p.Wait(ctx); err != nil || !st.Success() {
		t.Error(st, err)
	}
	var shown strings.Builder
	for buf := make([]byte, 1000); !strings.Contains(shown.String(), "got "); {
		n, err := master.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		shown.Write(buf[:n])
	}
	if text := shown.String(); !strings.Contains(text, "got .\r\n") ||
		strings.Contains(text, "terminal") {
		t.Errorf("%q", text)
	}
}
