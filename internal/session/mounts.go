package session

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"nsbuild/internal/fault"
	"nsbuild/internal/fstab"
	"nsbuild/internal/regular"
	"nsbuild/internal/sandbox"
)

// own are the file systems that every jail has of its own, by where they are.
var own = map[string]string{"/proc": "proc", "/sys": "sysfs", "/dev": "devtmpfs",
	"/dev/pts": "devpts", "/dev/mqueue": "mqueue", "/dev/shm": "tmpfs"}

// ownDevices are files that every jail has of its own, too.
var ownDevices = []string{
	"/dev/console", "/dev/fd", "/dev/full", "/dev/null", "/dev/ptmx", "/dev/random", "/dev/stderr",
	"/dev/stdin", "/dev/stdout", "/dev/tty", "/dev/urandom", "/dev/zero",
}

// mounts are those of the fstab, then those of the command line.
func (o *opening) mounts(spec *sandbox.Spec) (notes []string, err error) {
	var all []fstab.Mount
	if o.Fstab != "" {
		f, err := regular.Open(o.Fstab)
		if err != nil {
			return nil, fault.Wrap(fault.Usage, "", err)
		}
		defer f.Close()
		table, err := fstab.Parse(o.Fstab, f)
		if err != nil {
			return nil, fault.Wrap(fault.Usage, "see fstab(5)", err)
		}
		all, notes = table.Mounts, table.Notes
	}
	o.asked = append(all, o.Mounts...)
	for _, m := range o.asked {
		note, err := o.mount(spec, m)
		if err != nil {
			hint := fault.HintOf(err)
			if errors.Is(err, fs.ErrNotExist) && hint == "" {
				hint = "with the option nofail what is missing is not mounted"
			}
			return nil, fault.Wrap(fault.Usage, hint, place(o.Fstab, m, err))
		}
		if note != "" {
			notes = append(notes, note)
		}
	}
	return notes, nil
}

func place(file string, m fstab.Mount, err error) error {
	if m.Line == 0 {
		return fmt.Errorf("mounting on %s: %w", m.Target, err)
	}
	return fmt.Errorf("%s:%d: mounting on %s: %w", file, m.Line, m.Target, err)
}

// mount adds one to the jail's.
func (o *opening) mount(spec *sandbox.Spec, m fstab.Mount) (note string, err error) {
	target := path.Clean(m.Target)
	if target == "/" {
		return "", errors.New("the root cannot be mounted over")
	}
	bind := strings.HasSuffix(m.Type, "bind")
	itself := bind && path.Clean(m.Source) == target
	if target == "/dev" && m.Type == "tmpfs" || itself && slices.Contains(ownDevices, target) {
		return "", nil // as in a file of lxc, which makes a /dev of single files
	}
	if kind, ok := own[target]; ok && (kind == m.Type || itself) {
		// The host's would show its processes, its terminals, its devices.
		if target == "/proc" && m.ReadOnly {
			spec.Mounts = append(spec.Mounts, sandbox.Mount{Type: "remount", Target: target,
				ReadOnly: true})
		}
		if kind != "tmpfs" || bind || m.Data == "" && !m.ReadOnly && !m.NoExec {
			return "", nil
		}
	}
	switch m.Type {
	case "devpts", "devtmpfs", "mqueue", "sysfs":
		return fmt.Sprintf("%s is not mounted: a jail has its own %s, on one place only",
			target, m.Type), nil
	}
	out := sandbox.Mount{
		Type: m.Type, Source: m.Source, Target: target, Data: m.Data, Mkdir: m.Mkdir ||
			o.throwaway(),
		ReadOnly: m.ReadOnly, NoSuid: m.NoSuid, NoDev: m.NoDev || m.Type == "tmpfs",
		NoExec: m.NoExec, NoSymFollow: m.NoSymFollow,
	}
	if m.Type == "overlay" {
		missing, err := o.overlay(spec, &out, m)
		if err != nil || missing != "" && !m.NoFail {
			return "", errors.Join(err, notThere(missing))
		}
		if missing != "" {
			return fmt.Sprintf("%s is not mounted: there is no %s (nofail)", target, missing), nil
		}
	}
	if bind {
		info, err := os.Stat(m.Source)
		if sandbox.LeadsNowhere(err) && isResolver(m) {
			return sandbox.NoResolver, nil
		}
		if errors.Is(err, fs.ErrNotExist) && m.NoFail {
			return fmt.Sprintf("%s is not mounted: there is no %s (nofail)", target, m.Source), nil
		}
		if err != nil {
			return "", err
		}
		if note = o.owners(spec, &out, info); info.Mode()&os.ModeDevice != 0 {
			note = fmt.Sprintf("%s: device files of the host cannot be used in a jail", target)
		}
		if !m.ReadOnly && !o.Force && !o.HostUsers &&
			info.Mode()&(os.ModeDevice|os.ModeSocket) == 0 {
			if err := o.exposed.noteBind(m.Source); err != nil {
				return "", err
			}
		}
	}
	spec.Mounts = append(spec.Mounts, out)
	return note, nil
}

// overlay fills in the layers of an overlay. It returns the first that is missing.
func (o *opening) overlay(spec *sandbox.Spec, out *sandbox.Mount, m fstab.Mount) (missing string,
	err error) {
	dirs := slices.Clone(m.Lowers)
	if m.Upper != "" {
		dirs = append(dirs, m.Upper, m.Work)
	}
	for _, dir := range dirs {
		info, err := os.Stat(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return dir, nil
		case err != nil:
			return "", err
		case !info.IsDir():
			return "", fmt.Errorf("%s is not a directory", dir)
		}
	}
	out.Overlay = &sandbox.Overlay{Lowers: m.Lowers, Upper: m.Upper, Work: m.Work}
	switch {
	case os.Geteuid() == 0:
		out.Map = sandbox.MapAll
		if m.Upper != "" && !o.Force {
			return "", o.exposed.noteRoot(m.Upper)
		}
	case m.Upper != "":
		o.placeCaller(spec)
	}
	return "", nil
}

func notThere(name string) error {
	if name == "" {
		return nil
	}
	return &fs.PathError{Op: "stat", Path: name, Err: syscall.ENOENT}
}

// owners decides whose the files of a bind are in the jail.
func (o *opening) owners(spec *sandbox.Spec, m *sandbox.Mount, info os.FileInfo) (note string) {
	switch {
	case os.Geteuid() == 0 && m.ReadOnly:
		m.Map = sandbox.MapAll
	case os.Geteuid() == 0:
		// Jail root must not be able to leave a setuid program of the host's root there.
		m.Map = sandbox.MapUsers
	case m.ReadOnly:
	default:
		o.placeCaller(spec)
	}
	return ""
}
