package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"nsbuild/internal/fault"
	"nsbuild/internal/sandbox/idmap"
	"nsbuild/internal/testenv"
)

// maskedTests run where part of /proc is masked, as podman and docker do it.
var maskedTests = []string{"TestMasked", "TestParentKilled", "TestCommand", "TestNothingLeaksIn",
	"TestUsage", "TestHelperKilled"}

// inMasked says to a test that it runs so.
const inMasked = "NSBUILD_TEST_MASKED"

// TestMasked runs them in a PID namespace of their own, with a /proc in it that has a mask. Root
// needs no other namespaces. A user is root of a user namespace there, as in a rootless container.
func TestMasked(t *testing.T) {
	if os.Getenv(inMasked) != "" {
		t.Run("level", testMaskedLevel)
		t.Run("ends", testMaskedEnds)
		t.Run("two", testMaskedTwo)
		return
	}
	testenv.RequireTool(t, "unshare", "pgrep")
	args := []string{"--mount", "--pid", "--fork", "--mount-proc", "--kill-child"}
	if os.Geteuid() != 0 {
		args = append(args, "--map-auto", "--map-root-user")
	}
	script := `mount -t tmpfs none /proc/irq && exec "$@"`
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", append(args, "sh", "-c", script, "sh", self, "-test.v",
		"-test.run", "^("+strings.Join(maskedTests, "|")+")$")...)
	cmd.Env = append(os.Environ(), inMasked+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range maskedTests {
		if !strings.Contains(string(out), "--- PASS: "+name+" ") {
			t.Errorf("%s did not pass:\n%s", name, out)
		}
	}
}

// masked starts a holder of the shared level.
func masked(t *testing.T) *Holder {
	t.Helper()
	h := startHolder(t)
	if h.Level() != LevelShared {
		t.Fatalf("the level is %q", h.Level())
	}
	return h
}

// testMaskedLevel: the level is taken when the full one is refused, and only where any will do. A
// jail has neither the id of who kills, nor ever the caller's own.
func testMaskedLevel(t *testing.T) {
	h := masked(t)
	_, err := Start(context.Background(), HolderSpec{IDs: h.IDs(), Require: LevelFull})
	if !refusesProc(err) || fault.HintOf(err) == "" {
		t.Errorf("the full level: %v; hint %q", err, fault.HintOf(err))
	}
	root := testRoot(t, h)
	spec := Spec{Root: Root{Lowers: []Lower{{Path: root}}}, Mounts: programs()}
	own := spec
	own.Caller = &Caller{UID: 1000, GID: 1000}
	if _, err := h.NewJail(context.Background(), own); err == nil ||
		!strings.Contains(err.Error(), "a PID namespace of its own") || fault.HintOf(err) == "" {
		t.Errorf("a jail with the caller's ids: %v; hint %q", err, fault.HintOf(err))
	}
	j, err := h.NewJail(context.Background(), spec)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		script string
		works  bool
	}{
		{fmt.Sprintf("setpriv --reuid %d --clear-groups true", idmap.KillerID), false},
		{"setpriv --reuid 65534 --regid 65534 --clear-groups true", true},
		{fmt.Sprintf("kill -0 %d", h.PID()), false}, // the init
		{fmt.Sprintf("kill -0 %d", os.Getpid()), false},
		{fmt.Sprintf("ls /proc/%d/fd /proc/%d/root/", h.PID(), os.Getpid()), false},
		{fmt.Sprintf(": <>/proc/%d/mem", h.PID()), false},
		{"umount /proc || mount -o remount,rw /proc/irq || rmdir /proc/irq", false},
		{"pgrep -x nsbuild-watch && [ $(readlink /proc/$$/exe) = $(readlink -f /bin/sh) ]", true},
		{"for w in $(pgrep -x nsbuild-watch); do kill -9 $w && exit; done; exit 1", false},
	} {
		if out, st := sh(t, j, "("+c.script+") 2>&1"); st.Success() != c.works {
			t.Errorf("%s: %s %q", c.script, st, out)
		}
	}
	if _, err := j.Close(); err != nil {
		t.Error(err)
	}
}

