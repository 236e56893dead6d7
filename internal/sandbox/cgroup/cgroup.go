// Package cgroup limits what runs in jails together, by control groups (cgroups(7)). Groups are
// made, watched and deleted by the caller; PID 1 has the helper begin in one, by Open and Join.
//
// Limits of single processes, where no group can be had, are set in pid1 and inside.
package cgroup

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"nsbuild/internal/flock"
	"nsbuild/internal/sandbox/limits"
	"nsbuild/internal/sandbox/wire"
)

// Group is a control group of a holder: below it, init has PID 1 and jail everything that runs in
// jails, which is what is limited. A limit of PID 1's own group could be used up from inside, and a
// PID 1 without memory or threads takes the jail with it (cgroups(7); "Control Group v2" in the
// kernel's documentation).
type Group struct {
	dir         string
	controllers []string // that it has
	limits      wire.Limits
	log         *kernelLog // nil where it cannot be read
	alive       *os.File   // locked as long as we live; see sweepGroups
}

// controllersOf lists the controllers that limits need.
func controllersOf(l wire.Limits) []string {
	var want []string
	if l.Memory > 0 {
		want = append(want, "memory")
	}
	if l.CPUs > 0 {
		want = append(want, "cpu")
	}
	if l.PIDs > 0 {
		want = append(want, "pids")
	}
	return want
}

// noController says why a limit is not held.
const noController = "the machine's cgroup v2 has no such controller (it may be bound to cgroup v1)"

// New makes a group with as many of the controllers as can be had, and says what stands in
// the way of the others. It returns nil where none can be had. pids are the processes that are to
// be limited, and are in our own group so far.
func New(l wire.Limits, pids ...int) (*Group, string, error) {
	top, own, why, err := hierarchy("/proc/self/mountinfo", "/proc/self/cgroup")
	if err != nil || why != "" {
		return nil, why, err
	}
	want := controllersOf(l)
	best, err := available(top, want)
	if err != nil {
		return nil, "", err
	}
	if len(best) == 0 {
		return nil, noController, nil
	}
	if strings.HasPrefix(filepath.Base(own), callerPrefix) {
		own = filepath.Dir(own)
	}
	last := delegatedTop(SystemdDir, top, own)
	if last == "" {
		return nil, "systemd has not delegated the control group of this process", nil
	}
	why = ""
	for parent := own; ; parent = filepath.Dir(parent) {
		g, refusal, err := makeBelow(parent, best, append(pids, os.Getpid()))
		if err != nil {
			return nil, "", err
		}
		if g != nil {
			g.limits = l
			if len(best) < len(want) {
				why = noController
			}
			if err := g.limit(); err != nil {
				return nil, "", errors.Join(err, g.Remove())
			}
			g.log = openKernelLog()
			return g, why, nil
		}
		if why == "" {
			why = refusal
		}
		if parent == last || len(parent) <= len(last) {
			return nil, why, nil
		}
	}
}

// hierarchy finds where cgroup v2 is mounted and where in it this process is.
func hierarchy(mountinfo, self string) (top, own, why string, err error) {
	mounts, err := os.Open(mountinfo)
	if err != nil {
		return "", "", "", err
	}
	defer mounts.Close()
	lines := bufio.NewScanner(mounts)
	for lines.Scan() && top == "" {
		before, after, _ := strings.Cut(lines.Text(), " - ")
		fields := strings.Fields(before)
		if strings.HasPrefix(after, "cgroup2 ") && len(fields) > 4 && fields[3] == "/" {
			top = unescapeMount(fields[4])
		}
	}
	if err := lines.Err(); err != nil {
		return "", "", "", err
	}
	if top == "" {
		return "", "", "cgroup v2 is not mounted here", nil
	}
	data, err := os.ReadFile(self)
	if err != nil {
		return "", "", "", err
	}
	for line := range strings.Lines(string(data)) {
		if name, ok := strings.CutPrefix(line, "0::"); ok {
			return top, filepath.Join(top, strings.TrimSuffix(name, "\n")), "", nil
		}
	}
	return "", "", "this process is in no group of cgroup v2", nil
}

// unescapeMount undoes the octal escapes of /proc/self/mountinfo.
func unescapeMount(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// available lists those of the controllers that a group has.
func available(dir string, want []string) ([]string, error) {
	data, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return nil, fmt.Errorf("reading what cgroup v2 offers: %w", err)
	}
	has := strings.Fields(string(data))
	return slices.DeleteFunc(slices.Clone(want), func(c string) bool {
		return !slices.Contains(has, c)
	}), nil
}

// makeBelow makes a group with these controllers below parent, if we may and if the parent has them
// to give. pids may have to move for that.
func makeBelow(parent string, controllers []string, pids []int) (_ *Group, refusal string,
	err error) {
	has, err := available(parent, controllers)
	if err != nil {
		return nil, "", err
	}
	if len(has) < len(controllers) {
		return nil, parent + " has not been given these controllers", nil
	}
	lock, err := lockGroup(parent)
	if err != nil {
		return nil, "", err
	}
	defer lock.Close()
	if err := sweepGroups(parent); err != nil {
		return nil, "", err
	}
	dir, err := os.MkdirTemp(parent, fmt.Sprintf("%s%d-", groupPrefix, os.Getpid()))
	if err != nil {
		return nil, fmt.Sprintf("no group can be made in %s: %v", parent, errors.Unwrap(err)), nil
	}
	g := &Group{dir: dir, controllers: controllers}
	if g.alive, err = lockGroup(dir); err != nil {
		return nil, "", errors.Join(err, g.rmdir())
	}
	if err := passOn(parent, controllers, pids); err != nil {
		g.alive.Close()
		refusal = fmt.Sprintf("%s passes no controllers on: %v", parent, err)
		return nil, refusal, errors.Join(g.rmdir(), restore(parent))
	}
	for _, leaf := range []string{"init", "jail"} {
		if err := os.Mkdir(filepath.Join(dir, leaf), 0o755); err != nil {
			return nil, "", errors.Join(err, g.removeLocked())
		}
	}
	if err := pass(dir, controllers); err != nil {
		return nil, "", errors.Join(err, g.removeLocked())
	}
	return g, "", nil
}

