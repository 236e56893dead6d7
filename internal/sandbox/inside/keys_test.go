package inside

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestKeyFilter runs the filter as the kernel does.
func TestKeyFilter(t *testing.T) {
	calls := allKeyCalls()
	program, err := keyFilter(calls, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range calls {
		for number, refused := range map[uint32]bool{
			0: false, c.first - 1: false, c.first: true, c.first + 1: true, c.first + 2: true,
			c.first + 3:          false,
			c.first | 0x40000000: true, 9999: false,
		} {
			if got := filtered(t, program, c.arch, number); got != refused {
				t.Errorf("%#x: call %d is refused: %v", c.arch, number, got)
			}
		}
	}
	if !filtered(t, program, unix.AUDIT_ARCH_SH, 1) {
		t.Error("a program of no known kind may call the kernel")
	}
	if _, err := keyFilter(calls, "vax"); err == nil {
		t.Error("a machine whose calls are not known has a filter")
	}
}

// filtered interprets a program of the few instructions that there are.
func filtered(t *testing.T, program []unix.SockFilter, arch, number uint32) bool {
	t.Helper()
	var a uint32
	for at := 0; at < len(program); at++ {
		i := program[at]
		jump := false
		switch i.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			a = map[uint32]uint32{0: number, 4: arch}[i.K]
			continue
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			a &= i.K
			continue
		case unix.BPF_RET | unix.BPF_K:
			return i.K != unix.SECCOMP_RET_ALLOW
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			jump = a == i.K
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			jump = a >= i.K
		default:
			t.Fatalf("instruction %#x", i.Code)
		}
		if jump {
			at += int(i.Jt)
		} else {
			at += int(i.Jf)
		}
	}
	t.Fatal("the program has no end")
	return false
}
