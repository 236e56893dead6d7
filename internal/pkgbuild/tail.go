package pkgbuild

import (
	"bytes"
	"fmt"
	"strings"
	"sync"

	"nsbuild/internal/buildlog"
)

// tail keeps the end of what a command says, for the error that its failure becomes.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const (
	tailBytes = 8 << 10
	tailLines = 20
)

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if over := len(t.text) - tailBytes; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(p), nil
}

// explain adds the last lines to err.
func (t *tail) explain(err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := bytes.TrimSpace(t.text)
	if len(text) == 0 {
		return err
	}
	lines := strings.Split(buildlog.VisibleString(string(text)), "\n")
	lines = lines[max(0, len(lines)-tailLines):]
	return fmt.Errorf("%w; the last lines of its output:\n  %s", err, strings.Join(lines, "\n  "))
}
