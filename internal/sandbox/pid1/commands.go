package pid1

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"nsbuild/internal/sandbox/layout"
	"nsbuild/internal/sandbox/reexec"
	"nsbuild/internal/sandbox/syserr"
	"nsbuild/internal/sandbox/wire"
)

// command is one that was started over a connection.
type command struct {
	from   *client
	handle int // by which the client knows it
}

// applet starts one of our own applets in H.
func (p *pid1) applet(c *wire.Command, files []*os.File) (int, error) {
	if c.Applet == wire.AppletSaveLayer {
		upper, err := p.frozen(c.Argv[0])
		if err != nil {
			return 0, err
		}
		c.Argv[0] = upper
	}
	if c.Applet == wire.AppletSaveRoot && len(c.Argv) > 2 {
		if err := p.places(c.Argv[2:]); err != nil {
			return 0, err
		}
	}
	if c.Applet == wire.AppletPasta {
		if p.open == nil || strconv.Itoa(p.open.id) != c.Argv[1] {
			return 0, errors.New("this jail is not open")
		}
		c.Argv[1] = strconv.Itoa(p.open.pid)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	pid, err := p.self.ForkExec(reexec.Applet, append([]string{c.Applet}, c.Argv...),
		reexec.Descriptors(files), &syscall.ProcAttr{
			Dir: "/",
			Env: c.Env,
			Sys: &syscall.SysProcAttr{AmbientCaps: p.caps, Setsid: true},
		})
	if err != nil {
		return 0, syserr.Wrap("starting", c.Applet, err)
	}
	p.asking = true // settle ends it
	return pid, nil
}

// frozen is the upper directory of a closed jail.
func (p *pid1) frozen(id string) (string, error) {
	n, err := strconv.Atoi(id)
	if err != nil || n < 1 || n > len(p.jails) || p.jails[n-1].upper == "" ||
		p.open == p.jails[n-1] {
		return "", fmt.Errorf("jail %s has no frozen layer", id)
	}
	return p.jails[n-1].upper, nil
}

// exec has the helper start a command in the jail.
func (p *pid1) exec(m *wire.Message, files []*os.File) (int, error) {
	if p.open == nil || p.open.helper == nil {
		return 0, errors.New("no jail is open")
	}
	jail := p.open.streams()
	files, err := jail.WithoutKeys(files, p.null)
	if err != nil {
		return 0, err
	}
	p.mu.Lock()
	p.asking = true
	p.mu.Unlock()
	var pid int
	files, between, done, err := jail.Between(files)
	if err == nil {
		pid, err = p.askHelper(m, files)
		done()
		if err != nil && between != nil {
			err = errors.Join(err, between.Wait())
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.asking = false
		clear(p.orphans)
		clear(p.stopped)
	} else if between != nil {
		p.streams[pid] = between
	}
	return pid, err
}

// settle ties a started pid to its command, after the client has been told of it, so that its end
// is reported after its beginning.
func (p *pid1) settle(c command, pid int, leader bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asking = false
	if pid != 0 {
		if status := p.orphans[pid]; status != nil {
			p.report(pid, c, status)
		} else {
			p.commands[pid], p.pids[c] = c, pid
			if leader {
				p.leaders[pid] = true
			}
			if p.stopped[pid] {
				p.paused(pid)
			}
		}
	}
	clear(p.orphans)
	clear(p.stopped)
}

// reap waits for every child, adopted ones too, for ever.
func (p *pid1) reap() {
	runtime.LockOSThread()
	children := make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)
	for {
		var ws syscall.WaitStatus
		var ru syscall.Rusage
		p.mu.Lock() // a child must be in the tables before it is reaped
		pid, err := syscall.Wait4(-1, &ws, syscall.WNOHANG|syscall.WUNTRACED, &ru)
		if err == nil && pid > 0 {
			if ws.Stopped() {
				p.paused(pid)
			} else {
				p.reaped(pid, wire.StatusOf(ws, &ru))
			}
			p.mu.Unlock()
			continue
		}
		p.mu.Unlock()
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		<-children
	}
}

// reaped is called with mu held.
func (p *pid1) reaped(pid int, status wire.Status) {
	delete(p.leaders, pid)
	if p.helpers[pid] {
		delete(p.helpers, pid)
		p.lostHelpers[pid] = status
	}
	if c, ok := p.commands[pid]; ok {
		delete(p.commands, pid)
		delete(p.pids, c)
		p.report(pid, c, &status)
		return
	}
	if p.asking {
		p.orphans[pid] = &status
		return
	}
	p.abandon(pid) // of a guest that is gone
}

// paused tells the client that a command was stopped. It is called with mu held.
func (p *pid1) paused(pid int) {
	if p.helpers[pid] {
		_ = syscall.Kill(pid, syscall.SIGCONT) // jail root can stop it; nobody is to wait for it
		return
	}
	if c, ok := p.commands[pid]; ok {
		c.from.tell(&wire.Message{Op: wire.OpPause, Handle: c.handle})
	} else if p.asking {
		p.stopped[pid] = true
	}
}

// signal sends to the process group of a command: each is a session of its own.
func (p *pid1) signal(c command, sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	pid, ok := p.pids[c]
	if p.hurry(c, pid, sig) {
		return nil
	}
	if !ok {
		return &syserr.Error{Op: "kill", Errno: syscall.ESRCH}
	}
	return syserr.Wrap("kill", strconv.Itoa(pid), syscall.Kill(-pid, sig))
}

// places turns the numbers of jails among an applet's arguments into their upper directories: only
// PID 1 knows where they are.
func (p *pid1) places(args []string) error {
	for i, arg := range args {
		if strings.HasPrefix(arg, "/") {
			args[i] = layout.Host + arg
			continue
		}
		upper, err := p.frozen(arg)
		if err != nil {
			return err
		}
		args[i] = upper
	}
	return nil
}
