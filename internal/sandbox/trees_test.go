package sandbox

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"nsbuild/internal/testenv"
	"nsbuild/internal/tree"
)

// deepMain is an applet that makes a directory, and as many in it as the second argument says, each
// in the one before.
func deepMain(args []string) int {
	levels, err := strconv.Atoi(args[1])
	if err == nil {
		err = makeDeep(args[0], levels, args[2])
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

func makeDeep(top string, levels int, name string) error {
	at := unix.AT_FDCWD
	for ; levels >= 0; levels-- {
		err := unix.Mkdirat(at, top, 0o755)
		var next int
		if err == nil {
			next, err = unix.Openat(at, top, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		}
		if at != unix.AT_FDCWD {
			unix.Close(at)
		}
		if err != nil {
			return err
		}
		at, top = next, name
	}
	return unix.Close(at)
}

type depth struct{ deepest, now int }

func (d *depth) Visit(e *tree.Entry) (bool, error) {
	if e.IsDir() {
		d.now++
		d.deepest = max(d.deepest, d.now)
	}
	return true, nil
}
func (d *depth) Leave(int, string) error { d.now--; return nil }

// TestDeepTrees has a jail write what is deeper than any path can say: it is measured, copied and
// deleted. With how few descriptors that is done is internal/tree's to test.
func TestDeepTrees(t *testing.T) {
	ids, err := ResolveIDs()
	if err != nil {
		t.Fatal(err)
	}
	for name, shape := range map[string]struct {
		levels, length int
	}{"short": {2500, 1}, "long": {50, 255}} {
		t.Run(name, func(t *testing.T) {
			deepTrees(t, ids, shape.levels, strings.Repeat("n", shape.length))
		})
	}
}

func deepTrees(t *testing.T, ids IDMap, levels int, name string) {
	ctx := t.Context()
	dir := t.TempDir()
	scratch := filepath.Join(dir, "scratch")
	if err := os.Mkdir(scratch, 0o755); err != nil {
		t.Fatal(err)
	}
	h, err := Start(ctx, HolderSpec{IDs: ids, ScratchDir: scratch})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	root := testRoot(t, h)
	j, err := h.NewJail(ctx, Spec{Root: Root{Lowers: []Lower{{Path: root}}}})
	if err != nil {
		t.Fatal(err)
	}
	argv := []string{"/var/deep", strconv.Itoa(levels), name}
	if out, st := run(t, j, Command{Applet: "deep", Argv: argv}); !st.Success() {
		t.Fatal(st, out)
	}
	if _, err := h.Usage(); err != nil { // what directories take is the file system's business
		t.Error(err)
	}
	if _, err := j.Close(); err != nil {
		t.Fatal(err)
	}
	layer, whole, again := filepath.Join(dir, "layer"), filepath.Join(dir, "whole"),
		filepath.Join(dir, "again")
	if _, err := h.SaveLayer(ctx, j.ID(), layer); err != nil {
		t.Error(err)
	}
	if err := h.SaveRoot(ctx, []Lower{{Jail: j.ID()}, {Path: root}}, whole, nil); err != nil {
		t.Error(err)
	}
	if err := h.CopyTree(ctx, whole, again); err != nil {
		t.Error(err)
	}
	for _, copied := range []string{layer, whole, again} {
		var d depth
		if err := tree.Walk(ctx, copied, &d); err != nil || d.deepest < levels {
			t.Errorf("%s has a depth of %d: %v", copied, d.deepest, err)
		}
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	for _, e := range []string{layer, whole, again, scratch} {
		if err := RemoveTree(ctx, e); err != nil {
			t.Error(err)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v %v", left, err)
	}
}

// TestUpper goes on with what an earlier jail has written: in a copy, and in place. The directory
// is moved away from the scratch before.
func TestUpper(t *testing.T) {
	testenv.RequireUserns(t)
	ids, err := ResolveIDs()
	if err != nil {
		t.Fatal(err)
	}
	ctx, dir := t.Context(), t.TempDir()
	scratch, kept := filepath.Join(dir, "scratch"), filepath.Join(dir, "kept")
	t.Cleanup(func() { // of mapped ids, which the test may not delete
		for _, tree := range []string{scratch, kept} {
			if err := RemoveTree(context.Background(), tree); err != nil {
				t.Error(err)
			}
		}
	})
	if err := os.Mkdir(scratch, 0o755); err != nil {
		t.Fatal(err)
	}
	h, err := Start(ctx, HolderSpec{IDs: ids, ScratchDir: scratch})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if h.Scratch() == ScratchCopy {
		testenv.Missing(t, "kernel", "needs a kernel with overlays for whom runs the test")
	}
	root := testRoot(t, h)
	in := func(r Root, script string) *Jail {
		t.Helper()
		j, err := h.NewJail(ctx, Spec{Root: r, Mounts: programs()})
		if err != nil {
			t.Fatal(err)
		}
		if out, st := run(t, j, Command{Argv: []string{"/bin/sh", "-ec", script},
			Env: []string{"PATH=" + DefaultPath}}); !st.Success() {
			t.Fatalf("%s: %s %s", script, st, out)
		}
		if _, err := j.Close(); err != nil {
			t.Fatal(err)
		}
		return j
	}
	lowers := []Lower{{Path: root}}
	first := in(Root{Lowers: lowers},
		"mkdir -p /var/made/below; echo one > /var/made/file; rm /etc/passwd")
	if err := h.MoveLayer(ctx, first.ID(), kept); err != nil {
		t.Fatal(err)
	}
	if size, err := h.TreeSize(ctx, kept); err != nil || size == 0 {
		t.Errorf("%d, %v", size, err)
	}
	// rename(2) of a directory of a lower layer would fail
	const state = "! test -e /etc/passwd; test `cat /var/made/file` = one; " +
		"test -d /var/made/below; "
	in(Root{Lowers: lowers, Seed: kept}, state+"echo two > /var/made/file; rm -r /var/made")
	in(Root{Lowers: lowers, Upper: kept}, state+"echo two > /var/made/file; rm -r /var/made/below")
	in(Root{Lowers: lowers, Upper: kept},
		"test `cat /var/made/file` = two; ! test -e /var/made/below")
	in(Root{Lowers: append([]Lower{{Path: kept}}, lowers...)}, "test `cat /var/made/file` = two")
}
