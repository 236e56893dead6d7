package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"nsbuild/internal/tree"
)

// Usage is what a holder's processes and its throwaway roots use.
type Usage struct {
	Processes int   // but those of the sandbox itself
	Memory    int64 // bytes that processes use; what they share counts once
	Disk      int64 // bytes that were written to throwaway roots, on a tmpfs or on disk
	DiskMore  bool  // it is more than that: there are too many files to count them all
}

// Usage asks what the holder's processes and roots use now.
func (h *Holder) Usage() (Usage, error) {
	answer, _, err := h.call(&message{Op: opUsage})
	if err != nil {
		return Usage{}, err
	}
	return *answer.Usage, nil
}

// RootPath is where the holder's caller can look into the root of an open jail from outside: below
// PID 1's (proc_pid_root(5)). Not at the root of one of the jail's processes: that link reads "/",
// so that a program which resolves it (realpath(3)) goes on with the host's own root. This resolves
// to what the host does not have.
func (h *Holder) RootPath(j *Jail) string {
	return fmt.Sprintf("/proc/%d/root%s", h.pid, jailTarget(j.id))
}

// jailTarget is where H mounts the root of a jail.
func jailTarget(id int) string { return path.Join("/jail", strconv.Itoa(id)) }

// ours are the processes that belong to the sandbox itself.
func (p *pid1) ours() map[int]bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	pids := maps.Clone(p.leaders)
	pids[1] = true
	if p.open != nil {
		pids[p.open.pid], pids[p.open.netPID] = true, true
		for _, pid := range p.open.spared {
			pids[pid] = true
		}
	}
	return pids
}

func (p *pid1) usage() (*Usage, error) {
	ours := p.ours()
	all, err := processes(func(p *process) bool { return !ours[p.pid] })
	if err != nil {
		return nil, err
	}
	u := &Usage{Processes: len(all)}
	for _, one := range all {
		size, err := memoryOf(one.pid)
		if err != nil && !gone(err) {
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
	if p.kind != ScratchDisk {
		var fsys unix.Statfs_t
		if err := unix.Statfs(scratchMount, &fsys); err != nil {
			return 0, false, sysErr("statfs", scratchMount, err)
		}
		return int64(fsys.Blocks-fsys.Bfree) * int64(fsys.Bsize), false,
			nil //nolint:unconvert // int32 on 32-bit machines
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
