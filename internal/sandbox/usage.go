package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Usage is what a holder's processes and its throwaway roots use.
type Usage struct {
	Processes int   // but those of the sandbox itself
	Memory    int64 // bytes that processes use; what they share counts once
	Disk      int64 // bytes that were written to throwaway roots, on a tmpfs or on disk
}

// Usage asks what the holder's processes and roots use now.
func (h *Holder) Usage() (Usage, error) {
	answer, _, err := h.call(&message{Op: opUsage})
	if err != nil {
		return Usage{}, err
	}
	return *answer.Usage, nil
}

// RootPath is where the holder's caller can look into the root of an open jail from outside: below PID 1's (proc_pid_root(5)). Not at the root of one of the jail's processes: that link
// reads "/", so that a program which resolves it (realpath(3)) goes on with the host's own root. This resolves to what the host does not have.
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
	u.Disk, err = p.written()
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
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(string(rest)), " kB"), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", file, err)
			}
			return kib << 10, nil
		}
	}
	return 0, nil // a process without memory: it is ending
}

// written is how much the throwaway roots hold.
func (p *pid1) written() (int64, error) {
	if p.kind != ScratchDisk {
		var fsys unix.Statfs_t
		if err := unix.Statfs(scratchMount, &fsys); err != nil {
			return 0, sysErr("statfs", scratchMount, err)
		}
		return int64(fsys.Blocks-fsys.Bfree) * int64(fsys.Bsize), nil //nolint:unconvert // int32 on 32-bit machines
	}
	var sum int64
	for _, j := range p.jails {
		if j.upper == "" {
			continue
		}
		size, err := diskUsage(j.upper)
		if err != nil {
			return 0, err
		}
		sum += size
	}
	return sum, nil
}

// diskUsage is what du(1) says. Files that come and go meanwhile do not matter.
func diskUsage(dir string) (int64, error) {
	var sum int64
	err := filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			size := st.Blocks * 512
			if !entry.IsDir() {
				size /= int64(max(1, st.Nlink)) // each name has its share
			}
			sum += size
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("measuring %s: %w", path.Base(dir), err)
	}
	return sum, nil
}
