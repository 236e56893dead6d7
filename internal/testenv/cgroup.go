package testenv

import (
	"bufio"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// RequireControllers needs a cgroup v2 in which groups can be made, with these controllers.
// Condition "cgroup", which "all" does not contain: a machine that tests in a container often has
// none to give.
func RequireControllers(t testing.TB, controllers ...string) {
	t.Helper()
	if reason := lacksControllers(t, controllers); reason != "" {
		missing(t, "cgroup", reason)
	}
}

// HasControllers tells whether there is what RequireControllers needs.
func HasControllers(t testing.TB, controllers ...string) bool {
	t.Helper()
	return lacksControllers(t, controllers) == ""
}

// lacksControllers says why groups with these controllers cannot be made; "" when they can.
func lacksControllers(t testing.TB, controllers []string) string {
	t.Helper()
	mounts, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	defer mounts.Close()
	lines := bufio.NewScanner(mounts)
	for lines.Scan() {
		before, after, _ := strings.Cut(lines.Text(), " - ")
		fields := strings.Fields(before)
		if !strings.HasPrefix(after, "cgroup2 ") || len(fields) < 5 || fields[3] != "/" {
			continue
		}
		has, err := os.ReadFile(filepath.Join(fields[4], "cgroup.controllers"))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range controllers {
			if !slices.Contains(strings.Fields(string(has)), c) {
				return "needs the controller " + c + " in cgroup v2"
			}
		}
		dir, err := os.MkdirTemp(fields[4], "test-")
		if err != nil {
			return "needs a writable cgroup v2: " + err.Error()
		}
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
		return ""
	}
	return "needs cgroup v2"
}

// MemoryGroup makes a control group of either version with a limit of memory, in bytes, and returns
// its cgroup.procs. Condition "cgroup", as that of RequireControllers.
func MemoryGroup(t testing.TB, limit int64) string {
	t.Helper()
	why := "needs a control group of memory"
	for _, c := range []struct{ top, limit string }{
		{"/sys/fs/cgroup", "memory.max"}, {"/sys/fs/cgroup/memory", "memory.limit_in_bytes"},
	} {
		dir, err := os.MkdirTemp(c.top, "test-")
		if err != nil {
			why = err.Error()
			continue
		}
		if err := setLimit(filepath.Join(dir, c.limit), limit); err != nil {
			why = err.Error()
			if err := os.Remove(dir); err != nil {
				t.Error(err)
			}
			continue
		}
		t.Cleanup(func() {
			if err := eventually(5*time.Second, func() error {
				return os.Remove(dir)
			}); err != nil {
				t.Error(err)
			}
		})
		return filepath.Join(dir, "cgroup.procs")
	}
	missing(t, "cgroup", why)
	return ""
}

// setLimit writes to a file that is there, as the kernel makes those of a group.
func setLimit(file string, limit int64) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(strconv.FormatInt(limit, 10))
	return errors.Join(err, f.Close())
}
