package index

import (
	"context"
	"errors"
	"strings"
	"time"

	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/release"
)

// ListFile is a verified file of the cache, and the name apt wants it under in its lists directory
// (/var/lib/apt/lists).
type ListFile struct {
	Name    string
	Path    string    // never to be written to: it is the cache's
	ModTime time.Time // part of what apt's binary cache goes by
}

// AptLists names the lists of a suite as the apt in a jail has to find them: its InRelease, or
// Release and Release.gpg, and the Packages files of the components and architectures ("all" is
// added where it has an index of its own). uri is the archive's URI as it stands in the jail's
// sources.list, "" for the one it was fetched from. Components or architectures that the suite does
// not list are left out, as apt does.
//
// apt sets a list's time to the server's Last-Modified. A mirror that gives none gets the Release
// file's Date instead, so that equal lists have equal times.
func (x *Indices) AptLists(ctx context.Context, r *release.File, components, archs []string,
	uri string) (
	[]ListFile, error) {
	for {
		st := r.State()
		out, err := x.aptLists(ctx, r, st, components, archs, uri)
		if err != nil {
			return nil, err
		}
		if r.State() == st { // otherwise the mirror changed meanwhile
			return out, nil
		}
	}
}

func (x *Indices) aptLists(ctx context.Context, r *release.File, st *release.State, components,
	archs []string, uri string) ([]ListFile, error) {
	repo := r.Repo()
	if uri != "" {
		repo.URI = strings.TrimRight(uri, "/")
	}
	when := st.Modified()
	if when.IsZero() {
		when = st.Date()
	}
	var out []ListFile
	for _, p := range st.Stored() {
		out = append(out, ListFile{Name: aptconf.ListName(repo.AptDist() + p.Name), Path: p.Path,
			ModTime: when})
	}
	for _, name := range packagesNames(repo, st, components, archs) {
		path, err := x.Index(ctx, r, name)
		if errors.Is(err, failure.ErrNoIndex) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, ListFile{Name: aptconf.ListName(repo.AptDist() + name), Path: path,
			ModTime: st.Date()})
	}
	return out, nil
}
