package sandbox

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"nsbuild/internal/sandbox/syserr"
	"nsbuild/internal/sandbox/wire"
)

// ScratchSpace tells how much room the throwaway roots of a holder have. It asks the kernel and not
// PID 1, so it costs nothing to ask often.
type ScratchSpace struct{ dir *os.File }

// Space is the room on a file system, in bytes.
type Space struct {
	Total, Free int64
	// NoInodes: no further file can be made, however small.
	NoInodes bool
}

// Used is what is taken.
func (s Space) Used() int64 { return s.Total - s.Free }

// Full tells whether so little is left that a writer must have met the end: one per cent, but no
// more than 16 MiB.
func (s Space) Full() bool {
	return s.NoInodes || s.Free < min(max(s.Total/100, 1<<20), 16<<20)
}

// ScratchSpace opens what tells of the scratch's room. It must be closed before the holder, since
// it keeps the scratch alive.
func (h *Holder) ScratchSpace() (*ScratchSpace, error) {
	_, files, err := h.call(&wire.Message{Op: wire.OpSpace})
	if err != nil {
		return nil, fmt.Errorf("asking for the scratch's room: %w", err)
	}
	if len(files) != 1 {
		wire.CloseFiles(files)
		return nil,
			fmt.Errorf("asking for the scratch's room: %d descriptors came back instead of one",
				len(files))
	}
	return &ScratchSpace{files[0]}, nil
}

// Now is the room at this moment.
func (s *ScratchSpace) Now() (Space, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(s.dir.Fd()), &st); err != nil {
		return Space{}, syserr.Wrap("statfs", "the scratch", err)
	}
	size := int64(st.Bsize) //nolint:unconvert // int32 on 32-bit machines
	return Space{Total: int64(st.Blocks) * size, Free: int64(st.Bavail) * size,
		NoInodes: st.Files > 0 && st.Ffree == 0}, nil
}

// Close ends the asking.
func (s *ScratchSpace) Close() error { return s.dir.Close() }
