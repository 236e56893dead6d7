package pid1

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"nsbuild/internal/sandbox/layout"
	"nsbuild/internal/sandbox/syserr"
	"nsbuild/internal/sandbox/wire"
)

// registerEmulator tells the kernel of an interpreter, in the holder's own user namespace: nothing
// outside sees it, and no root is needed (Linux 6.7). It holds as long as the file that is returned
// is open. The mount is attached nowhere. See Documentation/admin-guide/binfmt-misc.rst.
func registerEmulator(e *wire.Emulator) (*os.File, error) {
	config, err := unix.Fsopen("binfmt_misc", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, syserr.Wrap(wire.BinfmtCall, e.Interpreter, err)
	}
	defer unix.Close(config)
	if err := unix.FsconfigCreate(config); err != nil {
		return nil, syserr.Wrap(wire.BinfmtCall, e.Interpreter, err)
	}
	fd, err := unix.Fsmount(config, unix.FSMOUNT_CLOEXEC,
		unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return nil, syserr.Wrap(wire.BinfmtCall, e.Interpreter, err)
	}
	dir := os.NewFile(uintptr(fd), wire.BinfmtCall)
	register, err := unix.Openat(fd, "register", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		_, err = unix.Write(register, []byte(emulatorLine(e)))
		err = errors.Join(err, unix.Close(register))
	}
	if err != nil {
		return nil, syserr.Wrap(wire.BinfmtCall, e.Interpreter, errors.Join(err, dir.Close()))
	}
	return dir, nil
}

// emulatorLine is the emulator as binfmt_misc takes it. F has the kernel open the interpreter now,
// for in a jail it has no name; C and O are for programs that change their user.
func emulatorLine(e *wire.Emulator) string {
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
		layout.Host+e.Interpreter, flags)
}
