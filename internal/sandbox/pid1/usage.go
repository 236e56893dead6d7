package pid1

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"nsbuild/internal/sandbox/layout"
	"nsbuild/internal/sandbox/procs"
	"nsbuild/internal/sandbox/syserr"
	"nsbuild/internal/sandbox/wire"
	"nsbuild/internal/tree"
)

func (p *pid1) usage() (*wire.Usage, error) {
	all, err := p.list(p.ours())
	if err != nil {
		return nil, err
	}
	u := &wire.Usage{Processes: len(all)}
	for _, one := range all {
		size, err := memoryOf(one.PID)
		if err != nil && !procs.Gone(err) {
			return nil, err
		}
		u.Memory += size
	}
	u.Disk, u.DiskMore, err = p.written()
	return u, err
}

// memoryOf is a process's proportional set size (smaps_rollup in proc_pid_smaps(5)).
func memoryOf(pid int) (int64, error) {
	file := "/proc/" + strconv.Itoa(pid) + "/smaps_rollup"
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(data) {
		if rest, ok := bytes.CutPrefix(line, []byte("Pss:")); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(string(rest)), " kB"),
				10, 64)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", file, err)
			}
			return kib << 10, nil
		}
	}
	return 0, nil // a process without memory: it is ending
}

// written is how much the throwaway roots hold.
func (p *pid1) written() (sum int64, more bool, err error) {
	if p.scratch.kind != wire.ScratchDisk {
		var fsys unix.Statfs_t
		if err := unix.Statfs(layout.Scratch, &fsys); err != nil {
			return 0, false, syserr.Wrap("statfs", layout.Scratch, err)
		}
		size := int64(fsys.Bsize) //nolint:unconvert // int32 on 32-bit machines
		return int64(fsys.Blocks-fsys.Bfree) * size, false, nil
	}
	for _, j := range p.jails {
		if j.upper == "" {
			continue
		}
		size, some, err := diskUsage(j.upper)
		if err != nil {
			return 0, false, err
		}
		sum, more = sum+size, more || some
	}
	return sum, more, nil
}

// measureTime is how long written files are counted: who asks for it waits, and so do all others
// who ask PID 1 for something.
const measureTime = 500 * time.Millisecond

// errMany means that there was no time to count all files.
var errMany = errors.New("there are very many files")

// diskUsage is what du(1) says. Files that come and go meanwhile do not matter. It reports true
// when it is more than that: not all files could be counted.
func diskUsage(dir string) (int64, bool, error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), measureTime, errMany)
	defer cancel()
	var m diskMeter
	err := tree.WalkLive(ctx, dir, &m)
	if errors.Is(err, errMany) || errors.Is(err, tree.ErrMoved) {
		return m.sum, true, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("measuring %s: %w", path.Base(dir), err)
	}
	return m.sum, false, nil
}

// diskMeter adds up what files take on disk.
type diskMeter struct{ sum int64 }

func (m *diskMeter) Visit(e *tree.Entry) (bool, error) {
	size := e.Stat.Blocks * 512
	if !e.IsDir() {
		size /= int64(max(1, e.Stat.Nlink)) // each name has its share
	}
	m.sum += size
	return true, nil
}

func (m *diskMeter) Leave(int, string) error { return nil }
