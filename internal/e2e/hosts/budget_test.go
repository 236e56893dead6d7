package hosts

import (
	"os/exec"
	"strings"
	"testing"

	"nsbuild/internal/e2e"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/testenv"
)

// TestSmallGroup builds and runs in a control group with 1 GiB and on one processor: what both plan
// with is theirs, not the machine's.
func TestSmallGroup(t *testing.T) {
	testenv.RequireTool(t, "taskset")
	procs := testenv.MemoryGroup(t, 1<<30)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	in := func(args ...string) e2e.Outcome {
		t.Helper()
		c, ended := w.Command(t, args...)
		sh := []string{"sh", "-c", `echo $$ >"$0" && exec taskset -c 0 "$@"`, procs}
		c.Args = append(sh, c.Args...)
		shell, err := exec.LookPath("sh")
		e2e.Check(t, err)
		c.Path = shell
		return ended(c.Run())
	}
	if o := in("doctor", "--offline"); !strings.Contains(o.Stdout, " 1 processor\n") ||
		!strings.Contains(o.Stdout, "GiB available, bounded by /sys/fs/cgroup/") {
		t.Error(o)
	}
	o := in("run", "bookworm", "--", "df", "--output=size", "-m", "/")
	if o.Status != 0 || strings.TrimSpace(o.Stdout) != "1M-blocks\n      512" {
		t.Error(o)
	}
	// Two at a time would share the processor, and 4 GiB would be needed for that.
	a := w.WriteSource(t, fakedebian.Source{Name: "smalla", Version: "1.0"})
	b := w.WriteSource(t, fakedebian.Source{Name: "smallb", Version: "1.0"})
	if o := in("build", "-q", "-d", "bookworm", a, b); o.Status != 0 {
		t.Error(o)
	}
	for _, name := range []string{"smalla", "smallb"} {
		log := w.LogOf(t, name)
		if !strings.Contains(log, "\nDEB_BUILD_OPTIONS=parallel=1\n") {
			t.Errorf("%s: it is built with more processes", name)
		}
		if strings.Contains(log, "The build writes to a tmpfs of ") &&
			!strings.Contains(log, "a tmpfs of 5") &&
			!strings.Contains(log, "a tmpfs of 4") {
			t.Errorf("%s: its tmpfs is larger than half of the group's memory", name)
		}
	}
}
