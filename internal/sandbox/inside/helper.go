// Package inside is what runs in a jail before its commands do: the helper, which finishes the jail
// from inside and forks commands, and the processes that a command can need around it: the leader
// of its session (SessionMain), the PID 1 of its own namespace (FirstMain) and what limits its
// memory (LimitedMain).
//
// They run in J as jail root, with its capabilities and no others. Jail root can stop, trace and
// change them: nothing here guards the host. What guards it, H's mounts and ids, was made by PID 1
// before.
package inside

import (
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"nsbuild/internal/sandbox/beneath"
	"nsbuild/internal/sandbox/dirorder"
	"nsbuild/internal/sandbox/mounts"
	"nsbuild/internal/sandbox/reexec"
	"nsbuild/internal/sandbox/syserr"
	"nsbuild/internal/sandbox/wire"
)

// Main finishes the jail from inside and then forks its commands until PID 1 closes the
// socket. Its thread is locked: the session keyring belongs to a thread.
func Main() int {
	c, err := wire.Inherited()
	if err != nil {
		return 1
	}
	m, files, err := c.Recv()
	if err != nil {
		return 1
	}
	own, err := reexec.From(files)
	if err != nil {
		return 1
	}
	each := m.Limits
	notes, err := enterJail(m.Spec, m.Root, m.Join, each)
	var given []*os.File
	if err == nil {
		// For PID 1, now, while nobody could have put something else there.
		var dir *os.File
		if dir, err = beneath.OpenPath("/dev/pts"); err == nil {
			given = append(given, dir)
		}
	}
	if v := m.Spec.Vary; err == nil && v != nil && v.Dirs != 0 {
		var listener *os.File
		if listener, err = dirorder.Install(); err == nil {
			given = append(given, listener)
		}
	}
	answer := &wire.Message{Op: wire.OpSetup, Notes: notes, Err: wire.ToWire(err)}
	sendErr := c.Send(answer, given...)
	wire.CloseFiles(given) // commands are not to have them
	if err != nil || sendErr != nil {
		return 1
	}
	for {
		m, files, err := c.Recv()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return 0
			}
			return 1
		}
		if each != nil {
			m.Command.Memory = each.Memory
		}
		pid, err := spawn(own, m.Command, files)
		wire.CloseFiles(files)
		if err := c.Send(
			&wire.Message{Op: wire.OpExec, PID: pid, Err: wire.ToWire(err)}); err != nil {
			return 1
		}
	}
}

// enterJail makes root the jail's "/" and prepares what commands inherit.
func enterJail(spec *wire.Spec, root string, join bool, l *wire.Limits) (notes []string,
	err error) {
	// What the helper ignores, its commands would too; handled signals become default again at
	// exec.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT,
		syscall.SIGPIPE, syscall.SIGTERM, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU)
	if err := mounts.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return nil, err
	}
	if notes, err = mountOwn(spec, root, join); err != nil {
		return nil, err
	}
	if err := pivot(root); err != nil {
		return nil, err
	}
	more, err := nameHost(spec, join)
	if err != nil {
		return nil, err
	}
	notes = append(notes, more...)
	if err := ownKeyring(spec.Caller); err != nil {
		return nil, err
	}
	if err := setPersonality(spec); err != nil {
		return nil, err
	}
	if err := heedSignals(); err != nil {
		return nil, err
	}
	if err := setLimits(); err != nil {
		return nil, err
	}
	if l != nil {
		if err := spareProcessors(*l); err != nil {
			return nil, err
		}
	}
	// Not when we were cloned: the namespace's root is the group in which its maker is, and PID 1
	// is in another one than commands.
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return nil, syserr.Wrap("unshare", "the control groups", err)
	}
	unix.Umask(reexec.Umask)
	return notes, nil
}

// mountOwn mounts what belongs to the jail's own namespaces, the network's among them.
func mountOwn(spec *wire.Spec, root string, join bool) (notes []string, err error) {
	dir, err := beneath.OpenPath(root)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	for _, m := range mounts.OfJail(spec) {
		err := mounts.Apply(dir, nil, m, nil)
		if m.Type == "sysfs" && errors.Is(err, unix.EPERM) {
			// Some container hides part of /sys; the kernel then grants no whole one. What the
			// container sees, read-only, shows no more than it does.
			notes = append(notes,
				"/sys is the host's, read-only: the kernel grants no new one here")
			err = hostSys(root)
		}
		if err != nil {
			return nil, err
		}
	}
	if join {
		more, err := joinNetwork(dir, root)
		if err != nil {
			return nil, err
		}
		notes = append(notes, more...)
	}
	return notes, nil
}

// pivot makes root "/", and the host's tree unreachable.
func pivot(root string) error {
	// Copied from H, the root mount is locked and pivot_root refuses it; a bind of it on itself is
	// ours.
	if err := mounts.Mount(root, root, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	if err := os.Chdir(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return syserr.Wrap("pivot_root", root, err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return syserr.Wrap("umount", "the host's tree", err)
	}
	return os.Chdir("/")
}
