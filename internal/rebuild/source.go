package rebuild

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"nsbuild/internal/archive/cache"
	"nsbuild/internal/archive/fetch"
	"nsbuild/internal/archive/hashes"
	"nsbuild/internal/archive/pool"
	"nsbuild/internal/archive/release"
	"nsbuild/internal/buildinfo"
	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
	"nsbuild/internal/regular"
)

// maxDSC bounds a .dsc, in bytes.
const maxDSC = 4 << 20

// sourceOf is the source package of a build: its .dsc, and where that was found.
type sourceOf struct {
	file string
	from string
}

// dscName is the name of the .dsc of a build's source.
func dscName(b *buildinfo.Build) string { return dsc.PkgVer(b.Source, b.SourceVersion) + ".dsc" }

// sourceGiven takes the .dsc that the user names, or that lies beside the .buildinfo.
func (w *run) sourceGiven() (*sourceOf, error) {
	file := w.Source
	if st, err := os.Stat(file); err == nil && st.IsDir() {
		file = filepath.Join(file, dscName(w.info))
	}
	if file == "" {
		file = filepath.Join(filepath.Dir(w.File), dscName(w.info))
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
	}
	d, err := dsc.Open(file, nil)
	if err == nil {
		err = d.Present(filepath.Dir(file))
	}
	if err != nil {
		if w.Source == "" {
			w.find.note("the source beside the .buildinfo is not used: %v", err)
			return nil, nil
		}
		return nil, fault.Wrap(fault.Usage, "", err)
	}
	if err := w.isSource(d); err != nil {
		if w.Source == "" {
			w.find.note("the source beside the .buildinfo is not used: %v", err)
			return nil, nil
		}
		return nil, fault.Wrap(fault.Usage, "give the .dsc of that version", err)
	}
	return &sourceOf{file, file}, nil
}

// isSource refuses the .dsc of another source, and one that is not the one that the .buildinfo
// lists.
func (w *run) isSource(d *dsc.Source) error {
	if d.Name != w.info.Source || d.Version.Compare(w.info.SourceVersion) != 0 {
		return fmt.Errorf("%s is of %s %s, and %s of %s %s", d.Path, d.Name, d.Version, w.File,
			w.info.Source, w.info.SourceVersion)
	}
	return nil
}

// sourceCached looks for the source among the files of the cache.
func (w *run) sourceCached(ctx context.Context) (*sourceOf, error) {
	client := w.env.Client
	files, err := filepath.Glob(filepath.Join(client.Cache.Dir(cache.Sources), "??", "*"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		st, err := os.Stat(file)
		if err != nil || st.Size() > maxDSC || !beginsAsDSC(file) {
			continue
		}
		text, err := regular.ReadFile(file, maxDSC)
		if err != nil || !bytes.Contains(text, []byte("\nSource: "+w.info.Source+"\n")) {
			continue
		}
		d, err := dsc.Parse(dscName(w.info), bytes.NewReader(text), nil)
		if err != nil || w.isSource(d) != nil {
			continue
		}
		dir, err := w.env.Work.Make("source-")
		if err != nil {
			return nil, err
		}
		if err := w.takeCached(ctx, d, dir); err != nil {
			w.find.note("%s: the cache has its .dsc, and not all of its files: %v", d.Name, err)
			continue
		}
		into := filepath.Join(dir, dscName(w.info))
		if err := os.WriteFile(into, text, 0o644); err != nil {
			return nil, err
		}
		return &sourceOf{into, "the cache"}, nil
	}
	return nil, nil
}

// beginsAsDSC tells whether a file may be a .dsc.
func beginsAsDSC(file string) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	var head [16]byte
	n, _ := f.Read(head[:])
	return bytes.HasPrefix(head[:n], []byte("Format:")) ||
		bytes.HasPrefix(head[:n], []byte("-----BEGIN PGP S"))
}

func (w *run) takeCached(ctx context.Context, d *dsc.Source, dir string) error {
	for _, f := range d.Files {
		want := fetch.File{URL: pool.CachedOrigin + "/" + f.Name, Size: f.Size,
			Hashes: hashes.Set{MD5: f.MD5, SHA1: f.SHA1, SHA256: f.SHA256, SHA512: f.SHA512}}
		if err := w.env.Client.Fetch(ctx, want, filepath.Join(dir, f.Name)); err != nil {
			return err
		}
	}
	return nil
}

// sourceIn looks for the source in suites.
func (w *run) sourceIn(ctx context.Context, releases []*release.File) (*sourceOf, error) {
	spec := w.info.Source + "=" + w.info.SourceVersion.String()
	for _, suite := range releases {
		found, err := w.env.Client.FindSource(ctx, []*release.File{suite}, spec)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			continue
		}
		dir, err := w.env.Work.Make("source-")
		if err != nil {
			return nil, err
		}
		file, err := w.env.Client.FetchSource(ctx, found, dir)
		if err != nil {
			w.find.note("%v", err)
			continue
		}
		return &sourceOf{file, suite.Repo().String()}, nil
	}
	return nil, nil
}

// checkHash notes a .dsc that is not the one which the .buildinfo lists, where it lists one. It is
// built all the same: whoever uploads a source signs it after the build.
func (w *run) checkHash(s *sourceOf) error {
	want, listed := w.info.Listed(dscName(w.info))
	if !listed {
		return nil
	}
	f, err := dsc.Dir(filepath.Dir(s.file))(filepath.Base(s.file))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := want.Check(f); err != nil {
		w.find.note("%s is not the .dsc that was built, by its hash (it may have been signed "+
			"since): %v", s.from, err)
	}
	return nil
}
