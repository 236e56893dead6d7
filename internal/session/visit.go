package session

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"nsbuild/internal/fault"
	"nsbuild/internal/jails"
	"nsbuild/internal/regular"
	"nsbuild/internal/sandbox"
)

// Visit is the stay of one who brings files into a session, or takes some out.
type Visit struct {
	id    string
	jail  *sandbox.Jail
	user  account
	leave func() error
	// Left counts what was not brought: sockets and devices.
	Left int
}

// Enter begins a visit, which ends with Close or with the context.
func Enter(ctx context.Context, state, id string) (*Visit, error) {
	joined, passed, err := ask(ctx, state, id, askJoin)
	if err != nil {
		return nil, err
	}
	if passed == nil {
		return nil, fmt.Errorf("session %s: its supervisor sent no descriptor", id)
	}
	jail, err := sandbox.Join(passed)
	if err != nil {
		return nil, meanwhile(id, err)
	}
	c := &connection{}
	c.set(jail)
	stop := context.AfterFunc(ctx, c.cut)
	v := &Visit{id: id, jail: jail, leave: func() error { stop(); return c.leave() }}
	if v.user, err = lookup(jail, joined.Info.User, "", nil); err != nil {
		return nil, errors.Join(meanwhile(id, err), v.Close())
	}
	return v, nil
}

// Close ends the visit.
func (v *Visit) Close() error { return v.leave() }

// Files are those of the session.
func (v *Visit) Files() jails.Files { return v.jail }

// Bring copies files and directories of the caller's into the session. What they become there
// belongs to the session's user, who writes it: a place where that user may not write is refused.
// to is a directory of the session, or a new name for the one file. A link that is named stands for
// what it leads to; one below a directory is copied as a link.
func (v *Visit) Bring(ctx context.Context, files []string, to string) error {
	dir, name, err := v.place(to)
	if err != nil {
		return err
	}
	if name != "" && len(files) > 1 {
		return fault.New(fault.Usage, "make it", "%s is no directory in session %s", to, v.id)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	b := &bringing{out: tar.NewWriter(w), user: v.user}
	written := make(chan error, 1)
	go func() { written <- errors.Join(b.all(files, name), w.Close()) }()
	said := &strings.Builder{}
	status, err := v.jail.RunTo(ctx, sandbox.Command{
		Argv: []string{"tar", "-C", dir, "--no-same-owner", "-xpf", "-"}, Dir: "/",
		Env: []string{"PATH=" + sandbox.DefaultPath, "LC_ALL=C"}, UID: v.user.uid,
		GID: v.user.gid, Groups: v.user.groups, Stdin: r,
	}, io.Discard, &firstBytes{to: said, left: 1 << 10})
	// what tar has not read by now it never will: closing the pipe ends the writer
	closed := r.Close()
	wrote := <-written
	v.Left += b.left
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return errors.Join(meanwhile(v.id, err), closed)
	case b.unread != nil:
		return b.unread
	case !status.Success():
		line, _, _ := strings.Cut(strings.TrimPrefix(said.String(), "tar: "), "\n")
		return fmt.Errorf("session %s: writing below %s as %s: tar: %s: %s", v.id, dir, v.user.name,
			status, line)
	}
	return errors.Join(wrote, closed)
}

// place is the directory that something goes into, and the new name that it gets there: "" where it
// keeps its own.
func (v *Visit) place(to string) (dir, name string, err error) {
	to = path.Clean("/" + to)
	isDir, err := v.isDir(to)
	switch {
	case err == nil && isDir:
		return to, "", nil
	case err == nil: // to be replaced
	case !errors.Is(err, fs.ErrNotExist):
		return "", "", fmt.Errorf("session %s: %w", v.id, err)
	}
	dir, name = path.Split(to)
	dir = path.Clean(dir)
	if isDir, err = v.isDir(dir); err == nil && !isDir {
		err = syscall.ENOTDIR
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = fault.Wrap(fault.Internal,
			fmt.Sprintf("nsbuild session run %s -- mkdir -p %s", v.id, dir), err)
	}
	if err != nil {
		err = fmt.Errorf("session %s: %s: %w", v.id, dir, err)
	}
	return dir, name, err
}

func (v *Visit) isDir(name string) (bool, error) {
	f, err := v.jail.Open(name)
	if err != nil {
		if errors.Is(err, syscall.ELOOP) {
			err = fault.Wrap(fault.Usage, "name what it leads to",
				fmt.Errorf("it is, or leads through, a symbolic link: %w", err))
		}
		return false, meanwhile(v.id, err)
	}
	defer f.Close()
	st, err := f.Stat()
	return err == nil && st.IsDir(), err
}

// bringing writes files of the caller's as a tar archive.
type bringing struct {
	out    *tar.Writer
	user   account
	left   int
	unread error // of what the caller's own files gave
}

// all writes each file, under its own name or under the one that is given.
func (b *bringing) all(files []string, name string) error {
	for _, file := range files {
		as := name
		if as == "" {
			abs, err := filepath.Abs(file)
			if err != nil {
				return err
			}
			as = filepath.Base(abs)
		}
		from, err := filepath.EvalSymlinks(file)
		if err == nil {
			err = filepath.WalkDir(from, func(at string, d fs.DirEntry, err error) error {
				if err != nil {
					b.unread = errors.Join(b.unread, err)
					return err
				}
				rel, err := filepath.Rel(from, at)
				if err != nil {
					return err
				}
				return b.entry(at, path.Join(as, filepath.ToSlash(rel)), d)
			})
		} else {
			b.unread = errors.Join(b.unread, err)
		}
		if err != nil {
			return err
		}
	}
	return b.out.Close()
}

func (b *bringing) entry(file, as string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		b.unread = errors.Join(b.unread, err)
		return err
	}
	switch info.Mode().Type() {
	case 0:
		return b.file(file, as)
	case fs.ModeDir:
		return b.header(info, as+"/", "")
	case fs.ModeSymlink:
		target, err := os.Readlink(file)
		if err != nil {
			return err
		}
		return b.header(info, as, target)
	}
	b.left++
	return nil
}

func (b *bringing) header(info fs.FileInfo, as, link string) error {
	h, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return err
	}
	h.Name, h.Format = as, tar.FormatGNU
	h.Uid, h.Gid, h.Uname, h.Gname = b.user.uid, b.user.gid, "", ""
	return b.out.WriteHeader(h)
}

func (b *bringing) file(file, as string) error {
	f, err := regular.OpenNoFollow(file)
	if err != nil {
		b.unread = errors.Join(b.unread, err)
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := b.header(info, as, ""); err != nil {
		return err
	}
	_, err = io.CopyN(b.out, f, info.Size())
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("%s became shorter while it was read", file)
		b.unread = errors.Join(b.unread, err)
	}
	return err
}

// firstBytes keeps the beginning of what is written to it.
type firstBytes struct {
	to   *strings.Builder
	left int
}

func (f *firstBytes) Write(p []byte) (int, error) {
	n := min(len(p), f.left)
	f.left -= n
	f.to.Write(p[:n])
	return len(p), nil
}
