package session

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// exposures are directories that a jail may write to and that every user of the host can enter.
// What the jail leaves there with the caller's id, or with an id of a person, may be a setuid
// program: that of jail root on an id-mapped mount is even the host's root's. It is no error: trees
// of mode 0755 are common.
type exposures struct {
	root  string // a --root or the upper directory of an overlay
	binds []string
}

// noteRoot looks at a directory that is the jail's to change.
func (e *exposures) noteRoot(dir string) error {
	dir, err := absolute(dir)
	if err != nil {
		return err
	}
	open, err := exposed(dir)
	if err == nil && open && e.root == "" {
		e.root = dir
	}
	return err
}

// noteBind looks at what is bound read-write, of which only some may be the caller's.
func (e *exposures) noteBind(source string) error {
	source, err := absolute(source)
	if err != nil {
		return err
	}
	open, err := exposed(filepath.Dir(source))
	if err != nil || !open {
		return err
	}
	if leavable(source) && !slices.Contains(e.binds, source) {
		e.binds = append(e.binds, source)
	}
	return nil
}

// note is the one line about all of them; "" when there is nothing to say.
func (e *exposures) note() (string, error) {
	all := e.binds
	var ways []string
	if e.root != "" {
		all = append([]string{e.root}, all...)
		way, err := closing(e.root)
		if err != nil {
			return "", err
		}
		ways = append(ways, way)
	}
	if len(e.binds) > 0 {
		ways = append(ways,
			"a bind with the option ro is safe, and so is one of a directory that only "+
				"its owner can enter")
	}
	if len(all) == 0 {
		return "", nil
	}
	return fmt.Sprintf("every user of this host can enter %s, where the jail can leave a setuid "+
		"program: %s", strings.Join(all, " and "), strings.Join(ways, "; ")), nil
}

func absolute(name string) (string, error) {
	name, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(name)
}

// enough is how many entries of a directory are looked at.
const enough = 4096

// leavable tells whether a jail can leave a setuid program in what is bound: by its owner, or by
// that of a directory right below, as for /home.
func leavable(source string) bool {
	info, err := os.Stat(source)
	if err != nil || writable(info) && (!info.IsDir() || info.Mode().Perm()&0o001 != 0) {
		return err == nil && !nosuid(source)
	}
	if !info.IsDir() || info.Mode().Perm()&0o001 == 0 {
		return false
	}
	f, err := os.Open(source)
	if err != nil {
		return false
	}
	defer f.Close()
	entries, _ := f.ReadDir(enough) // what cannot be read is looked at no more
	for _, e := range entries {
		below, err := e.Info()
		if err == nil && below.IsDir() && below.Mode().Perm()&0o001 != 0 && writable(below) {
			return !nosuid(source)
		}
	}
	return false
}

// writable tells whether a jail can make files there, as whoever is a person on the host.
func writable(info os.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || info.Mode().Perm()&0o002 != 0 {
		return ok
	}
	const people = 1000 // the first id of a person; see sandbox.MapUsers
	if me := os.Geteuid(); me != 0 {
		return int(st.Uid) == me
	}
	return st.Uid >= people
}

// nosuid tells whether the host's mount makes setuid programs harmless.
func nosuid(name string) bool {
	const flag = 2 // ST_NOSUID in statfs(2)
	var st syscall.Statfs_t
	return syscall.Statfs(name, &st) == nil && st.Flags&flag != 0
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
