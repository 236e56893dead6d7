package cgroup

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"nsbuild/internal/flock"
	"nsbuild/internal/sandbox/syserr"
)

// SystemdDir is there where systemd runs (sd_booted(3)): then it alone divides control groups, but
// those that it has delegated ("Two Key Design Rules" in systemd's CGROUP_DELEGATION).
const SystemdDir = "/run/systemd/system"

// The names of our groups, beside each other in one that was delegated.
const (
	groupPrefix  = "nsbuild-"
	callerPrefix = groupPrefix + "caller-" // has the caller, where it was in the way
)

// passedMark is an attribute of a group: the controllers that we have enabled for those below it,
// and that the last of us disables again.
const passedMark = "user.nsbuild.passed"

// delegatedTop is how far up, from a process's own group on, groups may be made: "" when nowhere.
// Without systemd there is nobody else who divides them: in a container, say.
func delegatedTop(systemd, top, own string) string {
	if _, err := os.Stat(systemd); err != nil {
		return top
	}
	for dir := own; len(dir) > len(top); dir = filepath.Dir(dir) {
		if !isDelegated(dir) {
			continue
		}
		if name := filepath.Base(dir); strings.HasPrefix(name, "user@") {
			return "" // to the user's systemd, which divides it
		}
		return dir
	}
	return ""
}

// isDelegated asks for the mark that systemd gives a unit with Delegate=: since version 251 one
// that users can read, before that one for root.
func isDelegated(dir string) bool {
	value := make([]byte, 16)
	for _, name := range []string{"user.delegate", "trusted.delegate"} {
		if n, err := unix.Getxattr(dir, name, value); err == nil && string(value[:n]) == "1" {
			return true
		}
	}
	return false
}

// lockGroup keeps others of us from changing a group's children meanwhile.
func lockGroup(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := flock.Wait(f, flock.Exclusive); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// passOn is pass for a group that is not ours alone: what it enables is marked. A group in which
// processes are can pass nothing on; where these are the given ones they move into one of their
// own.
func passOn(dir string, controllers []string, pids []int) error {
	before, err := passedControllers(dir)
	if err != nil {
		return err
	}
	err = pass(dir, controllers)
	if errors.Is(err, syscall.EBUSY) {
		if err = retreat(dir, pids); err == nil {
			// Helpers of a moment, such as newuidmap(1), may still be there.
			err = pass(dir, controllers)
			for range 10 {
				if !errors.Is(err, syscall.EBUSY) {
					break
				}
				time.Sleep(30 * time.Millisecond)
				err = pass(dir, controllers)
			}
		}
	}
	if err != nil {
		return errors.Join(err, withdraw(dir, before))
	}
	return mark(dir, before)
}

func passedControllers(dir string) ([]string, error) {
	data, err := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
	return strings.Fields(string(data)), err
}

// mark notes what is enabled now and was not before, beside what was noted.
func mark(dir string, before []string) error {
	now, err := passedControllers(dir)
	if err != nil {
		return err
	}
	ours := marked(dir)
	for _, c := range now {
		if !contains(before, c) && !contains(ours, c) {
			ours = append(ours, c)
		}
	}
	if len(ours) == 0 {
		return nil
	}
	err = unix.Setxattr(dir, passedMark, []byte(strings.Join(ours, " ")), 0)
	// a kernel without such attributes: nothing stays enabled that nobody would disable
	if err != nil {
		return errors.Join(syserr.Wrap("setxattr", dir, err), withdraw(dir, before))
	}
	return nil
}

func marked(dir string) []string {
	value := make([]byte, 256)
	n, err := unix.Getxattr(dir, passedMark, value)
	if err != nil {
		return nil
	}
	return strings.Fields(string(value[:n]))
}

func contains(all []string, one string) bool {
	for _, s := range all {
		if s == one {
			return true
		}
	}
	return false
}

// withdraw disables what is enabled and was not before.
func withdraw(dir string, before []string) error {
	now, err := passedControllers(dir)
	for _, c := range now {
		if !contains(before, c) {
			err = errors.Join(err, writeGroup(dir, "cgroup.subtree_control", "-"+c))
		}
	}
	return err
}

// retreat moves processes out of a group into one below it.
func retreat(dir string, pids []int) error {
	leaf, err := os.MkdirTemp(dir, callerPrefix)
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if err := writeGroup(leaf, "cgroup.procs", strconv.Itoa(pid)); err != nil {
			return err
		}
	}
	return nil
}

// restore puts a group back as it was when the last of our groups in it is gone. The group must be
// locked.
func restore(dir string) error {
	left, err := filepath.Glob(filepath.Join(dir, groupPrefix+"*"))
	if err != nil {
		return err
	}
	var callers []string
	for _, group := range left {
		if !strings.HasPrefix(filepath.Base(group), callerPrefix) {
			return nil // of another run, which does it
		}
		callers = append(callers, group)
	}
	ours := marked(dir)
	for _, c := range ours {
		if err := writeGroup(dir, "cgroup.subtree_control", "-"+c); err != nil {
			return err
		}
	}
	if len(ours) > 0 {
		if err := unix.Removexattr(dir, passedMark); err != nil {
			return syserr.Wrap("removexattr", dir, err)
		}
	}
	for _, group := range callers {
		if err := dissolve(group, dir); err != nil {
			return err
		}
	}
	return nil
}

// dissolve moves the processes of a group up and deletes it.
func dissolve(group, into string) error {
	data, err := os.ReadFile(filepath.Join(group, "cgroup.procs"))
	if err != nil {
		return err
	}
	for pid := range strings.FieldsSeq(string(data)) {
		if err := writeGroup(into, "cgroup.procs", pid); err != nil &&
			!errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	if err := unix.Rmdir(group); err != nil {
		return syserr.Wrap("rmdir", group, err)
	}
	return nil
}
