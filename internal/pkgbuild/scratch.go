package pkgbuild

import (
	"errors"
	"fmt"

	"nsbuild/internal/buildlog"
	"nsbuild/internal/fault"
	"nsbuild/internal/sandbox"
)

// What How.Scratch may be.
const (
	// a tmpfs where what the build needs is likely to fit, and again on disk when it did not
	ScratchAuto  = "auto"
	ScratchTmpfs = "tmpfs" // a tmpfs, whatever is likely
	ScratchDisk  = "disk"  // below the state directory
	ScratchCopy  = "copy"  // as auto, and the tree that is built in is a plain copy, no overlay
)

// place is where a build's upper directories are kept.
type place struct {
	dir   string // on disk; "" for a tmpfs
	limit int64  // of the tmpfs, in bytes
	give  func() // the memory back that was set aside
}

// choosePlace decides where upper directories are kept: on a tmpfs when what the build needs is
// likely to fit into the memory that it may take, else on disk.
func (b *builder) choosePlace(how how) (place, error) {
	kind := b.o.Scratch
	if kind == ScratchDisk || how.disk {
		return b.diskScratch()
	}
	// a limit counts what is on the tmpfs, too
	limit, give, err := b.env.shared.memory.Take(b.o.ScratchSize, b.o.Limits.Memory/2)
	if err != nil {
		return place{}, err
	}
	if kind == ScratchTmpfs && limit > 0 || b.expectedSpace(how.plain) <= limit {
		return place{limit: limit, give: give}, nil
	}
	give()
	if kind == ScratchTmpfs {
		return place{}, fault.New(fault.GivenBack, "use --scratch auto, or fewer builds at once",
			"there is no memory left for another tmpfs")
	}
	return b.diskScratch()
}

func (b *builder) diskScratch() (place, error) {
	dir, err := b.env.Work.Make("upper-")
	return place{dir: dir, give: func() {}}, err
}

// errFull means that a build failed because its scratch was full.
var errFull = errors.New("the scratch is full")

// spaceRanOut tells whether a failed stage failed for want of space: the scratch was seen full, or
// the log says so. What the log says once the package is built, it says of that.
func (at *attempt) spaceRanOut(s stage) bool {
	if at.watch == nil {
		return false
	}
	if at.watch.WasFull() {
		return true
	}
	if s.after {
		return false
	}
	for _, c := range at.log.Explain() {
		// A test of how a program bears a full disk says so, too; on disk it is told from ours by
		// the room there is.
		if c.Kind == buildlog.KindDiskFull && c.Line.Number > at.begun && at.onTmpfs() {
			return true
		}
	}
	return false
}

func (at *attempt) onTmpfs() bool {
	return at.place.dir == "" && at.holder.Scratch() != sandbox.ScratchDisk
}

// fullScratch is the error that stands for a scratch that filled up.
func (at *attempt) fullScratch(failed error) error {
	hint := fmt.Sprintf("free some space under %s, or choose another place with --state-dir",
		at.env.StateDir)
	where := "the disk of " + at.env.StateDir
	if at.onTmpfs() {
		hint = "use --scratch auto or --scratch disk, or a larger --scratch-size"
		where = fmt.Sprintf("the tmpfs of %d MiB", at.place.limit>>20)
	}
	return &stageError{buildlog.StageCheckSpace,
		fault.Wrap(fault.GivenBack, hint, fmt.Errorf("%w: %s: %w", errFull, where, failed))}
}
