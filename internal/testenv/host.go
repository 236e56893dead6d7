package testenv

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	// grace is how long processes may take to be gone after the test.
	grace = 3 * time.Second
	// prSetChildSubreaper is PR_SET_CHILD_SUBREAPER of prctl(2).
	prSetChildSubreaper = 36
)

// HostState notes what the host shows, and fails the test when something is different at its end:
//
//   - the mount table;
//   - processes begun since: those whose parent is gone become children of the test process, so
//     none escapes;
//   - files in the directory for temporary files, which is a new one for the length of the test;
//   - anything named after nsbuild in /tmp, /var/tmp, /dev/shm and /run.
//
// It must be called first in a test, before t.TempDir, and not in parallel tests of one package:
// their processes cannot be told apart.
func HostState(t testing.TB) {
	t.Helper()
	hostState(t, grace)
}

// hostState is HostState with another time for processes to be gone.
func hostState(t testing.TB, grace time.Duration) {
	t.Helper()
	if _, _, errno := syscall.Syscall(syscall.SYS_PRCTL, prSetChildSubreaper, 1, 0); errno != 0 {
		t.Fatalf("becoming the parent of orphans: %v", errno)
	}
	mounts, err := mountTable()
	if err != nil {
		t.Fatal(err)
	}
	before, err := descendants(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	named := namedFiles()
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Cleanup(func() {
		if err := eventually(grace, func() error { return noNewProcesses(before) }); err != nil {
			t.Error(err)
		}
		now, err := mountTable()
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range difference(mounts, now) {
			t.Errorf("the mount table has changed: %s", d)
		}
		left, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range left {
			t.Errorf("left among the temporary files: %s", f.Name())
		}
		for _, d := range difference(named, namedFiles()) {
			t.Errorf("files of nsbuild outside its directories have changed: %s", d)
		}
	})
}

// difference lists what one list has and the other lacks.
func difference(before, after []string) []string {
	var out []string
	for _, s := range before {
		if !slices.Contains(after, s) {
			out = append(out, "gone: "+s)
		}
	}
	for _, s := range after {
		if !slices.Contains(before, s) {
			out = append(out, "new: "+s)
		}
	}
	return out
}

// mountTable is what this process sees mounted, without the numbers that say nothing.
func mountTable() ([]string, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var out []string
	for line := range strings.Lines(string(data)) {
		// "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw": proc_pid_mountinfo(5)
		f := strings.Fields(line)
		dash := slices.Index(f, "-")
		if len(f) < 7 || dash < 0 || dash+2 >= len(f) {
			return nil, fmt.Errorf("cannot read this line of mountinfo: %q", line)
		}
		out = append(out, strings.Join([]string{f[4], "from", f[3], f[dash+1], f[dash+2], f[5]},
			" "))
	}
	return out, nil
}

func noNewProcesses(before map[int]string) error {
	now, err := descendants(os.Getpid())
	if err != nil {
		return err
	}
	var left []string
	for pid, command := range now {
		if before[pid] != command {
			left = append(left, fmt.Sprintf("%d (%s)", pid, command))
		}
	}
	if len(left) > 0 {
		slices.Sort(left)
		return fmt.Errorf("processes are left: %s", strings.Join(left, ", "))
	}
	return nil
}

// descendants are the live processes below one, with their commands. Those that have ended and only
// wait to be asked for their status are not among them.
func descendants(root int) (map[int]string, error) {
	type process struct {
		parent  int
		command string
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	all := map[int]process{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		data, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err != nil {
			continue // ended meanwhile
		}
		// "1234 (command) S 1 …": the command may hold anything, so the last parenthesis counts.
		stat := string(data)
		open, end := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
		if open < 0 || end < open {
			continue
		}
		f := strings.Fields(stat[end+1:])
		if len(f) < 2 || f[0] == "Z" || f[0] == "X" {
			continue
		}
		parent, err := strconv.Atoi(f[1])
		if err != nil {
			continue
		}
		all[pid] = process{parent, stat[open+1 : end]}
	}
	out := map[int]string{}
	for pid, p := range all {
		for up, ok := p, true; ok; up, ok = all[up.parent] {
			if up.parent == root {
				out[pid] = p.command
				break
			}
		}
	}
	return out, nil
}

// namedFiles are files that nsbuild might leave where it should leave none.
func namedFiles() []string {
	var out []string
	for _, dir := range []string{"/tmp", "/var/tmp", "/dev/shm", "/run"} {
		// The pattern is not malformed.
		found, _ := filepath.Glob(filepath.Join(dir, "*nsbuild*"))
		out = append(out, found...)
	}
	return out
}
