package pid1

import (
	"syscall"

	"nsbuild/internal/sandbox/relay"
	"nsbuild/internal/sandbox/wire"
)

// streams decides over the streams of the jail's commands.
func (j *openJail) streams() relay.Jail {
	return relay.Jail{PTS: j.pts, CallersIDs: j.spec.Caller != nil}
}

// hurry is told that a command, or what it has written, is not to be waited for any longer. It is
// called with mu held.
func (p *pid1) hurry(c command, pid int, sig syscall.Signal) (ended bool) {
	if !ends(sig) {
		return false
	}
	if s := p.streams[pid]; s != nil && pid != 0 {
		s.Hurry()
	}
	s := p.draining[c]
	if s == nil {
		return false
	}
	s.Leave()
	delete(p.draining, c)
	return true
}

// report tells a client of the end of its command, once all that it wrote is where it belongs. It
// is called with mu held.
func (p *pid1) report(pid int, c command, status *wire.Status) {
	end := &wire.Message{Op: wire.OpExit, Handle: c.handle, Status: status}
	s := p.streams[pid]
	delete(p.streams, pid)
	if s == nil {
		c.from.tell(end)
		return
	}
	p.draining[c] = s
	go func() {
		end.Err = wire.ToWire(s.Wait())
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.draining[c] == s {
			delete(p.draining, c)
		}
		c.from.tell(end)
	}()
}

// abandon ends what was done for a command that nobody waits for. It is called with mu held.
func (p *pid1) abandon(pid int) {
	if s := p.streams[pid]; s != nil {
		delete(p.streams, pid)
		go func() { _ = s.Wait() }() // there is nobody to tell
	}
}

// ends tells whether a signal asks a command to end.
func ends(sig syscall.Signal) bool {
	switch sig {
	case syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGKILL:
		return true
	}
	return false
}
