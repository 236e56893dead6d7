package inside

import (
	"fmt"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"nsbuild/internal/sandbox/syserr"
	"nsbuild/internal/sandbox/wire"
)

// heedSignals gives every signal that is ignored its default action. A process keeps what its
// starter ignored, through every exec; what Go handles becomes default by itself, but Go handles
// neither all signals nor those that were ignored at the start.
func heedSignals() error {
	// The kernel's struct sigaction, larger than any machine's; all zeros are SIG_DFL.
	type action [8]uint64
	const ignored = 1 // SIG_IGN
	const last = 64
	const setSize = 8 // of sigset_t, in bytes
	for sig := uintptr(1); sig <= last; sig++ {
		var now, byDefault action
		_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, sig, 0,
			uintptr(unsafe.Pointer(&now)), setSize, 0, 0)
		if errno != 0 {
			return syserr.Wrap("sigaction", strconv.Itoa(int(sig)), errno)
		}
		if now[0] != ignored {
			continue
		}
		_, _, errno = unix.RawSyscall6(unix.SYS_RT_SIGACTION, sig,
			uintptr(unsafe.Pointer(&byDefault)), 0, setSize, 0, 0)
		if errno != 0 {
			return syserr.Wrap("sigaction", strconv.Itoa(int(sig)), errno)
		}
	}
	return nil
}

// setPersonality makes uname(2) tell of the machine as it is, of a 32-bit one (PER_LINUX32 in
// personality(2)), or of an old kernel (UNAME26), and memory be laid out as usual, whatever the
// caller has of its own (setarch(8)). Like all of a personality it is inherited.
func setPersonality(spec *wire.Spec) error {
	const ask, perLinux, perLinux32, uname26 = 0xffffffff, 0, 0x0008, 0x0020000
	want := uintptr(perLinux)
	if spec.Personality32 {
		want = perLinux32
	}
	if spec.Vary != nil && spec.Vary.OldKernel {
		want |= uname26
	}
	now, _, errno := unix.RawSyscall(unix.SYS_PERSONALITY, ask, 0, 0)
	if errno == 0 && now != want {
		_, _, errno = unix.RawSyscall(unix.SYS_PERSONALITY, want, 0, 0)
	}
	if errno != 0 {
		return syserr.Wrap("personality", fmt.Sprintf("%#x", want), errno)
	}
	return nil
}

// setLimits sets what every command starts with. A huge soft RLIMIT_NOFILE makes programs crawl
// that close all descriptors one by one (fakeroot does). Memory is laid out by the soft limit of
// the stack, which is therefore the kernel's usual one. No hard limit is ever raised.
func setLimits() error {
	const (
		softFiles, hardFiles = 1024, 524288
		stack                = 8 << 20
	)
	if err := limit(unix.RLIMIT_NOFILE, "NOFILE", softFiles, hardFiles); err != nil {
		return err
	}
	if err := limit(unix.RLIMIT_STACK, "STACK", stack, unix.RLIM_INFINITY); err != nil {
		return err
	}
	return limit(unix.RLIMIT_CORE, "CORE", 0, unix.RLIM_INFINITY)
}

// limit sets a limit as far as the inherited hard one permits. Through syscall, not unix: so that
// the Go runtime does not put the old soft limit of files back in children.
func limit(resource int, name string, soft, hard uint64) error {
	var l unix.Rlimit
	if err := unix.Getrlimit(resource, &l); err != nil {
		return syserr.Wrap("getrlimit", name, err)
	}
	l.Max = min(l.Max, hard)
	l.Cur = min(soft, l.Max)
	if err := syscall.Setrlimit(resource, &syscall.Rlimit{Cur: l.Cur, Max: l.Max}); err != nil {
		return syserr.Wrap("setrlimit", name, err)
	}
	return nil
}
