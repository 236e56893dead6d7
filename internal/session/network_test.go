package session

import (
	"os"
	"strings"
	"testing"

	"nsbuild/internal/fault"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/strays"
	"nsbuild/internal/testenv"
)

func TestPrivateNetwork(t *testing.T) {
	o := tree(t)
	testenv.RequireTool(t, "pasta")
	o.Network, o.Strays = sandbox.NetworkPrivate, strays.Fail
	out, st, err := output(t, o, "grep -vc ' lo:' /proc/net/dev; cat /etc/resolv.conf; touch "+
		"/etc/resolv.conf 2>/dev/null || echo read-only")
	if tun, openErr := os.OpenFile("/dev/net/tun", os.O_RDWR, 0); openErr != nil {
		// Not every container has it; then this is to be said.
		if err == nil || !strings.Contains(err.Error(), "/dev/net/tun") || fault.HintOf(err) == "" {
			t.Errorf("without the device: %v", err)
		}
		return
	} else if err := tun.Close(); err != nil {
		t.Error(err)
	}
	// Two lines of headings, and one interface beside lo.
	if want := "3\nnameserver 169.254.1.1\nread-only\n"; err != nil || !st.Success() ||
		out != want {
		t.Errorf("%q, %v, %v; want %q", out, st, err, want)
	}
}
