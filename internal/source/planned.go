package source

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/fetch"
	"nsbuild/internal/archive/hashes"
	"nsbuild/internal/ctxio"
	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
	"nsbuild/internal/plan"
)

// Plan is the source as a plan has it.
func (in *Source) Plan(ctx context.Context) (s plan.Source, err error) {
	s.From = failure.PublicURI(in.Spec)
	s.Name, s.Version = in.Identity()
	if in.Tree != nil {
		if s.Tree, err = filepath.Abs(in.Tree.Dir); err != nil {
			return s, err
		}
		s.TreeDigest, err = in.treeDigest(ctx)
		return s, err
	}
	s.DSC, s.Text = filepath.Base(in.DSC.Path), string(in.Text)
	if in.temp == nil {
		if s.Dir, err = filepath.Abs(in.Dir); err != nil {
			return s, err
		}
	}
	for _, f := range in.DSC.Files {
		sum, err := digestOf(ctx, filepath.Join(in.Dir, f.Name))
		if err != nil {
			return s, err
		}
		s.Files = append(s.Files, plan.File{Name: f.Name, Size: f.Size, SHA256: sum,
			URL: failure.PublicURI(in.urls[f.Name])})
	}
	return s, nil
}

// Planned is the source of a plan: just these files, from where they lay, the cache or the mirror.
func (o *Opener) Planned(ctx context.Context, s plan.Source) (*Source, error) {
	in := &Source{Spec: s.From}
	if s.Tree != "" {
		return in, o.openPlannedTree(ctx, in, s)
	}
	if err := o.parseDSC(in, s.DSC, []byte(s.Text)); err != nil {
		return in, err
	}
	if len(s.Files) != len(in.DSC.Files) {
		return in, fault.New(fault.Usage, "", "the plan lists other files than its .dsc")
	}
	dir, err := o.Work.Make("planned-")
	if err != nil {
		return in, err
	}
	in.Dir, in.temp = dir, func() error { return os.RemoveAll(dir) }
	for i, f := range s.Files {
		if f.Name != in.DSC.Files[i].Name || f.Name != filepath.Base(f.Name) {
			return in, fault.New(fault.Usage, "", "the plan lists other files than its .dsc")
		}
		if err := o.bringPlanned(ctx, s.Dir, f, filepath.Join(dir, f.Name)); err != nil {
			return in, fault.Wrap(fault.GivenBack, "plan the build again, or bring the file back",
				fmt.Errorf("the source of the plan: %w", err))
		}
	}
	return in, nil
}

// bringPlanned has a file of a plan at a path.
func (o *Opener) bringPlanned(ctx context.Context, from string, f plan.File, to string) error {
	if from != "" {
		name := filepath.Join(from, f.Name)
		if err := checkDigest(ctx, name, f.SHA256); err != nil {
			return err
		}
		in, err := openPart(name)
		if err != nil {
			return err
		}
		defer in.Close()
		out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, ctxio.NewReader(ctx, in))
		return errors.Join(err, out.Close())
	}
	return o.Client.Fetch(ctx, fetch.File{URL: f.URL, Size: f.Size,
		Hashes: hashes.Set{SHA256: f.SHA256}}, to)
}

func (o *Opener) openPlannedTree(ctx context.Context, in *Source, s plan.Source) (err error) {
	in.From = s.Tree
	if in.Tree, err = dsc.OpenTree(s.Tree); err != nil {
		return fault.Wrap(fault.GivenBack, "", err)
	}
	if err := o.BringOrig(ctx, in, nil); err != nil {
		return err
	}
	digest, err := in.treeDigest(ctx)
	if err == nil && digest != s.TreeDigest {
		err = fault.New(fault.GivenBack, "plan the build again",
			"%s is not as it was planned: names, modes, times or contents differ", s.Tree)
	}
	return err
}

// treeDigest is a digest of a source directory, and of its upstream tarballs.
func (in *Source) treeDigest(ctx context.Context) (string, error) {
	sum := sha256.New()
	t := treeArchive{from: in.Tree.Dir, to: "tree", out: tar.NewWriter(sum)}
	if err := t.write(); err != nil {
		return "", err
	}
	files, err := in.origFiles()
	if err != nil {
		return "", err
	}
	for _, file := range files {
		one, err := digestOf(ctx, file)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(sum, "%s %s\n", one, filepath.Base(file))
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// digestOf is the SHA-256 of a file that lies beside a source.
func digestOf(ctx context.Context, file string) (string, error) {
	f, err := openPart(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	_, err = io.Copy(sum, ctxio.NewReader(ctx, f))
	return hex.EncodeToString(sum.Sum(nil)), err
}

func checkDigest(ctx context.Context, file, want string) error {
	got, err := digestOf(ctx, file)
	if err == nil && got != want {
		err = fmt.Errorf("%s is not as it was planned: its SHA-256 is %s, and was %s", file, got,
			want)
	}
	return err
}
