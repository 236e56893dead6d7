// Package dirorder has the programs of a jail read directories in another order than the kernel's:
// builds are not to depend on that order. A filter of system calls (seccomp(2)) stops each
// getdents64; a process outside the jail makes the call in its place, permutes the entries and
// writes them into the program's memory (seccomp_unotify(2)).
//
// The filter is no wall: whatever is not as expected goes on as the program's own call. The process
// that answers believes nothing of what asks: not the number of a process, which may be another's
// by then, no address and no size.
package dirorder

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"nsbuild/internal/sandbox/syserr"
)

// calls are the numbers of getdents64, and of getdents where its entries have the same fields, for
// each kind of program that a machine's kernel may run (AUDIT_ARCH in seccomp(2); syscalls(2)).
type calls struct {
	// of the machine whose programs these are; "" for what others run beside their own
	goarch  string
	arch    uint32
	numbers []uint32
}

func allCalls() []calls {
	return []calls{
		{"amd64", unix.AUDIT_ARCH_X86_64, []uint32{217, 78}},
		{"386", unix.AUDIT_ARCH_I386, []uint32{220}},
		{"arm64", unix.AUDIT_ARCH_AARCH64, []uint32{61}},
		{"arm", unix.AUDIT_ARCH_ARM, []uint32{217}},
		{"riscv64", unix.AUDIT_ARCH_RISCV64, []uint32{61}},
		{"", unix.AUDIT_ARCH_RISCV32, []uint32{61}},
		{"loong64", unix.AUDIT_ARCH_LOONGARCH64, []uint32{61}},
		{"ppc64le", unix.AUDIT_ARCH_PPC64LE, []uint32{202}},
		{"s390x", unix.AUDIT_ARCH_S390X, []uint32{220}},
		{"", unix.AUDIT_ARCH_S390, []uint32{220}},
		{"mipsle", unix.AUDIT_ARCH_MIPSEL, []uint32{4219}},
		{"mips64le", unix.AUDIT_ARCH_MIPSEL64, []uint32{5308}},
	}
}

// native is the kind of this program itself; 0: not known.
func native(goarch string) uint32 {
	for _, c := range allCalls() {
		if c.goarch == goarch {
			return c.arch
		}
	}
	return 0
}

// filter is the program for the kernel (struct seccomp_data in seccomp(2)). What is of no known
// kind is left alone.
func filter(all []calls) []unix.SockFilter {
	const (
		offsetNumber, offsetArch = 0, 4
		load                     = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal                    = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		answer                   = unix.BPF_RET | unix.BPF_K
	)
	allow := unix.SockFilter{Code: answer, K: unix.SECCOMP_RET_ALLOW}
	notify := unix.SockFilter{Code: answer, K: unix.SECCOMP_RET_USER_NOTIF}
	program := []unix.SockFilter{{Code: load, K: offsetArch}}
	for _, c := range all {
		n := uint8(len(c.numbers))
		program = append(program, unix.SockFilter{Code: equal, K: c.arch, Jf: n + 3},
			unix.SockFilter{Code: load, K: offsetNumber})
		for i, number := range c.numbers {
			program = append(program, unix.SockFilter{Code: equal, K: number, Jt: n - uint8(i)})
		}
		program = append(program, allow, notify)
	}
	return append(program, allow)
}

// waitsKillable tells whether a call that was taken over is ended by nothing but a signal that
// kills (Linux 5.19): otherwise a signal that is handled has it made anew. The kernel looks at the
// flags before it looks at the program.
func waitsKillable() bool {
	_, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_NEW_LISTENER|unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, 0)
	return errno == unix.EFAULT
}

// Listener is what an error of Install is about.
const Listener = "a listener"

// Install puts the filter on this thread and on what it begins, and returns what Serve answers by.
// It needs CAP_SYS_ADMIN in the thread's user namespace, so that programs which change their user
// go on working.
func Install() (*os.File, error) {
	if native(runtime.GOARCH) == 0 {
		return nil, fmt.Errorf("the numbers of its system calls are not known for %s",
			runtime.GOARCH)
	}
	program := filter(allCalls())
	prog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	flags := uintptr(unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW)
	if waitsKillable() {
		flags |= unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
	}
	fd, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags,
		uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(program)
	if errno != 0 {
		return nil, syserr.Wrap("seccomp", Listener, errno)
	}
	return os.NewFile(fd, "listener"), nil
}

// Check tells what of the kernel's Serve could not use here: containers forbid some of it.
func Check() error {
	self, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return syserr.Wrap("pidfd_open", "", err)
	}
	defer unix.Close(self)
	fd, err := unix.PidfdGetfd(self, self, 0)
	if err != nil {
		return syserr.Wrap("pidfd_getfd", "", err)
	}
	return unix.Close(fd)
}
