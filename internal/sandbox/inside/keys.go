package inside

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"nsbuild/internal/sandbox/syserr"
	"nsbuild/internal/sandbox/wire"
)

// keyCalls are the numbers of add_key, request_key and keyctl, which follow one another, for each
// kind of program that a machine's kernel may run (AUDIT_ARCH in seccomp(2); syscalls(2)).
type keyCalls struct {
	// of the machine whose programs these are; "" for what others run beside their own
	goarch string
	arch   uint32
	first  uint32
}

func allKeyCalls() []keyCalls {
	return []keyCalls{
		{"amd64", unix.AUDIT_ARCH_X86_64, 248},
		{"386", unix.AUDIT_ARCH_I386, 286},
		{"arm64", unix.AUDIT_ARCH_AARCH64, 217},
		{"arm", unix.AUDIT_ARCH_ARM, 309},
		{"riscv64", unix.AUDIT_ARCH_RISCV64, 217},
		{"", unix.AUDIT_ARCH_RISCV32, 217},
		{"loong64", unix.AUDIT_ARCH_LOONGARCH64, 217},
		{"ppc64le", unix.AUDIT_ARCH_PPC64LE, 269},
		{"s390x", unix.AUDIT_ARCH_S390X, 278},
		{"", unix.AUDIT_ARCH_S390, 278},
		{"mipsle", unix.AUDIT_ARCH_MIPSEL, 4280},
		{"mips64le", unix.AUDIT_ARCH_MIPSEL64, 5239},
		{"", unix.AUDIT_ARCH_MIPSEL64N32, 6243},
	}
}

// ownKeyring keeps the caller's keyrings from being searched from the jail (session-keyring(7)).
// Where keyctl is forbidden there is nothing to search. A jail that has the caller's own uid could
// still link its keyring by number and read what is in it, whatever the namespace
// (user-keyring(7)): it gets none of the calls that are about keys.
func ownKeyring(caller *wire.Caller) error {
	_, err := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0)
	if err != nil && !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EPERM) {
		return syserr.Wrap("keyctl", "joining a new session keyring", err)
	}
	if caller == nil {
		return nil
	}
	if err := forbidKeys(allKeyCalls()); err != nil {
		return fmt.Errorf("keeping the caller's keys out of the jail: %w", err)
	}
	return nil
}

// forbidKeys has the calls answer ENOSYS, as a kernel without keys does: to this thread and to what
// it begins.
func forbidKeys(calls []keyCalls) error {
	program, err := keyFilter(calls, runtime.GOARCH)
	if err != nil {
		return err
	}
	prog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	_, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0,
		uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(program)
	if errno != 0 {
		return syserr.Wrap("seccomp", "", errno)
	}
	return nil
}

// keyFilter is the program for the kernel (struct seccomp_data in seccomp(2)). What is of no known
// kind gets no call at all, so the machine's own must be known.
func keyFilter(calls []keyCalls, goarch string) ([]unix.SockFilter, error) {
	const (
		offsetNumber, offsetArch = 0, 4
		// a bit in the number, of another ABI of the same kind
		x32     = 0x40000000
		load    = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		and     = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
		equal   = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		atLeast = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
		answer  = unix.BPF_RET | unix.BPF_K
		count   = 3
	)
	known := false
	refuse := unix.SockFilter{Code: answer, K: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)}
	allow := unix.SockFilter{Code: answer, K: unix.SECCOMP_RET_ALLOW}
	program := []unix.SockFilter{{Code: load, K: offsetArch}}
	for _, c := range calls {
		known = known || c.goarch == goarch
		program = append(program,
			unix.SockFilter{Code: equal, K: c.arch, Jf: 6}, // to the next kind
			unix.SockFilter{Code: load, K: offsetNumber},
			unix.SockFilter{Code: and, K: ^uint32(x32)},
			unix.SockFilter{Code: atLeast, K: c.first, Jf: 2},
			unix.SockFilter{Code: atLeast, K: c.first + count, Jt: 1},
			refuse,
			allow)
	}
	if !known {
		return nil, fmt.Errorf("the numbers of its system calls are not known for %s", goarch)
	}
	return append(program, refuse), nil
}