// sweepGroups removes the groups of callers that were killed: a living one keeps its group locked,
// whatever its number is in which PID namespace. What is not empty stays. The group must be locked.
func sweepGroups(parent string) error {
	left, err := filepath.Glob(filepath.Join(parent, groupPrefix+"*"))
	if err != nil {
		return err
	}
	for _, dir := range left {
		alive, err := flock.Open(dir, os.O_RDONLY, flock.Exclusive)
		if errors.Is(err, flock.ErrHeld) || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		g := &Group{dir: dir}
		err = g.rmdir()
		alive.Close()
		if err != nil && !errors.Is(err, syscall.EBUSY) && !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	return nil
}

// pass enables controllers for the groups below dir.
func pass(dir string, controllers []string) error {
	data, err := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
	if err != nil {
		return err
	}
	passed := strings.Fields(string(data))
	for _, c := range controllers {
		if slices.Contains(passed, c) {
			continue
		}
		if err := writeGroup(dir, "cgroup.subtree_control", "+"+c); err != nil {
			return err
		}
	}
	return nil
}

// writeGroup writes one of the kernel's files, which is never made here.
func writeGroup(dir, name, text string) error {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// limit sets the limits of the jail's group.
func (g *Group) limit() error {
	set := map[string]string{}
	for _, c := range g.controllers {
		switch c {
		case "memory":
			set["memory.max"] = strconv.FormatInt(g.limits.Memory, 10)
			set["memory.swap.max"] = "0"
		case "cpu":
			const period = 100000 // microseconds, the kernel's default
			set["cpu.max"] = fmt.Sprintf("%d %d",
				max(1000, int64(math.Round(g.limits.CPUs*period))), period)
		case "pids":
			set["pids.max"] = strconv.Itoa(g.limits.PIDs + limits.HelperTasks)
		}
	}
	for name, value := range set {
		err := writeGroup(g.Jail(), name, value)
		if name == "memory.swap.max" && errors.Is(err, fs.ErrNotExist) {
			continue // a kernel that does not account for swap
		}
		if err != nil {
			return fmt.Errorf("limiting the jail: %w", err)
		}
	}
	return nil
}

// Left are those of the limits that the group does not hold.
func (g *Group) Left() wire.Limits {
	left := g.limits
	for _, c := range g.controllers {
		switch c {
		case "memory":
			left.Memory = 0
		case "cpu":
			left.CPUs = 0
		case "pids":
			left.PIDs = 0
		}
	}
	return left
}

// Jail is the group of everything that runs in jails.
func (g *Group) Jail() string { return filepath.Join(g.dir, "jail") }

// Admit moves PID 1 into the group.
func (g *Group) Admit(pid int) error {
	if err := writeGroup(filepath.Join(g.dir, "init"), "cgroup.procs",
		strconv.Itoa(pid)); err != nil {
		return fmt.Errorf("moving PID 1 of the sandbox into its control group: %w", err)
	}
	return nil
}

// Remove kills what is still in the group, though PID 1's end has killed all, and deletes it. The
// group above it is then as it was.
func (g *Group) Remove() error {
	lock, err := lockGroup(filepath.Dir(g.dir))
	if err != nil {
		return err
	}
	return errors.Join(g.removeLocked(), lock.Close())
}

func (g *Group) removeLocked() error {
	if g.log != nil {
		g.log.close()
	}
	if g.alive != nil {
		defer g.alive.Close()
	}
	// since Linux 5.14
	if err := writeGroup(g.dir, "cgroup.kill", "1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// The kernel takes a moment from a process's end to its leaving the group.
	err := g.rmdir()
	for pause := 100 * time.Microsecond; errors.Is(err, syscall.EBUSY) &&
		pause < time.Second; pause *= 2 {
		time.Sleep(pause)
		err = g.rmdir()
	}
	if err != nil {
		return err
	}
	return restore(filepath.Dir(g.dir))
}

func (g *Group) rmdir() error {
	for _, dir := range []string{g.Jail(), filepath.Join(g.dir, "init"), g.dir} {
		if err := unix.Rmdir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return &fs.PathError{Op: "rmdir", Path: dir, Err: err}
		}
	}
	return nil
}

// count reads one number of a file of lines "name number", or of a file that is one number.
func (g *Group) count(file, name string) (int64, error) {
	data, err := os.ReadFile(filepath.Join(g.Jail(), file))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		key, value, found := strings.Cut(strings.TrimSpace(line), " ")
		if !found {
			key, value = "", key
		}
		if key == name {
			return strconv.ParseInt(value, 10, 64)
		}
	}
	return 0, nil
}
