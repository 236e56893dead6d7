// Package relay decides which of its caller's streams a jail may have, and passes on what goes
// through those that it may not. It runs in PID 1.
//
// A process can open its own streams anew: /dev/stdout is a link to /proc/self/fd/1, and what that
// grants is decided by the mode of what is open there, not by how it was opened. So a jail is given
// pipes. A pipe of the caller's is opened to others in its own direction, and no further. What else
// a command writes to goes through a pipe of PID 1's, and its own file is never seen in the jail,
// where it could be read, cut short or, by an owner, opened for everybody.
package relay

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"nsbuild/internal/pump"
	"nsbuild/internal/sandbox/pipes"
	"nsbuild/internal/sandbox/syserr"
	"nsbuild/internal/sandbox/wire"
)

// relay copies what a command writes from a pipe to where it belongs.
type relay struct {
	name string // of the stream
	pipe *os.File
	to   *os.File
	// closed when all that was written by the command's end has been passed on
	drained chan struct{}
	once    sync.Once
	err     error // valid once drained
}

// Jail is what of a jail decides which streams of its caller's it may have.
type Jail struct {
	PTS        *os.File // its devpts, O_PATH; nil when it has none
	CallersIDs bool     // the caller's own ids are among its own
}

// Streams are those of a command that PID 1 stands between.
type Streams struct {
	feed   *feed // nil: the command has its standard input itself
	relays []*relay
	// to end, by its client: nothing is waited for longer than pump.Grace
	asked bool
	skip  chan struct{} // closed when it is not to be waited for at all
}

// Between replaces those of a command's files that a jail is not to have by pipes. done closes
// what was made for the jail.
func (j Jail) Between(files []*os.File) (passed []*os.File, s *Streams, done func(),
	err error) {
	passed = append(passed, files...)
	between := &Streams{skip: make(chan struct{})}
	var ends []*os.File
	done = func() { wire.CloseFiles(ends) }
	defer func() {
		if err != nil {
			done()
			err = errors.Join(err, between.Wait())
		}
	}()
	if len(files) < 3 {
		return passed, nil, done, nil
	}
	direct, err := j.mayRead(files[0])
	if err != nil {
		return nil, nil, nil, err
	}
	if !direct {
		f, end, err := startFeed(files[0])
		if err != nil {
			return nil, nil, nil, err
		}
		between.feed, ends, passed[0] = f, append(ends, end), end
	}
	names := [...]string{1: "standard output", 2: "standard error"}
	for i := 1; i < len(names); i++ {
		direct, err := j.mayHave(files[i])
		switch {
		case err != nil:
			return nil, nil, nil, err
		case direct:
			continue
		case i == 2 && passed[1] != files[1] && sameOutput(files[1], files[2]):
			passed[2] = passed[1] // one pipe keeps the order
			continue
		}
		r, end, err := startRelay(names[i], files[i])
		if err != nil {
			return nil, nil, nil, err
		}
		ends, passed[i] = append(ends, end), end
		between.relays = append(between.relays, r)
	}
	if between.feed == nil && between.relays == nil {
		return passed, nil, done, nil
	}
	return passed, between, done, nil
}

// mayHave tells whether a jail may be given a stream itself: nothing can be done to it, opened
// anew, that the stream does not allow.
func (j Jail) mayHave(f *os.File) (bool, error) {
	fd := int(f.Fd())
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return false, syserr.Wrap("stat", "a stream", err)
	}
	if j.isHostTerminal(fd, &st) {
		return false, nil
	}
	want, err := pipes.OthersBits(fd)
	if err != nil || want == unix.S_IROTH {
		return true, err // nothing is written there
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG, unix.S_IFSOCK: // a socket cannot be opened anew at all
		return false, nil
	case unix.S_IFIFO:
		// Where the caller's ids are in the jail, the pipe's owner is.
		return pipes.IsPipe(fd, &st) && st.Mode&want == want && !j.CallersIDs, nil
	}
	return true, nil // devices, terminals of the jail among them
}

// isHostTerminal tells whether a stream is a terminal that is not the jail's own: who has it open
// can read its keys and change its mode. internal/session gives the jail one of its own instead.
func (j Jail) isHostTerminal(fd int, st *unix.Stat_t) bool {
	if _, err := unix.IoctlGetTermios(fd, unix.TCGETS); err != nil {
		return false
	}
	var pts unix.Stat_t
	return j.PTS == nil || unix.Fstat(int(j.PTS.Fd()), &pts) != nil || pts.Dev != st.Dev
}

// WithoutKeys replaces standard input where it is a terminal of the host's.
func (j Jail) WithoutKeys(files []*os.File, null *os.File) ([]*os.File, error) {
	if len(files) == 0 {
		return files, nil
	}
	fd := int(files[0].Fd())
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, syserr.Wrap("stat", "standard input", err)
	}
	if !j.isHostTerminal(fd, &st) {
		return files, nil
	}
	return append([]*os.File{null}, files[1:]...), nil
}

