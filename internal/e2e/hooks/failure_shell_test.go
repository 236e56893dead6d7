package hooks

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"

	"nsbuild/internal/e2e"
	"nsbuild/internal/testenv"
)

// talk is what a person at a terminal waits for, and then types.
type talk struct{ sees, types string }

// atTerminal runs a command of the shell at a terminal, and has a person talk to it. It returns
// what was shown, and the exit status.
func atTerminal(t *testing.T, w *e2e.World, command string,
	lines ...talk) (shown string, status int) {
	t.Helper()
	testenv.RequireTool(t, "script")
	ctx, cancel := context.WithTimeout(t.Context(), e2e.TooLong)
	defer cancel()
	c := exec.CommandContext(ctx, "script", "-qec", command, "/dev/null")
	c.Dir, c.Env = w.Dir, append(w.Environment(), "TERM=dumb")
	keyboard, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	screen, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	var all bytes.Buffer
	buf := make([]byte, 4096)
	from := 0
	for err == nil {
		if len(lines) > 0 {
			if i := strings.Index(all.String()[from:], lines[0].sees); i >= 0 {
				from += i + len(lines[0].sees)
				if _, err := io.WriteString(keyboard, lines[0].types); err != nil {
					t.Error(err)
				}
				lines = lines[1:]
				continue
			}
		}
		var n int
		n, err = screen.Read(buf)
		all.Write(buf[:n])
	}
	if !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	if len(lines) > 0 {
		t.Errorf("%q was never shown", lines[0].sees)
	}
	exit := (*exec.ExitError)(nil)
	if err := c.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return all.String(), c.ProcessState.ExitCode()
}

// TestFailureShell opens both kinds of shell in the jail of a build that failed: sbuild's, in a
// command, and --shell-on-failure.
func TestFailureShell(t *testing.T) {
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	bad := w.HookSource(t, true)
	shown, status := atTerminal(t, w, "nsbuild build -d bookworm --build-failed-commands='echo "+
		"looking into it; %SBUILD_SHELL' --shell-on-failure "+bad,
		talk{"# ", "echo first $((6 * 7)); pwd\n"}, talk{"first 42", ""}, talk{"# ", "exit\n"},
		talk{"nsbuild: Build failure", ""},
		talk{"to repeat it as the builder: HOME=/nonexistent runuser -u builder -- dpkg-buildpackage",
			""},
		talk{"a root shell in its jail", ""},
		talk{"# ", "echo second $((7 * 7)) $(hostname) $(ls debian/rules)\n"},
		talk{"second 49 nsbuild debian/rules", ""},
		talk{"# ", "HOME=/nonexistent runuser -u builder -- dpkg-buildpackage -us -uc -b; " +
			"echo again $?\n"}, talk{"again 2", ""}, talk{"# ", "exit 3\n"})
	if status != 2 || !strings.Contains(shown, "Build failure") {
		t.Errorf("status %d: %s", status, shown)
	}
	inOrder(t, w.LogOf(t, "unhooked"), "looking into it",
		"I: A shell was opened in the jail (--shell-on-failure).",
		"I: The shell ended: exit status 3")
}
