package sandbox

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"nsbuild/internal/fault"
)

// helperFor is the helper that starts a command: the jail's, or, for a command with a network that
// the jail has not, a second one. A process can enter the caller's network namespace only by never
// having left it, so the second helper is cloned from PID 1 as the first was, but keeps the
// network; the root is the same mount.
func (p *pid1) helperFor(c *Command) (*conn, error) {
	j := p.open
	if c.Network != NetworkHost || j.spec.Network == NetworkHost {
		return j.helper, nil
	}
	if c.Terminal {
		return nil,
			errors.New("a command with a terminal cannot have another network than its jail")
	}
	if j.online != nil {
		return j.online, nil
	}
	spec := *j.spec
	spec.Network = NetworkHost
	m, files, err := p.cloneHelper(&j.online, &j.netPID,
		&message{Op: opSetup, Spec: &spec, Root: j.target, Join: true})
	closeFiles(files)
	if err == nil {
		err = m.Err.error()
	}
	if err != nil {
		if j.online != nil {
			j.online.close()
			j.online = nil
		}
		return nil, fmt.Errorf("giving a command the network: %w", err)
	}
	return j.online, nil
}

// NoResolver is the note of a jail whose host does not say where names are looked up. The link of
// that name may be there: systemd-resolved's leads nowhere when it does not run.
const NoResolver = "this host has no " + resolverFile + ": names cannot be looked up"

// joinNetwork shows what belongs to the caller's network, in the mount namespace of the second
// helper alone.
func joinNetwork(dir *os.File, root string) (notes []string, err error) {
	if err := hostSys(root); err != nil {
		return nil, err
	}
	host, err := openPath(HostRoot)
	if err != nil {
		return nil, err
	}
	defer host.Close()
	if source, err := openBeneath(host, resolverFile, unix.O_PATH); err == nil {
		source.Close()
	} else if LeadsNowhere(err) {
		return []string{NoResolver}, nil
	}
	return nil,
		applyMount(dir, host, Mount{Type: "bind", Source: resolverFile, Target: resolverFile,
			ReadOnly: true, NoSuid: true, NoExec: true, Mkdir: true}, nil)
}

// sweepLimit bounds how long processes are listed and killed: some that fork faster than they are
// found need all of them killed at once, which only the end of the jail does.
const sweepLimit = 20 * time.Second

// sweepJail ends what commands of the open jail have left running. Spared are the helpers, and
// commands that have not ended yet: applets that work on trees meanwhile.
func (p *pid1) sweepJail(id int) ([]Stray, error) {
	j := p.open
	if j == nil || j.id != id {
		return nil, errors.New("this jail is not open")
	}
	spared := p.ours()
	p.mu.Lock()
	for pid := range p.commands {
		spared[pid] = true
	}
	p.mu.Unlock()
	found := map[int]Stray{}
	for begin, pause := time.Now(), time.Duration(0); ; pause = min(pause+time.Millisecond,
		10*time.Millisecond) {
		now, err := listStrays(spared)
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
				found[s.PID] = s
			}
			if err := s.process.kill(); err != nil {
				return nil, err
			}
		}
		time.Sleep(pause) // the reaper works meanwhile
	}
	return slices.SortedFunc(maps.Values(found), func(a, b Stray) int { return a.PID - b.PID }), nil
}
