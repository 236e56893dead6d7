package image

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"

	"nsbuild/internal/rawjson"
	"nsbuild/internal/sandbox"
)

// Name is the applet's name.
const Name = "image"

// The applet's modes.
const (
	modePack   = "pack"   // TREE; 3: the archive, 4: Notes
	modeUnpack = "unpack" // TREE; 3: the archive, 4: unpacked
	modeLayers = "layers" // IMAGE TREE; 4: unpacked
	modeLift   = "lift"   // TREE NAME: the one directory of a tree becomes the tree
)

// idCount is how many ids a jail has.
const idCount = sandbox.IDCount

// unpacked is what was found in an archive.
type unpacked struct {
	Notes Notes
	Top   []topEntry
}

// topEntry is a file in the root of the tree.
type topEntry struct {
	Name string
	Dir  bool
}

// Main runs the applet, in the holder. It returns the exit status.
func Main(args []string) int {
	debug.SetMemoryLimit(512 << 20)
	unix.Umask(0)
	if err := run(args); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func run(args []string) error {
	data, results := os.NewFile(3, "archive"), os.NewFile(4, "results")
	mode := ""
	if len(args) > 0 {
		mode = args[0]
	}
	switch {
	case mode == modePack && len(args) == 2:
		return runPack(args[1], data, results)
	case mode == modeUnpack && len(args) == 2:
		return runUnpack(args[1], data, results)
	case mode == modeLayers && len(args) == 3:
		return runLayers(args[1], args[2], results)
	case mode == modeLift && len(args) == 3:
		return runLift(sandbox.HostRoot+args[1], args[2])
	}
	return fmt.Errorf("%s: it does not know %q", Name, args)
}

func runPack(dir string, archive, results *os.File) error {
	root, err := os.Open(sandbox.HostRoot + dir)
	if err != nil {
		return err
	}
	defer root.Close()
	notes, err := pack(context.Background(), archive, root, jailOwner)
	if err != nil {
		return err
	}
	return rawjson.NewEncoder(results).Encode(notes)
}

// jailOwner translates ids as the holder sees them: those of the jail as they are; the caller's
// own, just above them, is root.
func jailOwner(name string, uid, gid uint32) (int, int, error) {
	ids := [2]int{int(uid), int(gid)}
	for i, id := range ids {
		switch {
		case id == idCount:
			ids[i] = 0
		case id > idCount:
			return 0, 0, fmt.Errorf("%s belongs to an id that the jail does not have", name)
		}
	}
	return ids[0], ids[1], nil
}

// enter makes a host directory the root of this process.
func enter(dir string) error {
	if err := unix.Chroot(sandbox.HostRoot + dir); err != nil {
		return &os.PathError{Op: "chroot", Path: dir, Err: err}
	}
	return os.Chdir("/")
}

func runUnpack(dir string, archive, results *os.File) error {
	if err := enter(dir); err != nil {
		return err
	}
	r, err := decompress(archive)
	if err != nil {
		return err
	}
	u := newUnpacker()
	if err := u.archive(r); err != nil {
		return err
	}
	// What follows the archive's end is padding; reading it lets a checksum at the very end be
	// checked, and a writer finish.
	if _, err := io.Copy(io.Discard, r); err != nil {
		return fmt.Errorf("reading the archive: %w", err)
	}
	if err := r.Close(); err != nil {
		return err
	}
	if err := u.finish(); err != nil {
		return err
	}
	return report(results, u.notes)
}

func report(results *os.File, notes Notes) error {
	found := unpacked{Notes: notes}
	entries, err := os.ReadDir("/")
	if err != nil {
		return err
	}
	for _, e := range entries {
		found.Top = append(found.Top, topEntry{e.Name(), e.IsDir()})
	}
	return rawjson.NewEncoder(results).Encode(found)
}

func runLayers(from, dir string, results *os.File) error {
	root, err := os.OpenRoot(sandbox.HostRoot + from)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := enter(dir); err != nil {
		return err
	}
	d := imageDir{root: root, arch: runtime.GOARCH}
	names, err := d.layers()
	if err != nil {
		return err
	}
	notes, err := d.unpackLayers(names)
	if err != nil {
		return err
	}
	return report(results, notes)
}

// runLift puts a directory of the tree into the tree's place.
func runLift(tree, name string) error {
	if name == "" || strings.Contains(name, "/") || name == ".." || name == "." {
		return fmt.Errorf("%q is no name in a directory", name)
	}
	lifted := path.Join(path.Dir(tree), "lifted")
	if err := os.Rename(path.Join(tree, name), lifted); err != nil {
		return err
	}
	if err := os.Remove(tree); err != nil {
		return err
	}
	return os.Rename(lifted, tree)
}
