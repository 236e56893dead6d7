package cgroup

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"nsbuild/internal/testenv"
)

func TestParseVictims(t *testing.T) {
	records := []string{
		"oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/x/nsbuild-7-1/jail,task_memcg=/x/nsbuild-7-1/jail,task=cc1 (a),pid=17,uid=1000",
		"Memory cgroup out of memory: Killed process 17 (cc1 (a)) total-vm:9160kB, " +
			"anon-rss:5120kB, file-rss:1024kB, shmem-rss:0kB, UID:1000 pgtables:60kB " +
			"oom_score_adj:0",
		"oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/x/nsbuild-8-1/jail,task_memcg=/x/nsbuild-8-1/jail,task=other,pid=18,uid=1000",
		"Memory cgroup out of memory: Killed process 18 (other) total-vm:9160kB, " +
			"anon-rss:5120kB, file-rss:1024kB, shmem-rss:0kB, UID:1000 pgtables:60kB " +
			"oom_score_adj:0",
		"usb 1-1: new device",
		"oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/x/nsbuild-7-1/jail,task_memcg=/x/nsbuild-7-1/jail/sub,task=\x1b[2J,pid=19,uid=0",
		"Memory cgroup out of memory: Killed process 19 (\x1b[2J) total-vm:1kB, anon-rss:1kB, " +
			"file-rss:0kB, shmem-rss:2kB, UID:0 pgtables:60kB oom_score_adj:0",
	}
	want := []Victim{{`cc1 (a)`, 17, 6 << 20}, {`\x1b[2J`, 19, 3 << 10}}
	var got victims
	for _, r := range records { // as they come, when somebody asks in between
		got.add([]string{r}, groupName("/sys/fs/cgroup/x/nsbuild-7-1"))
	}
	if !slices.Equal(got.last, want) || got.count != 2 {
		t.Errorf("got %v\nwant %v", got, want)
	}
	for range maxVictims {
		got.add(records[:2], groupName("/sys/fs/cgroup/x/nsbuild-7-1"))
	}
	if len(got.last) != maxVictims || got.count != 2+maxVictims || len(got.chosen) != 0 {
		t.Errorf("%d of %d are kept, %d expected to be killed", len(got.last), got.count,
			len(got.chosen))
	}
}

// TestSince tells what one command has to do with from what others had.
func TestSince(t *testing.T) {
	a, b, c := Victim{"a", 1, 1 << 20}, Victim{"b", 2, 2 << 20}, Victim{"c", 3, 3 << 20}
	one := &Exhaustion{Limit: 64 << 20, Kills: 1, Named: 1, Victims: []Victim{a}}
	three := &Exhaustion{Limit: 64 << 20, Kills: 3, Named: 3, Victims: []Victim{a, b, c}}
	unnamed := &Exhaustion{Limit: 64 << 20, Kills: 3}
	for _, c := range []struct {
		before, now *Exhaustion
		want        string
	}{
		{nil, nil, ""},
		{one, one, ""},
		{nil, one, "memory ran out, with a limit of 64 MiB: the kernel killed a (pid 1) at 1 MiB"},
		{one, three, "memory ran out, with a limit of 64 MiB: the kernel killed b (pid 2) at 2 " +
			"MiB, c (pid 3) at 3 MiB"},
		{&Exhaustion{Kills: 1}, unnamed, "memory ran out, with a limit of 64 MiB: the kernel " +
			"killed 2 processes (its log says which: sudo dmesg)"},
	} {
		got := ""
		if e := c.now.Since(c.before); e != nil {
			got = e.String()
		}
		if got != c.want {
			t.Errorf("%v since %v: %q, want %q", c.now, c.before, got, c.want)
		}
	}
}

func FuzzParseVictims(f *testing.F) {
	f.Add("oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/g/jail,task_memcg=/g/jail,task=a,pid=1,uid=0\nMemory cgroup out of memory: Killed process 1 (a) total-vm:1kB, anon-rss:1kB, file-rss:0kB, shmem-rss:2kB")
	f.Fuzz(func(t *testing.T, text string) {
		var found victims
		found.add(strings.Split(text, "\n"), "/g/jail")
		for _, v := range found.last {
			if strings.ContainsAny(v.Command, "\x1b\n\x00") {
				t.Errorf("%q can steer a terminal", v.Command)
			}
		}
	})
}

func TestHierarchy(t *testing.T) {
	for _, c := range []struct{ name, mounts, self, top, own, why string }{
		{"v2", "29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "0::/user.slice/a b\n",
			"/sys/fs/cgroup", "/sys/fs/cgroup/user.slice/a b", ""},
		{"both", "30 23 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n31 23 0:28 / " +
			"/sys/fs/cgroup/uni\\040fied rw shared:1 - cgroup2 none rw\n", "3:cpu:/x\n0::/\n",
			"/sys/fs/cgroup/uni fied", "/sys/fs/cgroup/uni fied", ""},
		{"v1", "30 23 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n", "3:cpu:/x\n", "", "",
			"cgroup v2 is not mounted here"},
		{"a part of it", "29 23 0:26 /docker/1 /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
			"0::/docker/1\n", "", "", "cgroup v2 is not mounted here"},
	} {
		dir := t.TempDir()
		mounts, self := filepath.Join(dir, "mountinfo"), filepath.Join(dir, "cgroup")
		for file, text := range map[string]string{mounts: c.mounts, self: c.self} {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		top, own, why, err := hierarchy(mounts, self)
		if err != nil || top != c.top || own != c.own || why != c.why {
			t.Errorf("%s: %q, %q, %q, %v", c.name, top, own, why, err)
		}
	}
}

// TestGroup makes a group without controllers, which any writable cgroup v2 permits.
func TestGroup(t *testing.T) {
	testenv.RequireControllers(t)
	top, _, _, err := hierarchy("/proc/self/mountinfo", "/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	// One that a killed caller left, of a pid that cannot be.
	left := filepath.Join(top, "nsbuild-4194305-1")
	if err := os.Mkdir(left, 0o755); err != nil {
		t.Fatal(err)
	}
	// One of a living caller, which has another number in its own PID namespace.
	living := filepath.Join(top, "nsbuild-4194305-2")
	if err := os.Mkdir(living, 0o755); err != nil {
		t.Fatal(err)
	}
	alive, err := lockGroup(living)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(alive.Close(), os.Remove(living)); err != nil {
			t.Error(err)
		}
	}()
	g, refusal, err := makeBelow(top, nil, nil)
	if err != nil || refusal != "" {
		t.Fatal(refusal, err)
	}
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", left, err)
	}
	if _, err := os.Stat(living); err != nil {
		t.Errorf("the group of a living caller was deleted: %v", err)
	}
	leaf, err := os.Open(g.Jail())
	if err != nil {
		t.Fatal(err)
	}
	defer leaf.Close()
	c := exec.Command("sleep", "1000")
	c.SysProcAttr = &syscall.SysProcAttr{}
	Join(leaf, c.SysProcAttr)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if err := g.Admit(c.Process.Pid); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- c.Wait() }()
	if err := g.Remove(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("what was in the group ended with %v", err)
	}
	if _, err := os.Stat(g.dir); !os.IsNotExist(err) {
		t.Errorf("the group is still there: %v", err)
	}
}
