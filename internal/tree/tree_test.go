package tree_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"nsbuild/internal/testenv"
	"nsbuild/internal/tree"
)

// deep makes directories in one another, each with a file beside the next, and returns the
// uppermost.
func deep(t *testing.T, levels int, name string) string {
	t.Helper()
	top := filepath.Join(t.TempDir(), "deep")
	if err := os.Mkdir(top, 0o755); err != nil {
		t.Fatal(err)
	}
	at, err := unix.Open(top, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range levels {
		file, err := unix.Openat(at, "file", unix.O_CREAT|unix.O_WRONLY, 0o600)
		if err == nil {
			err = unix.Close(file)
		}
		if err == nil {
			err = unix.Mkdirat(at, name, 0o755)
		}
		var next int
		if err == nil {
			next, err = unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		}
		unix.Close(at)
		if err != nil {
			t.Fatal(err)
		}
		at = next
	}
	unix.Close(at)
	// t.TempDir is deleted by os.RemoveAll, which takes a descriptor for each level.
	t.Cleanup(func() {
		if err := tree.Remove(context.Background(), top); err != nil {
			t.Error(err)
		}
	})
	return top
}

// fewDescriptors leaves this process no more than a handful of descriptors more than it has.
func fewDescriptors(t *testing.T, more uint64) {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	less := unix.Rlimit{Cur: uint64(len(open)) + more, Max: old.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &less); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
			t.Error(err)
		}
	})
}

type counter struct{ entries, left, longest int }

func (c *counter) Visit(e *tree.Entry) (bool, error) {
	c.entries++
	c.longest = max(c.longest, len(e.Path))
	return true, nil
}
func (c *counter) Leave(int, string) error { c.left++; return nil }

func TestDeepTree(t *testing.T) {
	for name, levels := range map[string]int{"d": 5000, strings.Repeat("n", 255): 500} {
		t.Run(fmt.Sprint(len(name)), func(t *testing.T) {
			top := deep(t, levels, name)
			fewDescriptors(t, 24)
			var c counter
			if err := tree.Walk(t.Context(), top, &c); err != nil {
				t.Fatal(err)
			}
			if c.entries != 2*levels || c.left != levels+1 || c.longest > unix.PathMax {
				t.Errorf("the walk counted %+v", c)
			}
			if err := tree.Remove(t.Context(), top); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Lstat(top); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("it is there: %v", err)
			}
		})
	}
}

// TestBushyTree has directories with several others in them at each level beyond those that are
// held open, names that the deletion itself would give, and files where directories would be moved
// to.
func TestBushyTree(t *testing.T) {
	top := filepath.Join(t.TempDir(), "bushy")
	entries := 0
	var grow func(dir string, depth int)
	grow = func(dir string, depth int) {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/moved-1", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("/etc", dir+"/moved-2"); err != nil {
			t.Fatal(err)
		}
		entries += 2
		if depth == 60 {
			return
		}
		names := []string{"a"}
		if depth%12 == 11 {
			names = []string{"a", "moved-3", "z"}
		}
		for _, name := range names {
			entries++
			grow(filepath.Join(dir, name), depth+1)
		}
	}
	grow(top, 0)
	var c counter
	if err := tree.Walk(t.Context(), top, &c); err != nil || c.entries != entries {
		t.Errorf("the walk counted %d of %d entries: %v", c.entries, entries, err)
	}
	if err := tree.Remove(t.Context(), top); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(top); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is there: %v", err)
	}
}

func TestManyNames(t *testing.T) {
	top := filepath.Join(t.TempDir(), "many")
	if err := os.Mkdir(top, 0o755); err != nil {
		t.Fatal(err)
	}
	const names = 40000
	long := strings.Repeat("n", 240)
	for i := range names {
		if err := unix.Mknod(fmt.Sprintf("%s/%s%d", top, long, i), unix.S_IFREG|0o600,
			0); err != nil {
			t.Fatal(err)
		}
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var c counter
	if err := tree.Walk(t.Context(), top, &c); err != nil || c.entries != names {
		t.Errorf("the walk counted %d entries: %v", c.entries, err)
	}
	if err := tree.Remove(t.Context(), top); err != nil {
		t.Error(err)
	}
	runtime.ReadMemStats(&after)
	if peak := int64(after.HeapSys) - int64(before.HeapSys); peak > names*int64(len(long))/2 {
		t.Errorf("it took %d MiB of memory", peak>>20)
	}
}

// TestRemoveThrough finds links to what is outside, and things that are no directory.
func TestRemoveThrough(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.MkdirAll(outside+"/kept", 0o755); err != nil {
		t.Fatal(err)
	}
	top := filepath.Join(t.TempDir(), "top")
	for _, err := range []error{
		os.MkdirAll(top+"/dir", 0o755), os.Symlink(outside, top+"/link"),
		os.Symlink(outside, top+"/dir/link"),
		unix.Mkfifo(top+"/fifo", 0o600), os.Symlink(outside, filepath.Dir(top)+"/self"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{top, filepath.Dir(top) + "/self", top + "/not/there", top} {
		if err := tree.Remove(t.Context(), name); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(name); err == nil {
			t.Errorf("%s is there", name)
		}
	}
	if _, err := os.Stat(outside + "/kept"); err != nil {
		t.Error(err)
	}
}

func TestRemoveCancelled(t *testing.T) {
	top := deep(t, 100, "d")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tree.Remove(ctx, top); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	var c counter
	if err := tree.Walk(ctx, top, &c); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
}

// TestMounted neither goes into another file system that is mounted in a tree, nor deletes it;
// binds of a tree in itself have no end.
func TestMounted(t *testing.T) {
	testenv.RequireRoot(t)
	top := t.TempDir()
	if err := os.MkdirAll(top+"/a/b/loop", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(top, top+"/a/b/loop", "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Unmount(top+"/a/b/loop", 0); err != nil {
			t.Error(err)
		}
	}()
	var c counter
	if err := tree.Walk(t.Context(), top, &c); !errors.Is(err, tree.ErrMounted) {
		t.Errorf("the walk says %v", err)
	}
	if err := tree.Remove(t.Context(), top+"/a"); !errors.Is(err, tree.ErrMounted) {
		t.Errorf("the deletion says %v", err)
	}
}

// TestMoved has the directory moved away that a walk is in, far below the descriptors that it
// holds.
func TestMoved(t *testing.T) {
	top := deep(t, 50, "d")
	moved := t.TempDir() + "/moved"
	v := &mover{from: top + "/d/d", to: moved}
	if err := tree.WalkLive(t.Context(), top, v); !errors.Is(err, tree.ErrMoved) {
		t.Errorf("the walk says %v", err)
	}
	if !v.done {
		t.Error("it was not moved")
	}
}

type mover struct {
	from, to string
	done     bool
}

func (m *mover) Visit(e *tree.Entry) (bool, error) {
	if strings.Count(e.Path, "/") > 40 && !m.done {
		m.done = true
		return true, os.Rename(m.from, m.to)
	}
	return true, nil
}
func (m *mover) Leave(int, string) error { return nil }
