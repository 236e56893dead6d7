package sandbox

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// expendable makes a process, and what it will begin, no less likely to be killed than others when
// the host's memory runs out. A caller with a negative score (a service, a login over ssh) would
// otherwise have the kernel kill everything else for what a hostile command takes.
func expendable(proc string, pid int) error {
	const file = "oom_score_adj"
	own := filepath.Join(proc, "self", file)
	text, err := os.ReadFile(own)
	if err != nil {
		return fmt.Errorf("reading the score for want of memory: %w", err)
	}
	score, err := strconv.Atoi(string(bytes.TrimSpace(text)))
	if err != nil {
		return fmt.Errorf("%s: %w", own, err)
	}
	if score >= 0 {
		return nil
	}
	if err := os.WriteFile(filepath.Join(proc, strconv.Itoa(pid), file), []byte("0\n"),
		0); err != nil {
		return fmt.Errorf("raising PID 1's score for want of memory: %w", err)
	}
	return nil
}
