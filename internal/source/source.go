// Package source is what is built: a .dsc or its URL, a source directory as it lies there or as git
// has it, or the name of a package to be fetched. It finds out which, fetches and verifies it, and
// brings it into a jail: a source is as hostile as whoever made it, so that nothing of it is
// unpacked or run outside of one.
//
// What a .dsc says is internal/dsc's to read, what git is asked internal/gitsrc's.
package source

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

	"github.com/sirupsen/logrus"

	"nsbuild/internal/archive"
	"nsbuild/internal/archive/fetch"
	"nsbuild/internal/archive/hashes"
	"nsbuild/internal/archive/release"
	"nsbuild/internal/archive/suites"
	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
	"nsbuild/internal/regular"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/workdir"
)

// MaxDSC bounds a .dsc: the largest in Debian has some hundred KiB.
const MaxDSC = 4 << 20

// Opener looks at sources, and fetches them.
type Opener struct {
	Suites *suites.Table // that are known
	Client *archive.Client
	Work   *workdir.Dir
	IDs    sandbox.IDMap // of the jail that git runs in
	Log    logrus.FieldLogger
}

// Source is the source of one build, before anything of it has been trusted. Exactly one of DSC,
// Tree and Name is set once it has been looked at.
type Source struct {
	Spec  string      // what the user asked for
	DSC   *dsc.Source // of a .dsc
	Text  []byte      // the .dsc's own bytes
	Dir   string      // where a .dsc's files are
	URL   string      // directory of a .dsc's URL
	Tree  *dsc.Tree   // of a directory
	From  string      // the directory that the user named, when Tree is another
	Name  string      // of a package to be fetched
	Suite string      // to fetch it from; "" for the build's own
	Notes []string    // for the log
	// Overlay: Tree is to be put over its upstream tarballs.
	Overlay bool

	temp  func() error      // deletes what was fetched; nil: nothing was
	origs []string          // upstream tarballs that do not lie beside the directory
	urls  map[string]string // where files were fetched from, by their names
}

// Open looks at what the user asked for: a .dsc, its URL, a source directory, or the name of a
// package.
func (o *Opener) Open(ctx context.Context, spec string) (*Source, error) {
	in := &Source{Spec: spec}
	switch {
	case strings.HasPrefix(spec, "http://"), strings.HasPrefix(spec, "https://"),
		strings.HasPrefix(spec, "file://"):
		if !strings.HasSuffix(spec, ".dsc") {
			return nil, fault.New(fault.Usage, "give the URL of a .dsc",
				"%s is not the URL of a source package", spec)
		}
		text, err := o.Client.Get(ctx, spec, MaxDSC)
		if err != nil {
			return nil, fault.Wrap(fault.GivenBack, "", fmt.Errorf("fetching %s: %w", spec, err))
		}
		in.URL = strings.TrimSuffix(spec, path.Base(spec))
		return in, o.parseDSC(in, path.Base(spec), text)
	case strings.HasSuffix(spec, ".dsc"):
		return in, o.readDSC(in, spec)
	}
	st, err := os.Stat(spec)
	switch {
	case err == nil && st.IsDir():
		if in.From, err = sourceDir(spec); err != nil {
			return nil, fault.Wrap(fault.GivenBack, "", err)
		}
		if in.Tree, err = dsc.OpenTree(in.From); err != nil {
			return nil, fault.Wrap(fault.GivenBack, "", err)
		}
		return in, checkUpstream(in.Tree)
	case err == nil:
		return nil,
			fault.New(fault.Usage,
				"give a .dsc, a source directory, a URL of a .dsc, or a package name",
				"%s is no source package", spec)
	}
	name, suite, ok := strings.Cut(spec, "/")
	if ok {
		if _, err := o.Suites.Lookup(suite); err != nil || name == "" ||
			strings.HasPrefix(name, ".") {
			return nil, fault.New(fault.Usage, "", "%s: no such file or directory", spec)
		}
	}
	in.Name, in.Suite = name, suite
	return in, nil
}

// sourceDir is what a source directory is read by: its own name, or what a link of that name leads
// to.
func sourceDir(name string) (string, error) {
	st, err := os.Lstat(name)
	if err != nil || st.Mode()&fs.ModeSymlink == 0 {
		return name, err
	}
	return Resolved(name)
}

// note keeps a line for the log, which is not open yet.
func (in *Source) note(format string, args ...any) {
	in.Notes = append(in.Notes, fmt.Sprintf(format, args...))
}

