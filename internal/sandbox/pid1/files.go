package pid1

import (
	"errors"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"nsbuild/internal/sandbox/beneath"
	"nsbuild/internal/sandbox/idmap"
	"nsbuild/internal/sandbox/syserr"
	"nsbuild/internal/sandbox/wire"
)

// fileOp serves wire.OpOpen, wire.OpCreate, wire.OpMkdir and wire.OpLink. The tree is hostile:
// nothing is followed, nothing but a regular file or a directory is handed out.
func (p *pid1) fileOp(m *wire.Message) (*wire.Message, []*os.File, error) {
	j := p.open
	if j == nil || j.id != m.Jail {
		return nil, nil, errors.New("this jail is not open")
	}
	name := strings.TrimPrefix(path.Clean("/"+m.Path), "/")
	if name == "" {
		name = "."
	}
	m.UID, m.GID = j.outer(m.UID, m.GID)
	switch m.Op {
	case wire.OpOpen:
		f, err := openStrict(j.root, name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
		if err != nil {
			return nil, nil, err
		}
		if err := regularOrDir(f, name); err != nil {
			f.Close()
			return nil, nil, err
		}
		return &wire.Message{}, []*os.File{f}, nil
	case wire.OpCreate:
		f, err := openStrict(j.root, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOCTTY,
			uint64(m.Mode))
		if err != nil {
			return nil, nil, err
		}
		if err := own(f, m); err != nil {
			f.Close()
			return nil, nil, err
		}
		return &wire.Message{}, []*os.File{f}, nil
	case wire.OpLink:
		return &wire.Message{}, nil, j.linkBeneath(name, m.Target)
	}
	return &wire.Message{}, nil, j.mkdirBeneath(name, m)
}

// outer are ids of the jail as H has them: the caller's stand in the place of two of them.
func (j *openJail) outer(uid, gid int) (int, int) {
	if c := j.spec.Caller; c != nil {
		if uid == c.UID {
			uid = idmap.CallerID
		}
		if gid == c.GID {
			gid = idmap.CallerID
		}
	}
	return uid, gid
}

func (j *openJail) linkBeneath(name, target string) error {
	dir, err := openStrict(j.root, path.Dir(name), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := unix.Symlinkat(target, int(dir.Fd()), path.Base(name)); err != nil {
		return syserr.Wrap("symlink", "/"+name, err)
	}
	uid, gid := j.outer(0, 0)
	return syserr.Wrap("chown", "/"+name, unix.Fchownat(int(dir.Fd()), path.Base(name), uid, gid,
		unix.AT_SYMLINK_NOFOLLOW))
}

// openStrict opens name beneath root and follows no link at all.
func openStrict(root *os.File, name string, flags, mode uint64) (*os.File, error) {
	fd, err := beneath.Openat2(root, name, &unix.OpenHow{
		Flags: flags | unix.O_CLOEXEC | unix.O_NOFOLLOW, Mode: mode,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, syserr.Wrap("open", "/"+name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

func regularOrDir(f *os.File, name string) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return syserr.Wrap("stat", name, err)
	}
	if kind := st.Mode & unix.S_IFMT; kind != unix.S_IFREG && kind != unix.S_IFDIR {
		return &syserr.Error{Op: "open", Path: "/" + name +
			" (neither a regular file nor a directory)",
			Errno: unix.EINVAL}
	}
	return nil
}

// own gives a new file its owner and exact mode.
func own(f *os.File, m *wire.Message) error {
	if err := unix.Fchown(int(f.Fd()), m.UID, m.GID); err != nil {
		return syserr.Wrap("chown", m.Path, err)
	}
	return syserr.Wrap("chmod", m.Path, unix.Fchmod(int(f.Fd()), m.Mode))
}

func (j *openJail) mkdirBeneath(name string, m *wire.Message) error {
	rootUID, rootGID := j.outer(0, 0)
	at, err := openStrict(j.root, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer func() { at.Close() }()
	parts := strings.Split(name, "/")
	for i, part := range parts {
		last := i == len(parts)-1
		err := unix.Mkdirat(int(at.Fd()), part, 0o755)
		made := err == nil
		if err != nil && (last || !errors.Is(err, unix.EEXIST)) {
			return syserr.Wrap("mkdir", m.Path, err)
		}
		next, err := openStrict(at, part, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			return err
		}
		at.Close()
		at = next
		switch {
		case last:
			err = own(at, m)
		case made:
			err = own(at, &wire.Message{Path: m.Path, Mode: 0o755, UID: rootUID, GID: rootGID})
		}
		if err != nil {
			return err
		}
	}
	return nil
}
