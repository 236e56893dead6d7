package pid1

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"nsbuild/internal/sandbox/idmap"
	"nsbuild/internal/sandbox/syserr"
	"nsbuild/internal/sandbox/wire"
)

// openTerminal opens a new pair below j.pts, which was opened before anything hostile ran: nobody
// can have mounted something else there.
func (j *openJail) openTerminal(uid int) ([]*os.File, error) {
	if j.pts == nil {
		return nil, errors.New("this jail has no terminals")
	}
	fd, err := unix.Openat(int(j.pts.Fd()), "ptmx",
		unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, syserr.Wrap("open", "/dev/pts/ptmx", err)
	}
	master := os.NewFile(uintptr(fd), "ptmx")
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		master.Close()
		return nil, syserr.Wrap("unlocking a terminal", "", err)
	}
	// By descriptor: the name /dev/pts/N could be made to lead elsewhere.
	peer, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER,
		unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		master.Close()
		return nil, syserr.Wrap("opening a terminal's other end", "", errno)
	}
	slave := os.NewFile(peer, "pts")
	const groupTTY = 5 // of every Debian system (base-passwd), as the mount option says
	if caller := j.spec.Caller; caller != nil && caller.UID == uid {
		uid = idmap.CallerID
	}
	if err := unix.Fchown(int(peer), uid, groupTTY); err != nil {
		wire.CloseFiles([]*os.File{master, slave})
		return nil, syserr.Wrap("chown", "the terminal", err)
	}
	return []*os.File{master, slave}, nil
}
