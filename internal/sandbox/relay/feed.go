package relay

import (
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"nsbuild/internal/sandbox/pipes"
	"nsbuild/internal/sandbox/syserr"
	"nsbuild/internal/sandbox/wire"
)

// feed copies a file of the caller's into a pipe that a command reads. What the command has not
// read by its end is given back, so that whoever reads the file next begins there.
type feed struct {
	from  *os.File
	read  *os.File // the end that the command has, for what is left in it
	write *os.File
	ended chan struct{}
	extra int64 // bytes that were read and did not get into the pipe; valid once ended
	err   error // likewise
}

// mayRead tells whether a jail may be given what a command reads: opened anew, it must be readable,
// and by nobody writable through a stream that is only read.
func (j Jail) mayRead(f *os.File) (bool, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return false, syserr.Wrap("stat", "standard input", err)
	}
	want, err := pipes.OthersBits(int(f.Fd()))
	if err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || want != unix.S_IROTH {
		return true, err // a pipe cannot be given back what was taken from it
	}
	others := st.Mode & (unix.S_IROTH | unix.S_IWOTH)
	return !j.CallersIDs && others == unix.S_IROTH, nil
}

// startFeed makes a pipe that a file is copied to, and returns the end that is read from.
func startFeed(from *os.File) (*feed, *os.File, error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, syserr.Wrap("pipe", "", err)
	}
	end := os.NewFile(uintptr(fds[0]), "standard input")
	err := errors.Join(unix.SetNonblock(fds[1], true), unix.Fchmod(fds[0], 0o644))
	write := os.NewFile(uintptr(fds[1]), "standard input") // a poller's, which takes deadlines
	f := &feed{write: write, ended: make(chan struct{})}
	if err == nil {
		f.from, err = duplicate(from)
	}
	if err == nil {
		f.read, err = duplicate(end)
	}
	if err != nil {
		wire.CloseFiles([]*os.File{write, end})
		return nil, nil, syserr.Wrap("feeding", "standard input", err)
	}
	go f.copy()
	return f, end, nil
}

func duplicate(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

func (f *feed) copy() {
	defer close(f.ended)
	defer f.write.Close() // the command reads the end of the file
	buffer := make([]byte, 64<<10)
	for {
		n, err := f.from.Read(buffer)
		if n > 0 {
			written, writeErr := f.write.Write(buffer[:n])
			if writeErr != nil { // the command has ended, see giveBack
				f.extra = int64(n - written)
				return
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				f.err = syserr.Wrap("reading the command's", "standard input", err)
			}
			return
		}
	}
}

// giveBack ends the feeding and puts the file back to where the command has read to.
func (f *feed) giveBack() error {
	_ = f.write.SetWriteDeadline(time.Unix(1, 0)) // one that has ended needs none
	<-f.ended
	left, err := unix.IoctlGetInt(int(f.read.Fd()), unix.TIOCINQ)
	if err == nil && int64(left)+f.extra > 0 {
		_, err = f.from.Seek(-int64(left)-f.extra, io.SeekCurrent)
	}
	wire.CloseFiles([]*os.File{f.read, f.from})
	return errors.Join(f.err, syserr.Wrap("giving back", "standard input", err))
}
