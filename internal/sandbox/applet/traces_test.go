package applet

import (
	"os"
	"path/filepath"
	"testing"

	"nsbuild/internal/sandbox/wire"
)

func TestCounters(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("snmp", "Ip: Forwarding InDiscards OutNoRoutes\nIp: 2 0 5\nIcmp: InMsgs\nIcmp: 8\n"+
		"Udp: InDatagrams NoPorts\nUdp: 1 4\n")
	write("snmp6", "Ip6OutNoRoutes                  \t2\nUdp6NoPorts                     \t1\n")
	var got wire.Traces
	if err := countAttempts(dir, &got); err != nil || got.Unreachable != 7 || got.Unanswered != 5 ||
		!got.Counted {
		t.Errorf("%+v %v", got, err)
	}
	for _, text := range []string{"", "Ip:", "Ip: A OutNoRoutes\nIp: 1\n",
		"Ip: OutNoRoutes\nIp: many\n"} {
		if n := counter([]byte(text), "Ip", "OutNoRoutes"); n != 0 {
			t.Errorf("%q: %d", text, n)
		}
	}
}
