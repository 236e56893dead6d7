package session

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"nsbuild/internal/fault"
	"nsbuild/internal/sandbox"
)

// hostTree decides how a directory of the host becomes a root, and refuses what is dangerous.
func (o *opening) hostTree(spec *sandbox.Spec, ids sandbox.IDMap) (note string, err error) {
	dir, err := filepath.Abs(o.Root)
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return "", fault.Wrap(fault.Usage, "", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return "", err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !ok {
		return "", fault.New(fault.Usage, "", "%s is not a directory", dir)
	}
	if err := o.dangerous(dir); err != nil {
		return "", err
	}
	if !o.throwaway() && !o.ReadOnly && !o.Force {
		if err := o.exposed.noteRoot(dir); err != nil {
			return "", err
		}
	}
	if o.Overlay {
		spec.Root.Lowers = []sandbox.Lower{{Path: dir}}
	} else {
		spec.Root.Dir = dir
		if err := checkDirs(dir); err != nil {
			return "", err
		}
	}
	switch {
	case owner.Uid == ids.UIDBase:
		return fmt.Sprintf("%s: its files are owned by mapped ids already", dir), nil
	case os.Geteuid() == 0:
		spec.Root.Map = sandbox.MapAll
		return fmt.Sprintf("%s: id-mapped mount; its owners' ids are the same in the jail", dir),
			nil
	case int(owner.Uid) == os.Geteuid():
		spec.Caller = &sandbox.Caller{}
		return fmt.Sprintf("%s: you are root in the jail, its other ids are your subordinate ones",
			dir), nil
	}
	return "", fault.New(fault.Internal, "run nsbuild as root",
		"%s belongs to uid %d, which you cannot map", dir, owner.Uid)
}

// dangerous refuses a root from which a jail could harm the host; --force overrides it.
func (o *opening) dangerous(dir string) error {
	if o.Force {
		return nil
	}
	state, err := filepath.Abs(o.StateDir)
	if err == nil {
		state, err = filepath.EvalSymlinks(state)
	}
	if err != nil {
		return err
	}
	switch {
	case dir == "/":
		return fault.New(fault.Usage, "--force does it all the same",
			"the host's own root is no jail")
	case within(state, dir):
		return fault.New(fault.Usage, "--force does it all the same",
			"%s contains nsbuild's state directory %s", dir, state)
	case within(dir, state) && !o.Overlay && !o.ReadOnly:
		return fault.New(fault.Usage, "nsbuild shell --save BASE changes a base",
			"%s is nsbuild's own, which nothing else may change", dir)
	}
	return nil
}

// within tells whether path is dir or below it.
func within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// jailDirs are what a jail needs to mount on.
func jailDirs() []string { return []string{"proc", "sys", "dev"} }

// checkDirs checks that a root that is used as it is has the directories that a jail needs: nothing
// is made in somebody's tree without a word.
func checkDirs(dir string) error {
	for _, name := range jailDirs() {
		info, err := os.Lstat(filepath.Join(dir, name))
		if err == nil && !info.IsDir() {
			err = syscall.ENOTDIR
		}
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			return fault.New(fault.Internal,
				fmt.Sprintf("mkdir %s, or --overlay", filepath.Join(dir, name)),
				"%s has no directory %s to mount on", dir, name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
