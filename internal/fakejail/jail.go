package fakejail

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"nsbuild/internal/jails"
	"nsbuild/internal/sandbox"
)

// Jail is a jail that is made up.
type Jail struct {
	Spec    sandbox.Spec
	IsPlain bool
	Remarks []string // its notes

	id     int
	h      *Holder
	dir    string            // of what is made for it
	root   string            // directory
	before map[string]string // what its root was; nil where that is a directory of the caller's
	mounts []mounted

	mu     sync.Mutex
	owners map[string]Owner
	strays []sandbox.Stray
	closed bool
	saved  string // directory of what it has changed, once it is closed
}

// ID is its number among those of its holder, from 1.
func (j *Jail) ID() int { return j.id }

// Plain is as it was set.
func (j *Jail) Plain() bool { return j.IsPlain }

// Notes are as they were set.
func (j *Jail) Notes() []string { return j.Remarks }

// Holder is what holds it.
func (j *Jail) Holder() *Holder { return j.h }

// Root is its directory.
func (j *Jail) Root() string { return j.root }

// Owners are those of the files that were made, by their paths from "/".
func (j *Jail) Owners() map[string]Owner {
	j.mu.Lock()
	defer j.mu.Unlock()
	return maps.Clone(j.owners)
}

// Leave has a process go on running in the jail.
func (j *Jail) Leave(s sandbox.Stray) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.strays = append(j.strays, s)
}

// Closed tells whether the jail was closed.
func (j *Jail) Closed() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.closed
}

// alive records a call of a jail that was not closed.
func (j *Jail) alive(op string, args ...string) error {
	err := j.h.maker.note(j.id, op, args...)
	switch {
	case err != nil:
		return err
	case j.h.Closed():
		return sandbox.ErrClosed
	case j.Closed():
		return fmt.Errorf("there is no jail %d", j.id)
	}
	return nil
}

// upper is a directory with what a closed jail has changed.
func (j *Jail) upper() (string, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.closed {
		return "", fmt.Errorf("jail %d was not closed", j.id)
	}
	if j.before == nil {
		return "", fmt.Errorf("jail %d has no layers", j.id)
	}
	if j.saved != "" {
		return j.saved, nil
	}
	to := filepath.Join(j.dir, "upper")
	if err := difference(j.root, j.before, to); err != nil {
		return "", err
	}
	j.saved = to
	return to, nil
}

// Open opens a file or a directory for reading. No link is followed.
func (j *Jail) Open(name string) (*os.File, error) {
	if err := j.alive("Open", name); err != nil {
		return nil, err
	}
	file, _, err := j.locate(name, followNone)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(file)
	return f, inside("open", name, err)
}

// Create makes a new file. No link is followed.
func (j *Jail) Create(name string, mode os.FileMode, uid, gid int) (*os.File, error) {
	if err := j.alive("Create", name); err != nil {
		return nil, err
	}
	f, err := j.create(name, mode)
	if err != nil {
		return nil, err
	}
	j.own(name, uid, gid)
	return f, nil
}

// Mkdir makes a directory with its parents. No link is followed.
func (j *Jail) Mkdir(name string, mode os.FileMode, uid, gid int) error {
	err := j.alive("Mkdir", name)
	if err == nil {
		err = j.makeDir(name, mode)
	}
	if err == nil {
		j.own(name, uid, gid)
	}
	return err
}

func (j *Jail) own(name string, uid, gid int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.owners[path.Join("/", name)] = Owner{uid, gid}
}

// Symlink makes a symbolic link. No other is followed.
func (j *Jail) Symlink(target, name string) error {
	err := j.alive("Symlink", target, name)
	if err != nil {
		return err
	}
	file, err := j.writable("symlink", name, followAllBut)
	if err == nil {
		err = inside("symlink", name, os.Symlink(target, file))
	}
	return err
}

// Run runs a command.
func (j *Jail) Run(ctx context.Context, c sandbox.Command) (sandbox.Status, error) {
	p, err := j.Start(c)
	if err != nil {
		return sandbox.Status{}, err
	}
	return p.Wait(ctx)
}

// RunTo runs a command whose output goes to writers.
func (j *Jail) RunTo(ctx context.Context, c sandbox.Command, stdout, stderr io.Writer) (
	sandbox.Status, error) {
	p, err := j.start(c, stdout, stderr)
	if err != nil {
		return sandbox.Status{}, err
	}
	return p.Wait(ctx)
}

// Start starts a command.
func (j *Jail) Start(c sandbox.Command) (jails.Process, error) { return j.start(c, nil, nil) }

func (j *Jail) start(c sandbox.Command, stdout, stderr io.Writer) (*process, error) {
	if len(c.Argv) == 0 && c.Applet == "" {
		return nil, errors.New("starting a command: it has no name")
	}
	argv := c.Argv
	if c.Applet != "" {
		argv = append([]string{"applet " + c.Applet}, argv...)
	}
	if err := j.alive("Run", argv...); err != nil {
		return nil, err
	}
	run, err := j.h.maker.program(c)
	if err != nil {
		return nil, err
	}
	p := &Proc{Command: c, jail: j}
	if err := p.open(stdout, stderr); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	started := &process{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(started.done)
		started.status = run(ctx, p)
		p.close()
	}()
	return started, nil
}

// process is a program that runs.
type process struct {
	cancel context.CancelFunc
	done   chan struct{}
	status sandbox.Status // once it is done
}

// Wait waits for the program's end. When ctx ends first that of the program does, too.
func (p *process) Wait(ctx context.Context) (sandbox.Status, error) {
	defer p.cancel()
	select {
	case <-p.done:
		return p.status, nil
	case <-ctx.Done():
	}
	p.cancel()
	<-p.done
	return sandbox.Status{}, context.Cause(ctx)
}

// Listen opens a port of the host's own loopback.
func (j *Jail) Listen(ctx context.Context) (net.Listener, error) {
	if err := j.alive("Listen"); err != nil {
		return nil, err
	}
	return new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
}

// Share is one end of a socket with nobody at its other end.
func (j *Jail) Share() (*os.File, error) {
	if err := j.alive("Share"); err != nil {
		return nil, err
	}
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(ends[0]), "shared"), unix.Close(ends[1])
}

// Strays lists what was left running.
func (j *Jail) Strays() ([]sandbox.Stray, error) { return j.left("Strays", false) }

// Sweep ends what was left running.
func (j *Jail) Sweep() ([]sandbox.Stray, error) { return j.left("Sweep", true) }

// Stop ends what was left running.
func (j *Jail) Stop() ([]sandbox.Stray, error) { return j.left("Stop", true) }

func (j *Jail) left(op string, end bool) ([]sandbox.Stray, error) {
	if err := j.alive(op); err != nil {
		return nil, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	out := j.strays
	if end {
		j.strays = nil
	}
	return out, nil
}

// Close ends the jail. What it has changed stays, as a possible layer of the next one.
func (j *Jail) Close() ([]sandbox.Stray, error) {
	strays, err := j.left("Close", true)
	if err != nil {
		return nil, err
	}
	j.mu.Lock()
	j.closed = true
	j.mu.Unlock()
	return strays, nil
}

// String is the jail as a message of a test names it.
func (j *Jail) String() string {
	var lowers []string
	for _, l := range j.Spec.Root.Lowers {
		if l.Path == "" {
			lowers = append(lowers, fmt.Sprint("jail ", l.Jail))
		} else {
			lowers = append(lowers, l.Path)
		}
	}
	return fmt.Sprintf("jail %d over %s%s", j.id, j.Spec.Root.Dir, strings.Join(lowers, ", "))
}
