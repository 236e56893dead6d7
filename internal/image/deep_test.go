package image

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"nsbuild/internal/testenv"
	"nsbuild/internal/tree"
)

// TestPackDeep has trees that are deeper than a process may have descriptors, and than a path can
// say.
func TestPackDeep(t *testing.T) {
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	open, err := os.ReadDir("/proc/self/fd")
	if err == nil {
		err = unix.Setrlimit(unix.RLIMIT_NOFILE,
			&unix.Rlimit{Cur: uint64(len(open)) + 30, Max: old.Max})
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
			t.Error(err)
		}
	}()
	for levels, want := range map[int]error{1500: nil, 5000: errTooDeep} {
		top := filepath.Join(t.TempDir(), "top")
		at := unix.AT_FDCWD
		name := top
		for range levels {
			if err := unix.Mkdirat(at, name, 0o755); err != nil {
				t.Fatal(err)
			}
			next, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
			if at != unix.AT_FDCWD {
				_ = unix.Close(at)
			}
			if err != nil {
				t.Fatal(err)
			}
			at, name = next, "d"
		}
		_ = unix.Close(at)
		root, err := os.Open(top)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := pack(t.Context(), io.Discard, root, hostOwner); !errors.Is(err, want) {
			t.Errorf("%d levels: %v", levels, err)
		}
		root.Close()
		if err := tree.Remove(t.Context(), top); err != nil {
			t.Error(err)
		}
	}
}

// TestPackLoop has a tree that is mounted in itself.
func TestPackLoop(t *testing.T) {
	testenv.RequireRoot(t)
	top := t.TempDir()
	loop := filepath.Join(top, "a/loop")
	if err := os.MkdirAll(loop, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(top, loop, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Unmount(loop, 0); err != nil {
			t.Error(err)
		}
	}()
	root, err := os.Open(top)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	notes, err := pack(t.Context(), io.Discard, root, hostOwner)
	if err != nil || len(notes.Mounts) != 1 || notes.Mounts[0] != "/a/loop" {
		t.Errorf("%+v %v", notes, err)
	}
}