// testMaskedEnds: whatever ends the sandbox, nothing survives: strays, also in PID namespaces and
// with other ids, are found, named and killed, and so are those of an init that was killed.
func testMaskedEnds(t *testing.T) {
	h := masked(t)
	j := hostJail(t, h)
	// One is in a PID namespace, and one has an id of its own and ignores signals.
	const begin = "setsid sleep 1001 >/dev/null 2>&1 & " +
		"unshare -Urpf sleep 1002 >/dev/null 2>&1 & " +
		"setpriv --reuid 4711 --clear-groups sh -c 'trap \"\" TERM HUP; sleep 1003' " +
		">/dev/null 2>&1 & " +
		`for n in 1001 1002 1003; do until pgrep -xf "sleep $n" >/dev/null; do :; done; done`
	all := []string{"sleep 1001", "sleep 1002", "sleep 1003"}
	for _, e := range []struct {
		what string
		end  func() ([]Stray, error)
	}{{"Sweep", j.Sweep}, {"Close", j.Close}} {
		if out, st := sh(t, j, begin); !st.Success() {
			t.Fatalf("%q %v", out, st)
		}
		before := aWatcher(t)
		strays, err := e.end()
		if err != nil {
			t.Fatal(err)
		}
		for _, command := range all {
			if !slices.ContainsFunc(strays, func(s Stray) bool { return s.Command == command }) {
				t.Errorf("%s: %q is not among %+v", e.what, command, strays)
			}
		}
		for _, s := range strays {
			if strings.Contains(s.Command, "nsbuild") {
				t.Errorf("%s: one of ours is among the strays: %+v", e.what, s)
			}
		}
		if e.what == "Sweep" && watchers(t) != before {
			t.Error("sweeping has ended the watcher")
		}
		running(t, "sleep 100", 0)
	}
	j = hostJail(t, h)
	if out, st := sh(t, j, begin); !st.Success() {
		t.Fatalf("%q %v", out, st)
	}
	// The watcher comes again.
	killed := aWatcher(t)
	if err := exec.Command("pkill", "-9", "-x", "nsbuild-watch").Run(); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "there is another watcher", func() bool {
		now := watchers(t)
		return now != "" && now != killed
	})
	if err := syscall.Kill(h.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := h.Close(); err != nil { // which waits
		t.Error(err)
	}
	running(t, "sleep 100", 0)
	running(t, "nsbuild-watch", 0)
}

// testMaskedTwo: the end of one sandbox is not that of another, nor of a process of its caller's,
// although the first two have the same ids and the last two, too.
func testMaskedTwo(t *testing.T) {
	h := masked(t)
	other := exec.Command("sleep", "1005")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := other.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = other.Wait() // it was killed
	}()
	second := startHolder(t)
	one, two := hostJail(t, h), hostJail(t, second)
	for _, j := range []*Jail{one, two} {
		if out, st := sh(t, j, "setsid sleep 1004 >/dev/null 2>&1 &"); !st.Success() {
			t.Fatalf("%q %v", out, st)
		}
	}
	testenv.Eventually(t, "both run", func() bool { return count(t, "sleep 1004") == 2 })
	strays, err := one.Close()
	if err != nil || len(strays) != 1 {
		t.Errorf("%+v, %v", strays, err)
	}
	running(t, "sleep 1004", 1)
	running(t, "sleep 1005", 1)
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	running(t, "sleep 1004", 1)
	if strays, err = two.Close(); err != nil || len(strays) != 1 {
		t.Errorf("%+v, %v", strays, err)
	}
}

// watchers are the numbers of those that run.
func watchers(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("pgrep", "-x", "nsbuild-watch").Output()
	var none *exec.ExitError
	if err != nil && !errors.As(err, &none) {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// aWatcher waits for the watcher, which has its name soon after it was started.
func aWatcher(t *testing.T) (pid string) {
	t.Helper()
	testenv.Eventually(t, "there is a watcher", func() bool {
		pid = watchers(t)
		return pid != ""
	})
	return pid
}

// count tells how many living processes have a command line that begins so.
func count(t *testing.T, command string) int {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, dir := range all {
		line, err := os.ReadFile(dir + "/cmdline") // a dead one has none
		if err == nil && strings.HasPrefix(strings.ReplaceAll(string(line), "\x00", " "), command) {
			n++
		}
	}
	return n
}

func running(t *testing.T, command string, want int) {
	t.Helper()
	if got := count(t, command); got != want {
		t.Errorf("%d of %q run, want %d", got, command, want)
	}
}
