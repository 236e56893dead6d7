package source

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
	"nsbuild/internal/gitsrc"
	"nsbuild/internal/regular"
)

// origFiles are the upstream tarballs of a source directory, and their signatures: those that lie
// beside it, or those that BringOrig has found.
func (in *Source) origFiles() ([]string, error) {
	if in.origs != nil {
		return in.origs, nil
	}
	return origFiles(in.Tree.Dir, in.Tree)
}

// BringOrig finds the upstream tarball of a source directory that lies there without it, as
// origtargz(1) does: in other directories, or made of what git has. options are dpkg-source's.
func (o *Opener) BringOrig(ctx context.Context, in *Source, options []string) error {
	tree := in.Tree
	if tree == nil || tree.Format != "3.0 (quilt)" || tree.Version.Native() {
		return nil
	}
	there, err := origFiles(tree.Dir, tree)
	if err != nil || hasMain(there, tree) || needsNone(tree, options) {
		return err
	}
	s := &origSearch{export: &export{Opener: o, in: in}}
	if in.origs, err = s.find(ctx); err != nil {
		return err
	}
	for _, file := range in.origs {
		f, err := openPart(file)
		if err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}

// hasMain tells whether the main upstream tarball is among files.
func hasMain(files []string, tree *dsc.Tree) bool {
	return slices.ContainsFunc(files, func(file string) bool {
		return strings.HasPrefix(filepath.Base(file), mainOrig(tree)+".tar.") &&
			!isSignatureName(file)
	})
}

// mainOrig is the name of the main upstream tarball, up to its compression.
func mainOrig(tree *dsc.Tree) string {
	return tree.Name + "_" + tree.Version.Upstream() + ".orig"
}

// needsNone tells whether dpkg-source is told to do without an upstream tarball, or to make another
// format of it.
func needsNone(tree *dsc.Tree, options []string) bool {
	const most = 64 << 10
	for _, name := range []string{"options", "local-options"} {
		text, err := regular.ReadFile(filepath.Join(tree.Dir, "debian/source", name), most)
		if err == nil {
			options = append(slices.Clone(options), strings.Fields(string(text))...)
		}
	}
	return slices.ContainsFunc(options, func(word string) bool {
		word = strings.TrimPrefix(word, "--")
		return word == "create-empty-orig" || strings.HasPrefix(word, "format")
	})
}

// origSearch looks for an upstream tarball.
type origSearch struct {
	*export
	looked []string // where it is not
}

func (s *origSearch) find(ctx context.Context) ([]string, error) {
	dir, err := Resolved(s.in.From)
	if err != nil {
		return nil, err
	}
	beside := filepath.Dir(dir)
	s.looked = append(s.looked, beside)
	l, conf, err := repositoryOf(dir)
	if err != nil {
		s.looked = append(s.looked, err.Error())
	}
	var dirs []string
	if l != nil {
		if dirs, err = s.configured(l, conf); err != nil {
			return nil, err
		}
	}
	for _, d := range append(dirs, filepath.Join(beside, "tarballs")) {
		files, err := origFilesIn(d, s.in.Tree)
		switch {
		case err == nil && hasMain(files, s.in.Tree):
			s.say(strings.Join(files, ", "))
			return files, nil
		case err == nil:
			s.looked = append(s.looked, d)
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	if l != nil && !conf.NoCreateOrig {
		files, err := s.make(ctx, l, conf)
		if files != nil || ctx.Err() != nil {
			return files, err
		}
		s.looked = append(s.looked, err.Error())
	}
	return nil, s.missing(dir)
}

// repositoryOf is the repository that a directory lies in, with its gbp.conf; nil where there is
// none.
func repositoryOf(dir string) (*gitsrc.Layout, gitsrc.Config, error) {
	l, err := gitsrc.Locate(dir)
	if err != nil || l == nil {
		return nil, gitsrc.Config{}, err
	}
	conf, err := gitsrc.ReadConfig(l, os.Getenv)
	if err != nil {
		return nil, conf, err
	}
	return l, conf, nil
}

// configured are the directories that gbp.conf names for tarballs.
func (s *origSearch) configured(l *gitsrc.Layout, conf gitsrc.Config) (dirs []string, err error) {
	for _, d := range []gitsrc.Dir{conf.TarballDir, conf.ExportDir} {
		dir, err := d.Path(l, s.in.Tree.Version.Upstream(), os.Getenv)
		if err != nil {
			s.in.tell(s.Log, "%v", err)
		} else if dir != "" {
			dirs = append(dirs, dir)
		}
	}
	return dirs, nil
}

// make has git make the tarballs: pristine-tar, or of upstream's tag.
func (s *origSearch) make(ctx context.Context, l *gitsrc.Layout, conf gitsrc.Config) ([]string,
	error) {
	dir, err := s.Work.Make("orig-")
	if err != nil {
		return nil, err
	}
	s.in.temp = func() error { return os.RemoveAll(dir) }
	var how string
	err = s.inRepository(ctx, l, func(r *gitsrc.Repository) (err error) {
		how, err = r.Orig(ctx, conf, gitsrc.Upstream{Name: s.in.Tree.Name,
			Version: s.in.Tree.Version.Upstream()}, dir)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.say(how)
	return origFilesIn(dir, s.in.Tree)
}

// say tells which was taken.
func (s *origSearch) say(which string) {
	s.Log.Infof("%s: the upstream tarball is not beside it; taken is %s", s.in.Spec, which)
	s.in.note("Upstream tarball: %s", which)
}

func (s *origSearch) missing(dir string) error {
	return fault.New(fault.GivenBack, "(cd "+dir+" && origtargz) fetches it, or uscan "+
		"--download-current-version (package devscripts); or put it beside the source directory",
		"there is no %s.tar.*, which %s needs (3.0 (quilt)); looked for in: %s",
		mainOrig(s.in.Tree), s.in.Spec, strings.Join(s.looked, "; "))
}
