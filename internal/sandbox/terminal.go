package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Terminal is the caller's end of a pseudo-terminal of the jail's own devpts (pts(4)). The caller's terminal is never passed into a jail: what can write to it can also feed it keys.
type Terminal struct {
	master *os.File
	slave  *os.File
}

// NewTerminal opens a pseudo-terminal of the jail for a command that will run as uid. Pass Slave as its standard streams, with Command.Terminal.
func (j *Jail) NewTerminal(uid int) (*Terminal, error) {
	_, files, err := j.h.call(&message{Op: opTTY, Jail: j.id, UID: uid})
	if err != nil {
		return nil, fmt.Errorf("opening a terminal in the jail: %w", err)
	}
	if len(files) != 2 {
		closeFiles(files)
		return nil, fmt.Errorf("opening a terminal in the jail: %d descriptors came back instead of two", len(files))
	}
	defer files[0].Close()
	// A descriptor of our own that the poller watches: so that reading can be given a deadline.
	fd, err := unix.FcntlInt(files[0].Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		files[1].Close()
		return nil, sysErr("opening a terminal in the jail", "", err)
	}
	return &Terminal{master: os.NewFile(uintptr(fd), "terminal"), slave: files[1]}, nil
}

// Slave is the jail's end. It is closed with CloseSlave once the command has it.
func (t *Terminal) Slave() *os.File { return t.slave }

// CloseSlave closes our copy of the jail's end, so that reading ends when the last process inside has closed its own.
func (t *Terminal) CloseSlave() error { return t.slave.Close() }

// Read reads what the jail has written. The end of the last process that had the terminal open is io.EOF.
func (t *Terminal) Read(b []byte) (int, error) {
	n, err := t.master.Read(b)
	if errors.Is(err, syscall.EIO) {
		err = io.EOF
	}
	return n, err
}

// Write types into the terminal.
func (t *Terminal) Write(b []byte) (int, error) { return t.master.Write(b) }

// SetReadDeadline ends a Read at that time.
func (t *Terminal) SetReadDeadline(at time.Time) error { return t.master.SetReadDeadline(at) }

// Resize sets the window's size; the kernel tells the foreground processes with SIGWINCH.
func (t *Terminal) Resize(rows, columns int) error {
	raw, err := t.master.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: uint16(rows), Col: uint16(columns)})
	})
	return errors.Join(err, sysErr("setting the size of a terminal", "", failed))
}

// Close closes the caller's end: who still has the other end open gets SIGHUP or an end of file.
func (t *Terminal) Close() error { return t.master.Close() }

// openTerminal opens a new pair below j.pts, which was opened before anything hostile ran: nobody can have mounted something else there.
func (j *openJail) openTerminal(uid int) ([]*os.File, error) {
	if j.pts == nil {
		return nil, errors.New("this jail has no terminals")
	}
	fd, err := unix.Openat(int(j.pts.Fd()), "ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, sysErr("open", "/dev/pts/ptmx", err)
	}
	master := os.NewFile(uintptr(fd), "ptmx")
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		master.Close()
		return nil, sysErr("unlocking a terminal", "", err)
	}
	// By descriptor: the name /dev/pts/N could be made to lead elsewhere.
	peer, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		master.Close()
		return nil, sysErr("opening a terminal's other end", "", errno)
	}
	slave := os.NewFile(peer, "pts")
	const groupTTY = 5 // of every Debian system (base-passwd), as the mount option says
	if err := unix.Fchown(int(peer), uid, groupTTY); err != nil {
		closeFiles([]*os.File{master, slave})
		return nil, sysErr("chown", "the terminal", err)
	}
	return []*os.File{master, slave}, nil
}

// spawnSession starts a session leader with the terminal as its controlling one; it starts the command and stays its parent. Were the command itself the leader, or a child of PID 1,
// its process group would be an orphaned one, which the kernel does not stop (setpgid(2), "orphaned process group"): Ctrl-Z would do nothing.
func spawnSession(own *self, c *Command, files []*os.File, attr *syscall.ProcAttr) (int, error) {
	if _, err := lookPath(c); err != nil {
		return 0, err // here, where it is still an error of the caller's
	}
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	body, err := json.Marshal(c)
	if err != nil {
		w.Close()
		return 0, err
	}
	// The session leader belongs to jail root, so that the command's user cannot disturb it.
	attr.Sys.Credential = &syscall.Credential{}
	attr.Sys.Setctty, attr.Sys.Ctty = true, 0
	attr.Dir, attr.Env = "/", []string{}
	pid, err := own.forkExec(sessionName, nil, descriptors(append(files[:3:3], r)), attr)
	if err != nil {
		w.Close()
		return 0, sysErr("starting", "a session", err)
	}
	go func() {
		// A leader that died reads nothing; its end is reported as every other is.
		_, _ = w.Write(body)
		w.Close()
	}()
	return pid, nil
}

// sessionMain is the session leader.
func sessionMain() int {
	const commandFD, cannotRun, notFound = 3, 126, 127
	pipe := os.NewFile(commandFD, "command")
	var c Command
	err := json.NewDecoder(pipe).Decode(&c)
	pipe.Close()
	if err != nil {
		fmt.Fprintln(os.Stderr, "nsbuild-session: reading the command:", err)
		return cannotRun
	}
	signals := make(chan os.Signal, 64)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGCONT, syscall.SIGTSTP)
	pid, err := startInForeground(&c)
	if err != nil {
		fmt.Fprintf(os.Stderr, "nsbuild: %v\n", err)
		if errors.Is(err, fs.ErrNotExist) {
			return notFound
		}
		return cannotRun
	}
	go func() {
		for s := range signals {
			if sig, ok := s.(syscall.Signal); ok {
				// A command that has ended needs no signals any more.
				_ = syscall.Kill(-pid, sig)
			}
		}
	}()
	for {
		var ws syscall.WaitStatus
		_, err := syscall.Wait4(pid, &ws, syscall.WUNTRACED, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			fmt.Fprintf(os.Stderr, "nsbuild-session: waiting for the command: %v\n", err)
			return cannotRun
		case ws.Stopped():
			// PID 1 sees us stop and tells the caller, whose shell then has the terminal. We go on when it does.
			if err := syscall.Kill(os.Getpid(), syscall.SIGSTOP); err != nil {
				fmt.Fprintf(os.Stderr, "nsbuild-session: %v\n", err)
			}
			_ = syscall.Kill(-pid, syscall.SIGCONT) // gone is as good
		case ws.Signaled():
			return 128 + int(ws.Signal())
		default:
			return ws.ExitStatus()
		}
	}
}

// startInForeground starts the command as a process group of its own that has the terminal.
func startInForeground(c *Command) (int, error) {
	program, err := lookPath(c)
	if err != nil {
		return 0, err
	}
	dir := c.Dir
	if dir == "" {
		dir = "/"
	}
	pid, err := syscall.ForkExec(program, c.Argv, &syscall.ProcAttr{
		Dir: dir, Env: c.Env, Files: []uintptr{0, 1, 2},
		Sys: &syscall.SysProcAttr{Credential: credential(c), Setpgid: true, Foreground: true, Ctty: 0},
	})
	if err != nil {
		return 0, startError(program, dir, err)
	}
	return pid, spareMemory(pid, c.Memory)
}

func credential(c *Command) *syscall.Credential {
	groups := make([]uint32, len(c.Groups))
	for i, g := range c.Groups {
		groups[i] = uint32(g)
	}
	return &syscall.Credential{Uid: uint32(c.UID), Gid: uint32(c.GID), Groups: groups}
}
