package pkgbuild

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"nsbuild/internal/archive"
	"nsbuild/internal/archive/fetch"
	"nsbuild/internal/archive/hashes"
	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
	"nsbuild/internal/regular"
)

// maxDSC bounds a .dsc: the largest in Debian has some hundred KiB.
const maxDSC = 4 << 20

// input is the source of one build, before anything of it has been trusted. Exactly one of dsc,
// tree and name is set once it has been looked at.
type input struct {
	spec  string       // what the user asked for
	dsc   *dsc.Source  // of a .dsc
	text  []byte       // the .dsc's own bytes
	dir   string       // where a .dsc's files are
	url   string       // directory of a .dsc's URL
	tree  *dsc.Tree    // of a directory
	from  string       // the directory that the user named, when tree is another
	name  string       // of a package to be fetched
	suite string       // to fetch it from; "" for the build's own
	notes []string     // for the log
	temp  func() error // deletes what was fetched
	// overlay: tree is to be put over its upstream tarballs.
	overlay bool
}

// openInput looks at what the user asked for: a .dsc, its URL, a source directory, or the name of a
// package.
func (e *Env) openInput(ctx context.Context, spec string) (*input, error) {
	in := &input{spec: spec, temp: func() error { return nil }}
	switch {
	case strings.HasPrefix(spec, "http://"), strings.HasPrefix(spec, "https://"),
		strings.HasPrefix(spec, "file://"):
		if !strings.HasSuffix(spec, ".dsc") {
			return nil, fault.New(fault.Usage, "give the URL of a .dsc",
				"%s is not the URL of a source package", spec)
		}
		text, err := e.Client.Get(ctx, spec, maxDSC)
		if err != nil {
			return nil, fault.Wrap(fault.GivenBack, "", fmt.Errorf("fetching %s: %w", spec, err))
		}
		in.url = strings.TrimSuffix(spec, path.Base(spec))
		return in, e.parseDSC(in, path.Base(spec), text)
	case strings.HasSuffix(spec, ".dsc"):
		return in, e.readDSC(in, spec)
	}
	st, err := os.Stat(spec)
	switch {
	case err == nil && st.IsDir():
		if in.from, err = sourceDir(spec); err != nil {
			return nil, fault.Wrap(fault.GivenBack, "", err)
		}
		if in.tree, err = dsc.OpenTree(in.from); err != nil {
			return nil, fault.Wrap(fault.GivenBack, "", err)
		}
		return in, checkUpstream(in.tree)
	case err == nil:
		return nil,
			fault.New(fault.Usage,
				"give a .dsc, a source directory, a URL of a .dsc, or a package name",
				"%s is no source package", spec)
	}
	name, suite, ok := strings.Cut(spec, "/")
	if ok {
		if _, err := archive.LookupSuite(suite); err != nil || name == "" ||
			strings.HasPrefix(name, ".") {
			return nil, fault.New(fault.Usage, "", "%s: no such file or directory", spec)
		}
	}
	in.name, in.suite = name, suite
	return in, nil
}

// sourceDir is what a source directory is read by: its own name, or what a link of that name leads
// to.
func sourceDir(name string) (string, error) {
	st, err := os.Lstat(name)
	if err != nil || st.Mode()&fs.ModeSymlink == 0 {
		return name, err
	}
	return resolved(name)
}

// note keeps a line for the log, which is not open yet.
func (in *input) note(format string, args ...any) {
	in.notes = append(in.notes, fmt.Sprintf(format, args...))
}

func (e *Env) readDSC(in *input, file string) error {
	f, err := regular.Open(file)
	if err != nil {
		hint := ""
		if errors.Is(err, fs.ErrNotExist) {
			hint = "give the path of an existing .dsc, or a package name to have it fetched"
		}
		return fault.Wrap(fault.GivenBack, hint, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxDSC+1))
	if err != nil {
		return fault.Wrap(fault.GivenBack, "", err)
	}
	if len(text) > maxDSC {
		return fault.New(fault.GivenBack, "", "%s is larger than any .dsc (%d bytes)", file, maxDSC)
	}
	in.dir = filepath.Dir(file)
	if err := e.parseDSC(in, file, text); err != nil {
		return err
	}
	return in.dsc.Present(in.dir)
}

func (e *Env) parseDSC(in *input, name string, text []byte) error {
	var err error
	in.text = text
	in.dsc, err = dsc.Parse(name, bytes.NewReader(text), e.keyrings())
	return fault.Wrap(fault.GivenBack, "", err)
}

// version tells what is built, as far as it is known.
func (in *input) identity() (name, version string) {
	switch {
	case in.dsc != nil:
		return in.dsc.Name, in.dsc.Version.String()
	case in.tree != nil:
		return in.tree.Name, in.tree.Version.String()
	}
	name, version, _ = strings.Cut(in.name, "=")
	return name, version
}

// distribution is the suite that a directory's changelog asks for, where it names one that packages
// are built for.
func (in *input) distribution() string {
	if in.tree == nil {
		return ""
	}
	d := in.tree.Changelog.Distribution()
	if strings.EqualFold(d, "UNRELEASED") {
		return ""
	}
	return d
}

// fetch brings a package that was asked for by name, and the files of a .dsc that was asked for by
// URL, into a directory of the cache.
func (e *Env) fetch(ctx context.Context, in *input, releases []*archive.Release) error {
	if in.name == "" && in.url == "" {
		return nil
	}
	dir, err := e.Work.Make("fetch-")
	if err != nil {
		return fmt.Errorf("fetching %s: %w", in.spec, err)
	}
	in.temp = func() error { return os.RemoveAll(dir) }
	if in.name != "" {
		found, err := e.Client.FindSource(ctx, releases, in.name)
		if err != nil {
			return fault.Wrap(fault.GivenBack, "", err)
		}
		file, err := e.Client.FetchSource(ctx, found, dir)
		if err != nil {
			return fault.Wrap(fault.GivenBack, "", err)
		}
		return e.readDSC(in, file)
	}
	in.dir = dir
	for _, f := range in.dsc.Files {
		want := fetch.File{URL: in.url + f.Name, Size: f.Size, Weak: f.SHA256 == "" &&
			f.SHA512 == "",
			Hashes: hashes.Set{MD5: f.MD5, SHA1: f.SHA1, SHA256: f.SHA256, SHA512: f.SHA512}}
		if err := e.Client.Fetch(ctx, want, filepath.Join(dir, f.Name)); err != nil {
			return fault.Wrap(fault.GivenBack, "", err)
		}
	}
	return nil
}
