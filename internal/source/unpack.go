package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"

	"nsbuild/internal/bootstrap"
	"nsbuild/internal/buildroot"
	"nsbuild/internal/fault"
	"nsbuild/internal/jails"
)

// Unpack brings the verified source into the worker's jail, unless it lies there packed already,
// and unpacks it there: its tarballs are hostile.
func (in *Source) Unpack(ctx context.Context, w buildroot.Worker) error {
	if in.Tree == nil {
		if err := in.bring(ctx, w.Jail, w.Dir()); err != nil {
			return fault.Wrap(fault.GivenBack, "", err)
		}
	}
	name := filepath.Base(in.DSC.Path)
	tree := in.DSC.DirName()
	if w.Tree != "" {
		tree = path.Base(w.Tree)
	}
	status, err := w.Run(ctx, w.Command(w.Dir(), "dpkg-source", "-x", name, tree))
	if err == nil && !status.Success() {
		err = fmt.Errorf("dpkg-source -x %s: %s", name, status)
	}
	return err
}

// Path is where it lies in a jail, unpacked.
func (in *Source) Path() string { return path.Join(buildroot.Dir, in.DSC.DirName()) }

// bring copies the .dsc and its files into the jail and checks them on the way: what was
// checked is what is built.
func (in *Source) bring(ctx context.Context, jail jails.Jail, dir string) error {
	if err := buildroot.MakeDir(jail, dir); err != nil {
		return err
	}
	err := buildroot.Fill(jail, path.Join(dir, filepath.Base(in.DSC.Path)), 0,
		func(w io.Writer) error {
			_, err := w.Write(in.Text)
			return err
		})
	if err != nil {
		return err
	}
	open := OpenUntil(ctx, sourceFile(in.Dir))
	return in.DSC.Verify(func(name string) (io.ReadCloser, error) {
		f, err := open(name)
		if err != nil {
			return nil, err
		}
		out, err := jail.Create(path.Join(dir, name), 0o644, bootstrap.BuilderUID,
			bootstrap.BuilderGID)
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		return Tee(f, out), nil
	})
}

// Tee is a file being read and copied.
func Tee(in io.ReadCloser, out io.WriteCloser) io.ReadCloser {
	return &tee{io.TeeReader(in, out), in, out}
}

type tee struct {
	io.Reader
	in, out io.Closer
}

func (t *tee) Close() error { return errors.Join(t.in.Close(), t.out.Close()) }
