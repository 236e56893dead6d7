package sandbox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"nsbuild/internal/testenv"
)

// ownerMain is a process that holds a jail with many processes in it, for a test to kill.
func ownerMain() int {
	ids, err := ResolveIDs()
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	h, err := Start(context.Background(), HolderSpec{IDs: ids})
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	j, err := h.NewJail(context.Background(), Spec{Root: Root{Lowers: []Lower{{Path: os.Args[1]}}},
		Mounts: programs()})
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	if _, err := j.Start(
		Command{Argv: []string{"/bin/sh", "-c",
			"for i in 1 2 3 4 5 6 7 8; do sleep $0 & done; setsid sleep $0 & wait", os.Args[2]},
		}); err != nil {
		fmt.Println("error:", err)
		return 1
	}
	fmt.Println("pid", h.PID())
	select {}
}

const ownerName = "nsbuild-test-owner"

// TestParentKilled kills the caller with SIGKILL: PID 1 and all that is in the jail must be gone at
// once.
func TestParentKilled(t *testing.T) {
	testenv.RequireTool(t, "pgrep")
	root := testRoot(t, startHolder(t))
	cmd := exec.Command("/proc/self/exe")
	long := fmt.Sprintf("5001.%d", os.Getpid()) // others may run this test on the same machine
	cmd.Args = []string{ownerName, root, long}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	text, ok := strings.CutPrefix(strings.TrimSpace(line), "pid ")
	if !ok {
		t.Fatal(line)
	}
	pid, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	const limit = 10 * time.Second // nothing waits; but a machine may be busy
	before := time.Now()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("it was not killed")
	}
	for alive(t, pid) {
		if time.Since(before) > limit {
			t.Fatal("PID 1 lives on after its caller's death")
		}
		time.Sleep(time.Millisecond)
	}
	// PID 1's first thread is dead before its last one, which waits for all others to be.
	for {
		left, err := exec.Command("pgrep", "-f", "sleep "+long).Output()
		if len(left) == 0 {
			var none *exec.ExitError
			if !errors.As(err, &none) || none.ExitCode() != 1 {
				t.Fatal(err)
			}
			return
		}
		if time.Since(before) > limit {
			t.Fatalf("processes are left: %s", left)
		}
		time.Sleep(time.Millisecond)
	}
}

// alive tells whether a process runs: whoever inherits a dead one may take its time to reap it.
func alive(t *testing.T, pid int) bool {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}

// TestHomeOf0700 uses a tree whose way only the caller may go.
func TestHomeOf0700(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	h := startHolder(t)
	root := testRoot(t, h)
	st, err := os.Stat(strings.TrimSuffix(root, "/root"))
	if err != nil {
		t.Fatal(err)
	}
	if st.Mode().Perm()&0o077 != 0 {
		if err := os.Chmod(strings.TrimSuffix(root, "/root"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	j, err := h.NewJail(context.Background(), Spec{Root: Root{Lowers: []Lower{{Path: root}}},
		Mounts: programs()})
	if err != nil {
		t.Fatal(err)
	}
	if out, st := sh(t, j, "cat /srv/old/file"); out != "old\n" || !st.Success() {
		t.Errorf("%q %v", out, st)
	}
}

// TestNothingLeaksIn looks for what the caller has and the jail must not.
func TestNothingLeaksIn(t *testing.T) {
	t.Setenv("NSBUILD_TEST_SECRET", "secret")
	h := startHolder(t)
	j := hostJail(t, h)
	for script, want := range map[string]string{
		"env | grep -c SECRET":                                   "0\n",
		"cat /proc/*/environ 2>/dev/null | grep -c SECRET":       "0\n",
		"ls /host /scratch /exe 2>/dev/null | wc -l":             "0\n",
		"grep -c ' /host' /proc/self/mountinfo":                  "0\n",
		"test -e /proc/1/root/etc && echo seen; echo done":       "done\n",
		"(: </proc/1/exe) 2>/dev/null && echo opened; echo done": "done\n",
	} {
		out, _ := sh(t, j, script)
		if out != want {
			t.Errorf("%s: %q, want %q", script, out, want)
		}
	}
	// Our own binary must not be writable from inside (CVE-2019-5736).
	if out, st := sh(t, j,
		"for p in /proc/[0-9]*; do (: >>$p/exe) 2>/dev/null && readlink $p/exe; done; true"); out != "" || !st.Success() {
		t.Errorf("executables that could be opened for writing: %q %v", out, st)
	}
}