func (o *Opener) readDSC(in *Source, file string) error {
	f, err := regular.Open(file)
	if err != nil {
		hint := ""
		if errors.Is(err, fs.ErrNotExist) {
			hint = "give the path of an existing .dsc, or a package name to have it fetched"
		}
		return fault.Wrap(fault.GivenBack, hint, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, MaxDSC+1))
	if err != nil {
		return fault.Wrap(fault.GivenBack, "", err)
	}
	if len(text) > MaxDSC {
		return fault.New(fault.GivenBack, "", "%s is larger than any .dsc (%d bytes)", file, MaxDSC)
	}
	in.Dir = filepath.Dir(file)
	if err := o.parseDSC(in, file, text); err != nil {
		return err
	}
	return in.DSC.Present(in.Dir)
}

func (o *Opener) parseDSC(in *Source, name string, text []byte) error {
	var err error
	in.Text = text
	in.DSC, err = dsc.Parse(name, bytes.NewReader(text), keyrings())
	return fault.Wrap(fault.GivenBack, "", err)
}

// Identity tells what is built, as far as it is known.
func (in *Source) Identity() (name, version string) {
	switch {
	case in.DSC != nil:
		return in.DSC.Name, in.DSC.Version.String()
	case in.Tree != nil:
		return in.Tree.Name, in.Tree.Version.String()
	}
	name, version, _ = strings.Cut(in.Name, "=")
	return name, version
}

// Distributions are what a directory's changelog says of the suite to build for: that of its newest
// entry, or where that is not released those of older ones, the newest first.
func (in *Source) Distributions() (all []string, unreleased bool) {
	switch {
	case in.Tree == nil:
		return nil, false
	case in.Tree.Changelog.Unreleased():
		return in.Tree.Released, true
	case in.Tree.Changelog.Distribution() == "":
		return nil, false
	}
	return []string{in.Tree.Changelog.Distribution()}, false
}

// Fetch brings a package that was asked for by name, and the files of a .dsc that was asked for by
// URL, into a directory of the cache.
func (o *Opener) Fetch(ctx context.Context, in *Source, releases []*release.File) error {
	if in.Name == "" && in.URL == "" {
		return nil
	}
	dir, err := o.Work.Make("fetch-")
	if err != nil {
		return fmt.Errorf("fetching %s: %w", in.Spec, err)
	}
	in.temp, in.urls = func() error { return os.RemoveAll(dir) }, map[string]string{}
	if in.Name != "" {
		found, err := o.Client.FindSource(ctx, releases, in.Name)
		if err != nil {
			return fault.Wrap(fault.GivenBack, "", err)
		}
		for _, f := range found.Files {
			in.urls[f.Name] = found.URL(f.Name)
		}
		file, err := o.Client.FetchSource(ctx, found, dir)
		if err != nil {
			return fault.Wrap(fault.GivenBack, "", err)
		}
		return o.readDSC(in, file)
	}
	in.Dir = dir
	for _, f := range in.DSC.Files {
		in.urls[f.Name] = in.URL + f.Name
		want := fetch.File{URL: in.URL + f.Name, Size: f.Size, Weak: f.SHA256 == "" &&
			f.SHA512 == "",
			Hashes: hashes.Set{MD5: f.MD5, SHA1: f.SHA1, SHA256: f.SHA256, SHA512: f.SHA512}}
		if err := o.Client.Fetch(ctx, want, filepath.Join(dir, f.Name)); err != nil {
			return fault.Wrap(fault.GivenBack, "", err)
		}
	}
	return nil
}

// Directory is the source directory; of another kind of source, the current directory.
func (in *Source) Directory() (string, error) {
	if in.Tree != nil {
		return Resolved(in.From)
	}
	return os.Getwd()
}

// Architectures are those that it builds for.
func (in *Source) Architectures() []string {
	if in.Tree != nil {
		return in.Tree.Control.Architecture()
	}
	return in.DSC.Architecture
}

// tell says that something of it is not as one may expect, at once and in the build's log.
func (in *Source) tell(log logrus.FieldLogger, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	log.Warn(text)
	in.note("%s", text)
}

// Close deletes what was fetched.
func (in *Source) Close() error {
	if in.temp == nil {
		return nil
	}
	return in.temp()
}

// keyrings are the keys that a source's signature is looked up in.
func keyrings() dsc.Keyrings {
	home, err := os.UserHomeDir()
	if err != nil {
		home = "" // without a home there are none of the caller's
	}
	return dsc.HostKeyrings("/", home)
}
