package source

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

	"nsbuild/internal/bootstrap"
	"nsbuild/internal/buildroot"
	"nsbuild/internal/regular"
)

// copyIn copies a directory of the caller's into the worker's jail, for the builder: names, modes
// and times as they are. It goes as a tar archive through a pipe, since a host process could set
// neither times nor kinds of files that the builder owns. It returns the names of what was left
// out.
func copyIn(ctx context.Context, w buildroot.Worker, from, to string) (left []string, err error) {
	r, pipe, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	t := treeArchive{from: from, to: path.Base(to), out: tar.NewWriter(pipe)}
	written := make(chan error, 1)
	go func() { written <- errors.Join(t.write(), pipe.Close()) }()
	command := w.Command(path.Dir(to), "tar", "-xpf", "-")
	command.Stdin = r
	status, err := w.Run(ctx, command)
	// What tar has not read by now it never will: closing the pipe ends the writer.
	closed := r.Close()
	wrote := <-written
	switch {
	case err != nil || ctx.Err() != nil:
		return nil, errors.Join(err, ctx.Err(), closed)
	case wrote != nil && !errors.Is(wrote, fs.ErrClosed) && status.Success():
		return nil, errors.Join(wrote, closed)
	case !status.Success():
		return nil, errors.Join(fmt.Errorf("tar: %s", status), t.err, closed)
	}
	return t.left, closed
}

// treeArchive writes a directory as a tar archive. Its files may be anything: only regular ones are
// opened.
type treeArchive struct {
	from string
	to   string // the directory's name in the archive
	out  *tar.Writer
	left []string // what was left out
	err  error    // of what was read
}

func (t *treeArchive) write() error {
	err := filepath.WalkDir(t.from, func(name string, d os.DirEntry, err error) error {
		if err == nil {
			err = t.entry(name, d)
		}
		if err != nil && !errors.Is(err, filepath.SkipDir) && t.err == nil {
			t.err = err
		}
		return err
	})
	return errors.Join(err, t.out.Close())
}

func (t *treeArchive) entry(name string, d os.DirEntry) error {
	rel, err := filepath.Rel(t.from, name)
	if err != nil {
		return err
	}
	if rel == ".git" && d.IsDir() {
		return filepath.SkipDir // dpkg-source leaves it out as well
	}
	info, err := d.Info()
	if err != nil {
		return err
	}
	target := path.Join(t.to, filepath.ToSlash(rel))
	switch kind := info.Mode().Type(); kind {
	case 0:
		return t.file(name, target)
	case fs.ModeDir, fs.ModeNamedPipe:
		return t.header(info, target, "")
	case fs.ModeSymlink:
		link, err := os.Readlink(name)
		if err != nil {
			return err
		}
		return t.header(info, target, link)
	case fs.ModeSocket:
		t.left = append(t.left, name)
		return nil
	}
	return fmt.Errorf("%s is a device: no source package has any", name)
}

// header begins a member. The format of GNU tar takes names of any bytes and length.
func (t *treeArchive) header(info fs.FileInfo, name, link string) error {
	h, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return err
	}
	h.Name = name
	if info.IsDir() {
		h.Name += "/"
	}
	h.Format = tar.FormatGNU
	h.Uid, h.Gid, h.Uname, h.Gname = bootstrap.BuilderUID, bootstrap.BuilderGID, "", ""
	return t.out.WriteHeader(h)
}

// file writes a regular file: what the name stands for now, not what it stood for when it was
// listed.
func (t *treeArchive) file(name, target string) error {
	f, err := regular.OpenNoFollow(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := t.header(info, target, ""); err != nil {
		return err
	}
	n, err := io.CopyN(t.out, f, info.Size())
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%s became shorter while it was read: %d bytes instead of %d",
			name, n, info.Size())
	}
	return err
}
