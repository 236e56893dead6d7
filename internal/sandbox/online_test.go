package sandbox

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"nsbuild/internal/sandbox/mounts"
	"nsbuild/internal/testenv"
)

// TestSweep ends what a command left, however it hid, and goes on with the jail.
func TestSweep(t *testing.T) {
	testenv.RequireTool(t, "pgrep", "ps")
	j := hostJail(t, startHolder(t))
	left := "(setsid sleep 1001 &); unshare -Urpf --mount-proc sleep 1003 & while ! pgrep -x " +
		"sleep >/dev/null || [ $(pgrep -xc sleep) -lt 2 ]; do :; done"
	if out, st := sh(t, j, "("+left+") >/dev/null 2>&1"); !st.Success() {
		t.Fatalf("%q %v", out, st)
	}
	strays, err := j.Sweep()
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, s := range strays {
		said = append(said, s.Command)
	}
	for _, want := range []string{"sleep 1001", "sleep 1003"} {
		if text := strings.Join(said, "\n"); !strings.Contains(text, want) {
			t.Errorf("%s is not among what was ended:\n%s", want, text)
		}
	}
	// The dead that nobody has collected yet do not count.
	if out, st := sh(t, j,
		"ps -eo stat=,comm= | grep -v ^Z | grep -w sleep; echo on"); out != "on\n" ||
		!st.Success() {
		t.Errorf("after it: %q %v", out, st)
	}
	if strays, err := j.Sweep(); err != nil || len(strays) > 0 {
		t.Errorf("a second time: %v %v", strays, err)
	}
}

// TestNetworkOfOneCommand gives a command the network that its jail has not.
func TestNetworkOfOneCommand(t *testing.T) {
	const file = "/proc/self/net/dev" // lists the interfaces of a process's own namespace
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	host := interfaces(string(text))
	j := hostJail(t, startHolder(t))
	before, _ := sh(t, j, "cat "+file)
	with, st := run(t, j,
		Command{
			Argv: []string{"/bin/sh", "-c",
				"cat " + file +
					"; echo mine >/tmp/made; test -d /sys/class && test -e /etc/resolv.conf"},
			Env: []string{"PATH=" + DefaultPath}, Network: NetworkHost})
	if !st.Success() {
		t.Errorf("%q %v", with, st)
	}
	after, _ := sh(t, j, "cat "+file)
	if got := interfaces(with); got != host {
		t.Errorf("with the network it sees %s, the host has %s", got, host)
	}
	if interfaces(before) != "lo" || interfaces(after) != "lo" {
		t.Errorf("the others see %s, then %s", interfaces(before), interfaces(after))
	}
	if out, _ := sh(t, j, "cat /tmp/made"); out != "mine\n" {
		t.Errorf("it has another root: %q", out)
	}
}

// TestNetworkOverDanglingResolver gives a command the network in a root whose resolv.conf is a link
// that leads nowhere.
func TestNetworkOverDanglingResolver(t *testing.T) {
	want, err := os.ReadFile(mounts.ResolverFile)
	if err != nil {
		testenv.Missing(t, "resolver", fmt.Sprint("this host has no name servers to show: ", err))
	}
	j := hostJail(t, startHolder(t))
	if err := j.Symlink("../run/systemd/resolve/stub-resolv.conf",
		mounts.ResolverFile); err != nil {
		t.Fatal(err)
	}
	out, st := run(t, j,
		Command{Argv: []string{"/bin/cat", mounts.ResolverFile}, Network: NetworkHost})
	if !st.Success() || out != string(want) {
		t.Errorf("%q %v; want %q", out, st, want)
	}
	if out, _ := sh(t, j,
		"readlink "+mounts.ResolverFile+"; cat "+mounts.ResolverFile); strings.Contains(out,
		string(want)) {
		t.Errorf("the jail's other commands see it, too: %q", out)
	}
}

// interfaces lists what proc_net(5)'s dev names, in its order.
func interfaces(dev string) string {
	var names []string
	for line := range strings.Lines(dev) {
		if name, _, ok := strings.Cut(line, ":"); ok {
			names = append(names, strings.TrimSpace(name))
		}
	}
	return strings.Join(names, " ")
}
