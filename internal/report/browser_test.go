package report

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nsbuild/internal/testenv"
)

// TestBrowser opens a page as a person does, from disk, at a line of the log whose section is
// folded: it opens, nothing is complained about, and the style is not refused.
func TestBrowser(t *testing.T) {
	testenv.RequireTool(t, "chromium")
	dir := t.TempDir()
	r := failed(t, dir, logText())
	r.Outcome.Causes = nil
	file := filepath.Join(dir, "page.html")
	if err := Write(file, []Build{{Result: r}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var said strings.Builder
	// A browser's own sandbox needs a user that is not root, and what few containers have.
	c := exec.CommandContext(ctx, "chromium", "--headless=new", "--no-sandbox", "--disable-gpu",
		"--disable-dev-shm-usage", "--user-data-dir="+filepath.Join(dir, "profile"),
		"--no-first-run", "--disable-background-networking", "--disable-component-update",
		"--enable-logging=stderr", "--dump-dom", "file://"+file+"#L12")
	c.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_CACHE_HOME="+dir)
	c.Stderr = &said
	c.WaitDelay = 10 * time.Second
	dom, err := c.Output()
	if err != nil {
		t.Fatalf("chromium: %v\n%s", err, said.String())
	}
	for line := range strings.Lines(said.String()) {
		if strings.Contains(line, "CONSOLE") {
			t.Error(line)
		}
	}
	for id, open := range map[string]bool{"S0": false, "S1": true, "S2": false} {
		if got := strings.Contains(string(dom), fmt.Sprintf(`id="%s" open=""`, id)); got != open {
			t.Errorf("section %s is open: %v, want %v", id, got, open)
		}
	}
	if !strings.Contains(string(dom), "</svg>") || !strings.Contains(string(dom), "</footer>") {
		t.Errorf("it is not whole: %.300s", dom)
	}
}
