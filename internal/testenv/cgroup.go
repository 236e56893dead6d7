package testenv

import (
	"bufio"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// RequireControllers needs a cgroup v2 in which groups can be made, with these controllers. Condition "cgroup", which "all" does not contain: a machine that tests in a container
// often has none to give.
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
