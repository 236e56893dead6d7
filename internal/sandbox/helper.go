package sandbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// helperMain finishes the jail from inside and then forks its commands until PID 1 closes the
// socket. Its thread is locked: the session keyring belongs to a thread.
func helperMain() int {
	c, err := controlSocket()
	if err != nil {
		return 1
	}
	m, files, err := c.recv()
	if err != nil {
		return 1
	}
	own, err := selfFrom(files)
	if err != nil {
		return 1
	}
	limits := m.Limits
	notes, err := enterJail(m.Spec, m.Root, m.Join, limits)
	var pts []*os.File
	if err == nil {
		// For PID 1, now, while nobody could have put something else there.
		var dir *os.File
		if dir, err = openPath("/dev/pts"); err == nil {
			pts = append(pts, dir)
		}
	}
	sendErr := c.send(&message{Op: opSetup, Notes: notes, Err: toWire(err)}, pts...)
	closeFiles(pts)
	if err != nil || sendErr != nil {
		return 1
	}
	for {
		m, files, err := c.recv()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return 0
			}
			return 1
		}
		if limits != nil {
			m.Command.Memory = limits.Memory
		}
		pid, err := spawn(own, m.Command, files)
		closeFiles(files)
		if err := c.send(&message{Op: opExec, PID: pid, Err: toWire(err)}); err != nil {
			return 1
		}
	}
}

// enterJail makes root the jail's "/" and prepares what commands inherit.
func enterJail(spec *Spec, root string, join bool, l *Limits) (notes []string, err error) {
	// What the helper ignores, its commands would too; handled signals become default again at
	// exec.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT,
		syscall.SIGPIPE, syscall.SIGTERM, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU)
	if err := mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return nil, err
	}
	dir, err := openPath(root)
	if err != nil {
		return nil, err
	}
	for _, m := range jailMounts(spec) {
		err := applyMount(dir, nil, m, nil)
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
	dir.Close()
	// Copied from H, the root mount is locked and pivot_root refuses it; a bind of it on itself is
	// ours.
	if err := mount(root, root, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return nil, err
	}
	if err := os.Chdir(root); err != nil {
		return nil, err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return nil, sysErr("pivot_root", root, err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return nil, sysErr("umount", "the host's tree", err)
	}
	if err := os.Chdir("/"); err != nil {
		return nil, err
	}
	if err := unix.Sethostname([]byte(spec.Hostname)); err != nil {
		return nil, sysErr("sethostname", spec.Hostname, err)
	}
	if spec.Network != NetworkHost {
		if err := loopbackUp(); err != nil {
			return nil, err
		}
	}
	if spec.Root.Dir == "" && !spec.Root.ReadOnly && !spec.KeepNames && !join {
		if err := writeHosts(spec.Hostname); err != nil {
			return nil, err
		}
	}
	if err := ownKeyring(spec.Caller); err != nil {
		return nil, err
	}
	if err := setPersonality(spec.Personality32); err != nil {
		return nil, err
	}
	if err := heedSignals(); err != nil {
		return nil, err
	}
	if err := limits(); err != nil {
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
		return nil, sysErr("unshare", "the control groups", err)
	}
	unix.Umask(jailUmask)
	return notes, nil
}

func hostSys(root string) error {
	target := root + "/sys"
	if err := mount(HostRoot+"/sys", target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	return setAttr(unix.AT_FDCWD, target,
		unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC,
		true)
}

// writeHosts makes the jail's own name resolve, in a root that is thrown away.
func writeHosts(hostname string) error {
	hosts := "127.0.0.1\tlocalhost\n127.0.1.1\t" + hostname +
		"\n::1\tlocalhost ip6-localhost ip6-loopback\n"
	for name, text := range map[string]string{"/etc/hosts": hosts, "/etc/hostname": hostname +
		"\n"} {
		// Removed first: a link in the tree is not to be written through.
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			if errors.Is(err, os.ErrNotExist) { // a root without /etc
				return nil
			}
			return err
		}
	}
	return nil
}

// spawn forks a command as a child of PID 1 (CLONE_PARENT), which alone reaps.
func spawn(own *self, c *Command, files []*os.File) (int, error) {
	dir := c.Dir
	if dir == "" {
		dir = "/"
	}
	attr := &syscall.ProcAttr{
		Dir: dir,
		Env: c.Env,
		Sys: &syscall.SysProcAttr{
			Credential: credential(c),
			Setsid:     true,
			Cloneflags: syscall.CLONE_PARENT,
		},
	}
	if c.Applet != "" {
		pid, err := own.forkExec(appletName, append([]string{c.Applet}, c.Argv...),
			descriptors(files), attr)
		if err != nil {
			return 0, startError(c.Applet, dir, err)
		}
		return pid, nil
	}
	if c.Terminal || c.PID1 {
		return spawnSession(own, c, files, attr)
	}
	program, err := lookPath(c)
	if err != nil {
		return 0, err
	}
	pid, err := own.start(program, c, descriptors(files), attr)
	if err != nil {
		return 0, startError(program, dir, err)
	}
	return pid, nil
}

// startError tells a missing directory from a missing program: the kernel's errno is the same.
func startError(program, dir string, err error) error {
	if st, statErr := os.Stat(dir); statErr != nil || !st.IsDir() {
		if statErr == nil {
			statErr = syscall.ENOTDIR
		}
		return sysErr("chdir", dir, statErr)
	}
	return sysErr("exec", program, err)
}

// lookPath finds the program as execvp(3) does, in the command's own PATH.
func lookPath(c *Command) (string, error) {
	name := c.Argv[0]
	if strings.Contains(name, "/") {
		if !filepath.IsAbs(name) {
			return filepath.Join("/", c.Dir, name), nil
		}
		return name, nil
	}
	search := DefaultPath
	for _, e := range c.Env {
		if value, ok := strings.CutPrefix(e, "PATH="); ok {
			search = value
		}
	}
	failed := syscall.ENOENT
	for _, dir := range filepath.SplitList(search) {
		if dir == "" {
			dir = c.Dir
		}
		program := filepath.Join("/", dir, name)
		st, err := os.Stat(program)
		switch {
		case err != nil || st.IsDir():
			continue
		case st.Mode()&0o111 != 0:
			return program, nil
		}
		failed = syscall.EACCES
	}
	return "", &Error{Op: "exec", Path: name, Errno: failed}
}

// loopbackUp brings up lo in the jail's own network namespace (netdevice(7)).
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return sysErr("socket", "", err)
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return sysErr("bringing up", "lo", unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr))
}
