package sandbox

import (
	"context"
	"strings"
	"testing"

	"nsbuild/internal/fault"
)

// TestEmulator has cat be the interpreter of files that begin in a certain way, which only the
// holder's own jails see. Kernels before 6.7 keep that for root, and the error says so.
func TestEmulator(t *testing.T) {
	ids, err := ResolveIDs()
	if err != nil {
		t.Fatal(err)
	}
	h, err := Start(context.Background(), HolderSpec{IDs: ids, Emulator: &Emulator{
		Name: "nsbuild-test", Magic: []byte("NSB\x00"), Mask: []byte{0xff, 0xff, 0xff, 0},
		Interpreter: "/usr/bin/cat",
	}})
	if err != nil {
		if !strings.Contains(fault.HintOf(err), "6.7") {
			t.Errorf("%v, hint %q", err, fault.HintOf(err))
		}
		return
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	const script = "printf 'NSB!\\nshown\\n' >/tmp/program; chmod 755 /tmp/program; exec /tmp/program"
	if out, st := sh(t, hostJail(t, h), script); !st.Success() || out != "NSB!\nshown\n" {
		t.Errorf("%s: %q", st, out)
	}
	if out, st := sh(t, hostJail(t, startHolder(t)), script); st.Success() {
		t.Errorf("another holder's jail: %q", out)
	}
}

func TestEmulatorMissing(t *testing.T) {
	ids, err := ResolveIDs()
	if err != nil {
		t.Fatal(err)
	}
	h, err := Start(context.Background(),
		HolderSpec{IDs: ids, Emulator: &Emulator{Name: "none", Magic: []byte("NSB"),
			Mask: []byte{255, 255, 255}, Interpreter: "/nonexistent/qemu"}})
	if err == nil || !strings.Contains(err.Error(), "/nonexistent/qemu") {
		t.Error(err)
	}
	if err == nil {
		t.Error(h.Close())
	}
}

func TestPersonality32(t *testing.T) {
	ids, err := ResolveIDs()
	if err != nil {
		t.Fatal(err)
	}
	h, err := Start(context.Background(), HolderSpec{IDs: ids, Personality32: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	out, st := sh(t, hostJail(t, h), "uname -m")
	if !st.Success() || strings.Contains(out, "64") {
		t.Errorf("%s: uname -m says %q", st, out)
	}
}
