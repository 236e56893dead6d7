package pid1

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"nsbuild/internal/sandbox/layout"
	"nsbuild/internal/sandbox/mounts"
	"nsbuild/internal/sandbox/overlay"
	"nsbuild/internal/sandbox/syserr"
	"nsbuild/internal/sandbox/wire"
)

// scratch is where throwaway roots keep what is written to them.
type scratch struct {
	dir   string // where upper directories are made
	kind  wire.Scratch
	xino  bool            // overlays number their files themselves, see overlay.Xino
	found map[string]bool // by file system; see overlays
}

// open decides where upper directories go. Kernels differ in what an overlay in a user
// namespace can do (none at all before 5.11; on a tmpfs only since 6.6), so the first kind counts
// that behaves.
func (s *scratch) open(spec *wire.HolderSpec) error {
	if err := s.find(spec); err != nil {
		return err
	}
	return s.chooseXino(spec)
}

func (s *scratch) find(spec *wire.HolderSpec) error {
	data := "mode=0755"
	if spec.ScratchSize > 0 {
		data += ",size=" + strconv.FormatInt(spec.ScratchSize, 10)
	}
	if err := mounts.Mount("tmpfs", layout.Scratch, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV,
		data); err != nil {
		return err
	}
	type choice struct {
		kind wire.Scratch
		dir  string
	}
	var choices []choice
	if spec.ScratchDir != "" {
		choices = append(choices, choice{wire.ScratchDisk, layout.Host + spec.ScratchDir})
	} else {
		choices = append(choices, choice{wire.ScratchTmpfs, layout.Scratch})
		if spec.FallbackDir != "" {
			choices = append(choices, choice{wire.ScratchDisk, layout.Host + spec.FallbackDir})
		}
	}
	s.kind, s.dir = wire.ScratchCopy, layout.Scratch
	if spec.ScratchDir != "" {
		s.dir = layout.Host + spec.ScratchDir
	}
	if spec.Copy {
		return nil
	}
	for _, c := range choices {
		ok, err := s.overlays(spec.Known, c.dir)
		if err != nil {
			return err
		}
		if ok {
			s.kind, s.dir = c.kind, c.dir
			if spec.ScratchDir == "" && c.kind == wire.ScratchDisk {
				// Other holders of the caller's have the same, and number their jails as we do.
				s.dir, err = os.MkdirTemp(c.dir, "upper-")
			}
			return err
		}
	}
	return nil
}

// overlays tells whether overlays behave with their upper directory below dir, from what is known
// or by trying.
func (s *scratch) overlays(known map[string]bool, dir string) (bool, error) {
	return s.remembered(known, dir, "", overlay.Usable)
}

// remembered tells what is known of overlays with their upper directory below dir, or finds it out.
func (s *scratch) remembered(known map[string]bool, dir, what string,
	probe func(string) (bool, error)) (bool, error) {
	key := "tmpfs"
	if !strings.HasPrefix(dir, layout.Scratch) {
		var st unix.Stat_t
		if err := unix.Stat(dir, &st); err != nil {
			return false, syserr.Wrap("stat", strings.TrimPrefix(dir, layout.Host), err)
		}
		key = fmt.Sprintf("device %d:%d", unix.Major(st.Dev), unix.Minor(st.Dev))
	}
	if what != "" {
		key += " " + what
	}
	if ok, found := known[key]; found {
		return ok, nil
	}
	ok, err := probe(dir)
	if err == nil {
		if s.found == nil {
			s.found = map[string]bool{}
		}
		s.found[key] = ok
	}
	return ok, err
}

// chooseXino decides whether overlays of this scratch are mounted with it.
func (s *scratch) chooseXino(spec *wire.HolderSpec) error {
	if s.kind == wire.ScratchCopy || spec.Inodes32 {
		return nil
	}
	var err error
	s.xino, err = s.remembered(spec.Known, s.dir, "numbers files itself", overlay.HasXino)
	return err
}
