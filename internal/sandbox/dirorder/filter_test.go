package dirorder

import (
	"runtime"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFilter runs the filter as the kernel does.
func TestFilter(t *testing.T) {
	all := allCalls()
	program := filter(all)
	for _, c := range all {
		for _, number := range c.numbers {
			for n, want := range map[uint32]uint32{number: unix.SECCOMP_RET_USER_NOTIF,
				number + 1: unix.SECCOMP_RET_ALLOW, number - 1: unix.SECCOMP_RET_ALLOW,
				number | 0x40000000: unix.SECCOMP_RET_ALLOW} { // x32's calls take other structures
				if got := filtered(t, program, c.arch, n); got != want {
					t.Errorf("%#x: call %d: %#x", c.arch, n, got)
				}
			}
		}
	}
	if got := filtered(t, program, unix.AUDIT_ARCH_SH, 217); got != unix.SECCOMP_RET_ALLOW {
		t.Errorf("a program of no known kind: %#x", got)
	}
}

// TestNative knows the number of this machine's own call.
func TestNative(t *testing.T) {
	for _, c := range allCalls() {
		if c.goarch == runtime.GOARCH && !slices.Contains(c.numbers, unix.SYS_GETDENTS64) {
			t.Errorf("%s: %d is not among %d", c.goarch, unix.SYS_GETDENTS64, c.numbers)
		}
	}
	if native("vax") != 0 {
		t.Error("a machine is known that is not")
	}
}

// filtered interprets a program of the few instructions that there are.
func filtered(t *testing.T, program []unix.SockFilter, arch, number uint32) uint32 {
	t.Helper()
	var a uint32
	for at := 0; at < len(program); at++ {
		i := program[at]
		switch i.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			a = map[uint32]uint32{0: number, 4: arch}[i.K]
		case unix.BPF_RET | unix.BPF_K:
			return i.K
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			if a == i.K {
				at += int(i.Jt)
			} else {
				at += int(i.Jf)
			}
		default:
			t.Fatalf("instruction %#x", i.Code)
		}
	}
	t.Fatal("the program has no end")
	return 0
}
