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
				missing(t, "cgroup", "needs the controller "+c+" in cgroup v2")
			}
		}
		dir, err := os.MkdirTemp(fields[4], "test-")
		if err != nil {
			missing(t, "cgroup", "needs a writable cgroup v2: "+err.Error())
		}
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
		return
	}
	missing(t, "cgroup", "needs cgroup v2")
}
