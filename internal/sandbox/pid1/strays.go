package pid1

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"nsbuild/internal/fault"
	"nsbuild/internal/sandbox/procs"
	"nsbuild/internal/sandbox/syserr"
	"nsbuild/internal/sandbox/wire"
)

// ours are the processes that belong to the sandbox itself.
func (p *pid1) ours() map[int]bool {
	pids := p.children.sessionLeaders()
	pids[os.Getpid()] = true
	if watcher := p.children.watcherPID(); watcher != 0 {
		pids[watcher] = true
	}
	if p.open != nil {
		pids[p.open.pid], pids[p.open.netPID] = true, true
		for _, pid := range p.open.spared {
			pids[pid] = true
		}
	}
	return pids
}

// maxStrays bounds what is reported: a fork bomb is named by its first processes.
const maxStrays = 1000

// stray is a process as it is reported, and as it is killed.
type stray struct {
	wire.Stray
	process procs.Process
}

// strays lists what runs besides the sandbox's own processes.
func (p *pid1) strays() ([]wire.Stray, error) {
	found, err := p.listStrays(p.ours())
	reported := make([]wire.Stray, len(found))
	for i, s := range found {
		reported[i] = s.Stray
	}
	return reported, err
}

// listStrays lists the processes of the PID namespace, nested ones included, but those to be spared
// and the dead.
func (p *pid1) listStrays(spared map[int]bool) ([]stray, error) {
	var uptime unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &uptime); err != nil {
		return nil, syserr.Wrap("clock_gettime", "", err)
	}
	all, err := p.list(spared)
	if err != nil {
		return nil, err
	}
	var strays []stray
	for _, one := range all[:min(len(all), maxStrays)] {
		line, err := os.ReadFile("/proc/" + strconv.Itoa(one.PID) + "/cmdline")
		if procs.Gone(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if len(line) == 0 {
			line = []byte("[" + one.Name + "]")
		}
		strays = append(strays, stray{wire.Stray{
			PID: one.PID, PPID: one.Parent, Command: procs.Printable(bytes.TrimRight(line, "\x00")),
			Age: (time.Duration(uptime.Nano()) - one.Start).Round(10 * time.Millisecond),
		}, one})
	}
	return strays, nil
}

// sweepLimit bounds how long processes are listed and killed: some that fork faster than they are
// found need all of them killed at once, which only the end of the jail does.
const sweepLimit = 20 * time.Second

// sweepJail ends what commands of the open jail have left running. Spared are the helpers, and
// commands that have not ended yet: applets that work on trees meanwhile.
func (p *pid1) sweepJail(id int) ([]wire.Stray, error) {
	j := p.open
	if j == nil || j.id != id {
		return nil, errors.New("this jail is not open")
	}
	spared := p.ours()
	p.children.addCommands(spared)
	found := map[int]wire.Stray{}
	for begin, pause := time.Now(), time.Duration(0); ; pause = min(pause+time.Millisecond,
		10*time.Millisecond) {
		now, err := p.listStrays(spared)
		if err != nil {
			return nil, err
		}
		if len(now) == 0 {
			break
		}
		if time.Since(begin) > sweepLimit {
			return nil, fmt.Errorf("%s there after %v of ending them, the first %q",
				fault.Count(len(now), "process is", "processes are"), sweepLimit, now[0].Command)
		}
		for _, s := range now {
			if _, known := found[s.PID]; !known && len(found) < maxStrays {
				found[s.PID] = s.Stray
			}
			if err := s.process.Kill(); err != nil {
				return nil, err
			}
		}
		time.Sleep(pause) // the reaper works meanwhile
	}
	return slices.SortedFunc(maps.Values(found),
		func(a, b wire.Stray) int { return a.PID - b.PID }), nil
}

// connected notes which processes are pasta's: no command has run in the jail yet, so it is all
// that are not known.
func (p *pid1) connected(id int) error {
	if p.open == nil || p.open.id != id {
		return errors.New("this jail is not open")
	}
	all, err := p.list(p.ours())
	if err != nil {
		return err
	}
	for _, one := range all {
		p.open.spared = append(p.open.spared, one.PID)
	}
	return nil
}
