package beneath

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestOpenWhileRenaming opens a path with ".." in it while other names change, as they do all the
// time on a busy machine.
func TestOpenWhileRenaming(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"root/below/deep", "beside-a"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		a, b := filepath.Join(dir, "beside-a"), filepath.Join(dir, "beside-b")
		for {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			if err := os.Rename(a, b); err != nil {
				stopped <- err
				return
			}
			a, b = b, a
		}
	}()
	root, err := os.Open(filepath.Join(dir, "root"))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for i := range 20000 {
		f, err := Open(root, "/below/deep/../../../../below/deep/../..", unix.O_PATH)
		if err != nil {
			t.Errorf("at the %d. time: %v", i, err)
			break
		}
		f.Close()
	}
	close(stop)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}
