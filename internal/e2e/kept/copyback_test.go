package kept

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"nsbuild/internal/e2e"
	"nsbuild/internal/testenv"
)

// answered runs a command of the shell at a terminal, and answers the question that it asks.
func answered(t *testing.T, w *e2e.World, command, answer string) string {
	t.Helper()
	testenv.RequireTool(t, "script")
	c := exec.CommandContext(t.Context(), "script", "-qec", command, "/dev/null")
	c.Dir, c.Env = w.Dir, append(w.Environment(), "TERM=dumb")
	keyboard, err := c.StdinPipe()
	e2e.Check(t, err)
	screen, err := c.StdoutPipe()
	e2e.Check(t, err)
	e2e.Check(t, c.Start())
	var shown bytes.Buffer
	buf := make([]byte, 4096)
	asked := false
	for {
		n, err := screen.Read(buf)
		shown.Write(buf[:n])
		if !asked && strings.Contains(shown.String(), "[y/N]") {
			asked = true
			_, err := keyboard.Write([]byte(answer + "\n"))
			e2e.Check(t, err)
		}
		if err != nil {
			break // the terminal is gone with the command
		}
	}
	e2e.Check(t, c.Wait())
	if !asked {
		t.Errorf("nothing was asked:\n%s", shown.String())
	}
	return shown.String()
}

// TestCopyBack takes what was changed in debian/ back to the source directory, when it is told so.
func TestCopyBack(t *testing.T) {
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	w.WriteTree(t, "back-1.0")
	rules := filepath.Join(w.Dir, "back-1.0", "debian", "rules")
	e2e.Check(t, os.WriteFile(rules, []byte(e2e.BadRules("\texit 7\n")), 0o755))
	one := id(t, w.Run(t, "build", "-q", "-d", "bookworm", "back-1.0"))
	const change = `sh -c "echo '# mended' >> debian/rules; echo new > debian/new; ` +
		`ln -s / debian/up; rm debian/source/format; touch elsewhere"`
	command := "nsbuild enter " + one + " --copy-back debian -- " + change
	for answer, says := range map[string]string{"n": "nothing is copied back",
		"": "nothing is copied back"} {
		shown := answered(t, w, command, answer)
		e2e.WantIn(t, "what is shown", shown, `^\+# mended`, `^\+\+\+ b/debian/new`, says,
			"debian/up is no regular file")
		if text := e2e.Read(t, rules); strings.Contains(text, "mended") {
			t.Errorf("%q has changed it", answer)
		}
	}
	answered(t, w, command, "y")
	if text := e2e.Read(t, rules); !strings.Contains(text, "exit 7\n# mended\n") {
		t.Errorf("it was not changed:\n%s", text)
	}
	for name, there := range map[string]bool{"debian/new": true, "debian/up": false,
		"debian/source/format": false, "elsewhere": false} {
		if _, err := os.Lstat(filepath.Join(w.Dir, "back-1.0", name)); (err == nil) != there {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, args := range [][]string{{"--copy-back", "../etc"}, {"--copy-back", "nothing"},
		{"--copy-back", "debian", "--write"}} {
		args = append(append([]string{"enter", one}, args...), "--", "true")
		if o := w.Run(t, args...); o.Status == 0 {
			t.Errorf("%q: %s", args, o)
		}
	}
	w.Must(t, "forget", one)
}
