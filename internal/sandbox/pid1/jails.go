package pid1

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"nsbuild/internal/sandbox/beneath"
	"nsbuild/internal/sandbox/idmap"
	"nsbuild/internal/sandbox/layout"
	"nsbuild/internal/sandbox/mounts"
	"nsbuild/internal/sandbox/relay"
	"nsbuild/internal/sandbox/syserr"
	"nsbuild/internal/sandbox/wire"
)

// openJail is a jail as PID 1 knows it.
type openJail struct {
	id     int
	root   *os.File // the mounted root, O_PATH
	target string   // where the root is mounted in H
	upper  string   // "" for a Root.Dir; the whole tree on wire.ScratchCopy
	helper *wire.Conn
	pid    int      // of the helper
	pts    *os.File // its devpts, O_PATH
	spec   *wire.Spec
	whole  bool // upper is all of the root
	plain  bool // files have the device of their mount; see Jail.Plain
	// a second helper, in the caller's network namespace; nil until a command needs it
	online *wire.Conn
	netPID int   // of the second helper
	spared []int // of processes beside the jail; see connected and orderDirs
}

// openJail mounts a jail's root and starts its helper.
func (p *pid1) openJail(spec *wire.Spec, trees []*os.File) (_ *wire.Message, err error) {
	if p.open != nil {
		return nil, errors.New("a jail is open already")
	}
	if p.shared != nil && spec.Caller != nil {
		return nil, &syserr.Error{Op: wire.OwnIDsCall, Errno: unix.EPERM}
	}
	j := &openJail{id: len(p.jails) + 1, spec: spec}
	j.target = layout.Jail(j.id)
	if err := os.Mkdir(j.target, 0o755); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			j.release()
			err = errors.Join(err, p.killAll(), ignoreInvalid(mounts.Detach(j.target)))
		}
	}()
	if err := p.mountRoot(j, &spec.Root, trees); err != nil {
		return nil, err
	}
	if j.root, err = beneath.OpenPath(j.target); err != nil {
		return nil, err
	}
	for _, m := range mounts.OfHolder(spec) {
		if spec.Caller != nil && spec.Caller.UID == 0 {
			m.Owner = idmap.CallerID
		}
		if err := mounts.Apply(j.root, p.host, m, trees); err != nil {
			return nil, err
		}
	}
	if err := p.hideFrom(spec.Caller); err != nil {
		return nil, err
	}
	notes, err := p.startHelper(j, spec)
	if err != nil {
		return nil, err
	}
	p.jails = append(p.jails, j)
	p.open = j
	return &wire.Message{Jail: j.id, Notes: notes, Plain: j.plain || spec.Root.Dir != ""}, nil
}

// stopJail ends every process of the open jail. Its root stays mounted, and nothing changes in it
// any more.
func (p *pid1) stopJail(id int) ([]wire.Stray, error) {
	j := p.open
	if j == nil || j.id != id {
		return nil, errors.New("this jail is not open")
	}
	if j.helper == nil {
		return nil, nil
	}
	strays, err := p.strays()
	if err != nil {
		return nil, err
	}
	j.helper.Close()
	j.helper = nil
	if j.online != nil {
		j.online.Close()
		j.online = nil
	}
	return strays, p.killAll()
}

// closeJail unmounts a stopped jail.
func (p *pid1) closeJail(id int) error {
	j := p.open
	if j == nil || j.id != id || j.helper != nil {
		return errors.New("this jail is not open, or not stopped")
	}
	p.open = nil
	j.release()
	return mounts.Detach(j.target)
}

func (j *openJail) release() {
	for _, c := range []*wire.Conn{j.helper, j.online} {
		if c != nil {
			c.Close()
		}
	}
	for _, f := range []*os.File{j.root, j.pts} {
		if f != nil {
			f.Close()
		}
	}
}

// mountRoot mounts the root of a jail on j.target.
func (p *pid1) mountRoot(j *openJail, root *wire.Root, trees []*os.File) error {
	if root.Dir != "" {
		var err error
		if root.Tree > 0 {
			err = mounts.AttachTree(trees, root.Tree, unix.AT_FDCWD, j.target, root.Dir)
		} else {
			err = mounts.MountAs(layout.Host+root.Dir, j.target, root.Dir, "",
				unix.MS_BIND|unix.MS_REC, "")
		}
		if err != nil {
			return err
		}
		attr := uint64(unix.MOUNT_ATTR_NODEV)
		if root.ReadOnly {
			attr |= unix.MOUNT_ATTR_RDONLY
		}
		return mounts.SetAttr(unix.AT_FDCWD, j.target, attr, true)
	}
	return p.mountLayers(j, root, trees)
}

// ignoreInvalid drops "not a mount point", for undoing what may not have been done.
func ignoreInvalid(err error) error {
	if errors.Is(err, unix.EINVAL) {
		return nil
	}
	return err
}

// streams decides over the streams of the jail's commands.
func (j *openJail) streams() relay.Jail {
	return relay.Jail{PTS: j.pts, CallersIDs: j.spec.Caller != nil}
}
