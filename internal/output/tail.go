// Package output keeps what commands say that run in a jail, within bounds: the end of it for the
// error that their failure becomes, or an answer of a few lines. Where all of it goes, the log, is
// left to internal/buildlog.
package output

import (
	"bytes"
	"fmt"
	"strings"
	"sync"

	"nsbuild/internal/buildlog"
)

// Tail keeps the end of what a command says, for the error that its failure becomes.
type Tail struct {
	mu   sync.Mutex
	text []byte
}

const (
	tailBytes = 8 << 10
	// TailLines is how many of the last lines are shown.
	TailLines = 20
)

func (t *Tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if over := len(t.text) - tailBytes; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(p), nil
}

// Explain adds the last lines to err.
func (t *Tail) Explain(err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := bytes.TrimSpace(t.text)
	if len(text) == 0 {
		return err
	}
	lines := strings.Split(buildlog.VisibleString(string(text)), "\n")
	lines = lines[max(0, len(lines)-TailLines):]
	return fmt.Errorf("%w; the last lines of its output:\n  %s", err, strings.Join(lines, "\n  "))
}
