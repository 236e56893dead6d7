package session

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// warnIfExposed warns when root lets a jail write to a directory that every user of the host can
// enter. What jail root makes on an id-mapped mount belongs to the host's root, a setuid program, too.
// It is no error: trees of mode 0755 are common.
func (o *Options) warnIfExposed(dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	dir, err := filepath.Abs(dir)
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return err
	}
	open, err := exposed(dir)
	if err != nil || !open {
		return err
	}
	way, err := closing(dir)
	if err != nil {
		return err
	}
	o.notes = append(o.notes, fmt.Sprintf("every user of this host can enter %s, where the jail's root "+
		"can leave a setuid program: %s", dir, way))
	return nil
}

// exposed tells whether every user of the host can enter a directory.
func exposed(dir string) (bool, error) {
	for at := dir; ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		if err != nil {
			return false, err
		}
		if info.Mode().Perm()&0o001 == 0 {
			return false, nil
		}
		if at == "/" {
			return true, nil
		}
	}
}

// closing says how others are kept out of dir. The mode of dir itself is no way: it is that of the
// jail's "/". Its parent is one where that holds nothing but roots; others go on needing /srv.
func closing(dir string) (string, error) {
	const others = "--overlay or --read-only writes nothing there"
	parent := filepath.Dir(dir)
	only, err := holdsOnlyRoots(parent)
	if err != nil {
		return "", err
	}
	if only && strings.Count(parent, "/") > 1 {
		return fmt.Sprintf("chmod 700 %s keeps them out; %s", parent, others), nil
	}
	return "a parent directory of its own with mode 0700 keeps them out; " + others, nil
}

// holdsOnlyRoots tells whether all that lies in a directory are roots for jails.
func holdsOnlyRoots(dir string) (bool, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false, err
	}
	for _, e := range entries {
		for _, name := range jailDirs() {
			info, err := os.Lstat(filepath.Join(dir, e.Name(), name))
			if err != nil || !info.IsDir() {
				return false, nil //nolint:nilerr // whatever it is, it is no root
			}
		}
	}
	return true, nil
}
