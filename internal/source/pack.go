package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"

	"github.com/sirupsen/logrus"

	"nsbuild/internal/buildroot"
	"nsbuild/internal/dsc"
	"nsbuild/internal/jails"
	"nsbuild/internal/workdir"
)

// Pack makes a source package out of a source directory, in a jail: what is in the directory may be
// as hostile as any source. Its files lie in the build directory afterwards, and DSC is what its
// .dsc says. The options are dpkg-source's.
func (in *Source) Pack(ctx context.Context, w buildroot.Worker, log logrus.FieldLogger,
	options []string) error {
	if err := buildroot.MakeDir(w.Jail, buildroot.Dir); err != nil {
		return err
	}
	tree := in.Tree
	name := tree.Name + "-" + tree.Version.Upstream()
	left, err := copyIn(ctx, w, tree.Dir, path.Join(buildroot.Dir, name))
	if err != nil {
		return fmt.Errorf("copying %s into the jail: %w", tree.Dir, err)
	}
	for _, name := range left {
		log.Warnf("%s is a socket, which no source package has: it is left out", name)
		w.Log.Warning("%s is a socket, which no source package has: it is left out", name)
	}
	if err := in.copyUpstream(ctx, w.Jail); err != nil {
		return err
	}
	if err := in.overlay(ctx, w, name); err != nil {
		return err
	}
	argv := append(append([]string{"dpkg-source"}, options...), "-b", name)
	status, err := w.Run(ctx, w.Command(buildroot.Dir, argv...))
	if err != nil {
		return err
	}
	if !status.Success() {
		return fmt.Errorf("dpkg-source -b %s: %s", tree.Dir, status)
	}
	if in.DSC, err = in.readBuiltDSC(w.Jail); err != nil {
		return err
	}
	remove := w.Command(buildroot.Dir, "rm", "-rf", name)
	// of directories that nobody may write to the builder could delete nothing
	remove.UID, remove.GID = 0, 0
	if status, err = w.Run(ctx, remove); err != nil || !status.Success() {
		return errors.Join(err, fmt.Errorf("deleting the copy of %s: %s", tree.Dir, status))
	}
	return nil
}

func (in *Source) readBuiltDSC(jail jails.Jail) (*dsc.Source, error) {
	name := in.Tree.Name + "_" + in.Tree.Version.FileName() + ".dsc"
	f, err := jail.Open(path.Join(buildroot.Dir, name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return dsc.Parse(name, io.LimitReader(f, MaxDSC), nil)
}

// TakePacked copies the source package that was packed out of the jail that it lies in.
func (in *Source) TakePacked(jail jails.Jail, work *workdir.Dir) (*Source, error) {
	dir, err := work.Make("source-")
	if err != nil {
		return nil, err
	}
	name := filepath.Base(in.DSC.Path)
	var text bytes.Buffer
	if err := copyOut(jail, name, filepath.Join(dir, name), MaxDSC, &text); err != nil {
		return nil, err
	}
	for _, f := range in.DSC.Files {
		if err := copyOut(jail, f.Name, filepath.Join(dir, f.Name), f.Size,
			io.Discard); err != nil {
			return nil, err
		}
	}
	return &Source{Spec: in.Spec, DSC: in.DSC, Text: text.Bytes(), Dir: dir,
		temp: func() error { return os.RemoveAll(dir) }}, nil
}

// copyOut copies a file of a jail, of at most limit bytes.
func copyOut(jail jails.Jail, name, to string, limit int64, more io.Writer) error {
	in, err := jail.Open(path.Join(buildroot.Dir, name))
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	n, err := io.Copy(io.MultiWriter(out, more), io.LimitReader(in, limit+1))
	if err == nil && n > limit {
		err = fmt.Errorf("%s has more than the %d bytes that it had", name, limit)
	}
	return errors.Join(err, out.Close())
}
