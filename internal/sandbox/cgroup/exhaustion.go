package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"nsbuild/internal/sandbox/limits"
)

// Exhaustion is what the kernel did because memory ran out in a jail.
type Exhaustion struct {
	Limit, Peak int64 // bytes; Peak is 0 where the kernel does not say
	Kills       int   // processes that it killed
	// Named is how many of them the kernel's log names, as far as it is readable, and Victims are
	// the last of those.
	Named   int
	Victims []Victim
}

// Since is what has happened since an earlier answer about the same holder; nil when nothing has.
func (e *Exhaustion) Since(before *Exhaustion) *Exhaustion {
	if e == nil || before == nil {
		return e
	}
	if e.Kills <= before.Kills {
		return nil
	}
	since := *e
	since.Kills -= before.Kills
	since.Named -= before.Named
	since.Victims = e.Victims[len(e.Victims)-min(since.Named, len(e.Victims)):]
	return &since
}

// Victim is a process that was killed for its memory.
type Victim struct {
	Command string // its name, at most 15 bytes
	PID     int    // as the host numbers it; 0 where that is not known
	Memory  int64  // bytes that it had in memory
}

func (e *Exhaustion) String() string {
	text := fmt.Sprintf("memory ran out, with a limit of %s: the kernel killed ",
		limits.MiB(e.Limit))
	if len(e.Victims) == 0 {
		what := "a process"
		if e.Kills > 1 {
			what = fmt.Sprintf("%d processes", e.Kills)
		}
		return text + what + " (its log says which: sudo dmesg)"
	}
	var names []string
	for _, v := range e.Victims {
		name := v.Command
		if v.PID > 0 {
			name += fmt.Sprintf(" (pid %d)", v.PID)
		}
		names = append(names, name+" at "+limits.MiB(v.Memory))
	}
	if more := e.Kills - len(e.Victims); more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return text + strings.Join(names, ", ")
}

// Exhausted tells whether processes of the group were killed because memory ran out; nil when none
// was.
func (g *Group) Exhausted() (*Exhaustion, error) {
	if !slices.Contains(g.controllers, "memory") {
		return nil, nil
	}
	kills, err := g.count("memory.events", "oom_kill")
	if err != nil || kills == 0 {
		return nil, err
	}
	e := &Exhaustion{Limit: g.limits.Memory, Kills: int(kills)}
	// since Linux 5.19
	if e.Peak, err = g.count("memory.peak", ""); err != nil &&
		!errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if g.log != nil {
		if e.Named, e.Victims, err = g.log.victims(g.dir); err != nil {
			return nil, err
		}
	}
	return e, nil
}
