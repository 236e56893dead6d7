package fakejail

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"nsbuild/internal/sandbox"
)

// Owner is to whom a file was given.
type Owner struct{ UID, GID int }

// mounted is what a jail has in the place of what its root has.
type mounted struct {
	target   string // in the jail, from "/"
	source   string // of the host
	readOnly bool
}

// mount mounts what a spec wants. The file systems of the kernel are left out, as nothing runs
// there that could read them.
func (j *Jail) mount(number int, m sandbox.Mount) error {
	source := m.Source
	switch m.Type {
	case "bind", "rbind":
	case "tmpfs":
		source = filepath.Join(j.dir, fmt.Sprint("tmpfs-", number))
		if err := os.Mkdir(source, 0o755); err != nil {
			return err
		}
	case "proc", "sysfs", "devpts", "mqueue":
		return nil
	default:
		return errors.New("a made-up jail has no mounts of type " + m.Type)
	}
	st, err := os.Stat(source)
	if err != nil {
		return err
	}
	target := path.Join("/", m.Target)
	if m.Mkdir {
		if st.IsDir() {
			err = j.makeDir(target, 0o755)
		} else if err = j.makeDir(path.Dir(target), 0o755); err == nil {
			var f *os.File
			if f, err = j.create(target, 0o644); err == nil {
				err = f.Close()
			}
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	if _, _, err := j.locate(target, followAll); err != nil {
		return err
	}
	j.mounts = append(j.mounts, mounted{target, source, m.ReadOnly})
	return nil
}

// follow says which links on the way to a file are followed.
type follow int

const (
	followNone   follow = iota
	followAll           // as a process in the jail does
	followAllBut        // that of the last name
)

// host is the name on the host of a path in the jail that has no links in it.
func (j *Jail) host(name string) (file string, readOnly bool) {
	root, rest, readOnly := j.root, name, j.Spec.Root.ReadOnly
	for _, m := range j.mounts { // a later one lies over an earlier one
		if below, ok := strings.CutPrefix(name, m.target); ok && (below == "" ||
			strings.HasPrefix(below, "/")) {
			root, rest, readOnly = m.source, below, m.readOnly
		}
	}
	return filepath.Join(root, rest), readOnly
}

// locate finds where a path of the jail lies on the host. The last name need not be there.
func (j *Jail) locate(name string, links follow) (file string, readOnly bool, err error) {
	at, rest, seen := "/", strings.Split(name, "/"), 0
	for len(rest) > 0 {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, part)
		file, _ := j.host(next)
		st, err := os.Lstat(file)
		switch {
		case errors.Is(err, fs.ErrNotExist) && len(rest) == 0:
			at = next
			continue
		case err != nil:
			return "", false, &fs.PathError{Op: "open", Path: name, Err: bare(err)}
		case st.Mode()&fs.ModeSymlink == 0 || links == followAllBut && len(rest) == 0:
			at = next
			continue
		}
		if seen++; seen > 40 || links == followNone {
			return "", false, &fs.PathError{Op: "open", Path: name, Err: syscall.ELOOP}
		}
		target, err := os.Readlink(file)
		if err != nil {
			return "", false, err
		}
		if path.IsAbs(target) {
			at = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	file, readOnly = j.host(at)
	return file, readOnly, nil
}

// bare is an error without the name on the host.
func bare(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// inside says an error of the host with the name that a file has in the jail.
func inside(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: name, Err: bare(err)}
}

// writable is where a file is to be made.
func (j *Jail) writable(op, name string, links follow) (string, error) {
	file, readOnly, err := j.locate(name, links)
	if err == nil && readOnly {
		err = inside(op, name, syscall.EROFS)
	}
	return file, err
}

func (j *Jail) create(name string, mode os.FileMode) (*os.File, error) {
	file, err := j.writable("create", name, followNone)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		err = f.Chmod(mode.Perm())
	}
	return f, inside("create", name, err)
}

// makeDir makes a directory with its parents; one that is there is an error.
func (j *Jail) makeDir(name string, mode os.FileMode) error {
	name = path.Join("/", name)
	if parent := path.Dir(name); parent != "/" {
		if err := j.makeDir(parent, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	file, err := j.writable("mkdir", name, followNone)
	if err != nil {
		return err
	}
	if err = os.Mkdir(file, 0o755); err == nil {
		err = os.Chmod(file, mode.Perm())
	}
	return inside("mkdir", name, err)
}
