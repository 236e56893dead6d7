package testenv

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// Terminal opens a terminal of the host's, of 41 lines and 111 columns, for the test to sit at: its
// keyboard, and what a program has as its standard streams.
func Terminal(t testing.TB) (keyboard, terminal *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	peer, _, errno := unix.Syscall(unix.SYS_IOCTL, master.Fd(), unix.TIOCGPTPEER,
		unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		t.Fatal(errno)
	}
	slave := os.NewFile(peer, "terminal")
	t.Cleanup(func() { slave.Close() })
	size := &unix.Winsize{Row: 41, Col: 111}
	if err := unix.IoctlSetWinsize(int(peer), unix.TIOCSWINSZ, size); err != nil {
		t.Fatal(err)
	}
	return master, slave
}
