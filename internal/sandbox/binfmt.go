package sandbox

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"nsbuild/internal/fault"
)

// Emulator is an interpreter for programs whose beginning, as far as Mask has bits, is Magic. It is
// a static program of the host.
type Emulator struct {
	Name        string
	Magic, Mask []byte
	Interpreter string
	// KeepArgv0 hands over the program's own name, too.
	KeepArgv0 bool
}

// binfmtCall is what an error of registerEmulator says was called.
const binfmtCall = "binfmt_misc"

// registerEmulator tells the kernel of an interpreter, in the holder's own user namespace: nothing
// outside sees it, and no root is needed (Linux 6.7). It holds as long as the file that is returned
// is open. The mount is attached nowhere. See Documentation/admin-guide/binfmt-misc.rst.
func registerEmulator(e *Emulator) (*os.File, error) {
	config, err := unix.Fsopen("binfmt_misc", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, sysErr(binfmtCall, e.Interpreter, err)
	}
	defer unix.Close(config)
	if err := unix.FsconfigCreate(config); err != nil {
		return nil, sysErr(binfmtCall, e.Interpreter, err)
	}
	fd, err := unix.Fsmount(config, unix.FSMOUNT_CLOEXEC,
		unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return nil, sysErr(binfmtCall, e.Interpreter, err)
	}
	dir := os.NewFile(uintptr(fd), binfmtCall)
	register, err := unix.Openat(fd, "register", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		_, err = unix.Write(register, []byte(e.line()))
		err = errors.Join(err, unix.Close(register))
	}
	if err != nil {
		return nil, sysErr(binfmtCall, e.Interpreter, errors.Join(err, dir.Close()))
	}
	return dir, nil
}

// line is the emulator as binfmt_misc takes it. F has the kernel open the interpreter now, for in a
// jail it has no name; C and O are for programs that change their user.
func (e *Emulator) line() string {
	flags := "OCF"
	if e.KeepArgv0 {
		flags += "P"
	}
	quote := func(data []byte) string {
		var b strings.Builder
		for _, c := range data {
			fmt.Fprintf(&b, `\x%02x`, c)
		}
		return b.String()
	}
	return fmt.Sprintf(":%s:M:0:%s:%s:%s:%s", e.Name, quote(e.Magic), quote(e.Mask),
		HostRoot+e.Interpreter, flags)
}

// explainSetup adds what to do where the kernel keeps interpreters for root.
func explainSetup(err error) error {
	var e *Error
	if errors.As(err, &e) && e.Op == binfmtCall {
		return fault.Wrap(fault.Internal, "use Linux 6.7 or later, or let the host's kernel know "+
			"the interpreter: sudo apt-get install qemu-user-static binfmt-support", err)
	}
	return explainProc(err)
}
