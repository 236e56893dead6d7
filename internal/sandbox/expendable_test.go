package sandbox

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// TestExpendable takes a negative score for want of memory from what is started, and no other.
func TestExpendable(t *testing.T) {
	for own, want := range map[string]string{"-1000\n": "0\n", "-1\n": "0\n", "0\n": "as it was",
		"500\n": "as it was"} {
		proc := t.TempDir()
		for name, text := range map[string]string{"self": own, "7": "as it was"} {
			if err := os.Mkdir(filepath.Join(proc, name), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(proc, name, "oom_score_adj"), []byte(text),
				0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := expendable(proc, 7); err != nil {
			t.Error(err)
		}
		if got, err := os.ReadFile(filepath.Join(proc, "7", "oom_score_adj")); string(
			got) != want || err != nil {
			t.Errorf("with a score of %q: %q, %v", own, got, err)
		}
	}
	// The kernel's own file can be written so.
	child := exec.Command("sleep", "100")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = child.Process.Kill()
		_ = child.Wait()
	}()
	proc := t.TempDir()
	if err := os.Mkdir(filepath.Join(proc, "self"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(proc, "self", "oom_score_adj"), []byte("-1\n"),
		0o644); err != nil {
		t.Fatal(err)
	}
	pid := strconv.Itoa(child.Process.Pid)
	if err := os.Symlink("/proc/"+pid, filepath.Join(proc, pid)); err != nil {
		t.Fatal(err)
	}
	if err := expendable(proc, child.Process.Pid); err != nil {
		t.Error(err)
	}
}