// sameOutput tells whether two streams are one, as “>file 2>&1” has it.
func sameOutput(a, b *os.File) bool {
	var left, right unix.Stat_t
	x, y := a.Fd(), b.Fd()
	if unix.Fstat(int(x), &left) != nil || unix.Fstat(int(y), &right) != nil ||
		left.Dev != right.Dev || left.Ino != right.Ino {
		return false
	}
	if left.Mode&unix.S_IFMT != unix.S_IFREG {
		return true
	}
	const kcmpFile = 0
	pid := uintptr(os.Getpid())
	if r, _, errno := unix.Syscall6(unix.SYS_KCMP, pid, pid, kcmpFile, x, y, 0); errno == 0 {
		return r == 0
	}
	// A kernel without kcmp(2): two that stand at the same place.
	at, err := unix.Seek(int(x), 0, unix.SEEK_CUR)
	other, otherErr := unix.Seek(int(y), 0, unix.SEEK_CUR)
	return err == nil && otherErr == nil && at == other
}

// startRelay makes a pipe to a stream, and returns the end that is written to.
func startRelay(name string, to *os.File) (*relay, *os.File, error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, syserr.Wrap("pipe", "", err)
	}
	end := os.NewFile(uintptr(fds[1]), name)
	err := errors.Join(unix.SetNonblock(fds[0], true), unix.Fchmod(fds[1], 0o622))
	pipe := os.NewFile(uintptr(fds[0]), name) // a poller's, which takes deadlines
	var own int
	if err == nil {
		own, err = unix.FcntlInt(to.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("relaying %s: %w", name, err), pipe.Close(),
			end.Close())
	}
	r := &relay{name: name, pipe: pipe, to: os.NewFile(uintptr(own), name),
		drained: make(chan struct{})}
	go r.copy()
	return r, end, nil
}

// copy goes on as long as somebody can write to the pipe: what the command has left running, too.
func (r *relay) copy() {
	buffer := make([]byte, 64<<10)
	for {
		n, err := r.pipe.Read(buffer)
		if n > 0 {
			if err := r.write(buffer[:n]); err != nil {
				r.end(err)
				return
			}
		}
		if errors.Is(err, os.ErrDeadlineExceeded) { // the command has ended, see Streams.Wait
			err = r.rest(buffer)
			r.once.Do(func() { close(r.drained) })
		}
		if err != nil {
			r.end(nil)
			return
		}
	}
}

func (r *relay) write(data []byte) error {
	_, err := r.to.Write(data)
	return err
}

// rest passes on what is in the pipe now. What processes that go on write meanwhile is not waited
// for.
func (r *relay) rest(buffer []byte) error {
	if err := r.pipe.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	raw, err := r.pipe.SyscallConn()
	if err != nil {
		return err
	}
	var left int
	if ctl := raw.Control(func(fd uintptr) {
		left, err = unix.IoctlGetInt(int(fd), unix.TIOCINQ)
	}); ctl != nil {
		return ctl
	}
	for err == nil && left > 0 {
		var n int
		readErr := raw.Read(func(fd uintptr) bool {
			n, err = unix.Read(int(fd), buffer[:min(left, len(buffer))])
			return true // whatever it says: nothing is waited for
		})
		if readErr != nil {
			return readErr
		}
		if errors.Is(err, unix.EAGAIN) || err == nil && n == 0 {
			return nil // somebody else has read it
		}
		if err == nil {
			left -= n
			err = r.write(buffer[:n])
		}
	}
	if err != nil {
		r.fail(err)
	}
	return err
}

// fail keeps why something could not be passed on. A reader that has gone is no error: who writes
// on is told by the end of the pipe, as without us.
func (r *relay) fail(err error) {
	if err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
		r.once.Do(func() {
			r.err = syserr.Wrap("writing the command's", r.name, err)
			close(r.drained)
		})
	}
}

func (r *relay) end(err error) {
	r.fail(err)
	r.once.Do(func() { close(r.drained) })
	wire.CloseFiles([]*os.File{r.pipe, r.to})
}

// Hurry has wait be over soon, whatever others go on writing: the command was asked to end.
func (s *Streams) Hurry() { s.asked = true }

// Leave ends wait at once.
func (s *Streams) Leave() { close(s.skip) }

// Wait waits until what a command has written by its end is where it belongs, and gives back what
// it has not read.
func (s *Streams) Wait() error {
	var patience <-chan time.Time
	if s.asked {
		patience = time.After(pump.Grace)
	}
	var errs []error
	if s.feed != nil {
		errs = append(errs, s.feed.giveBack())
	}
	for _, r := range s.relays {
		_ = r.pipe.SetReadDeadline(time.Unix(1, 0)) // one that has ended needs none
	}
	for _, r := range s.relays {
		select {
		case <-r.drained:
			errs = append(errs, r.err)
		case <-patience:
			return errors.Join(errs...)
		case <-s.skip:
			return errors.Join(errs...)
		}
	}
	return errors.Join(errs...)
}
