package archive

import (
	"context"
	"errors"
	"fmt"
	neturl "net/url"
	"strings"
	"time"

	"nsbuild/internal/archive/failure"
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
func (x *Indices) AptLists(ctx context.Context, r *Release, components, archs []string,
	uri string) (
	[]ListFile, error) {
	for {
		st := r.state()
		out, err := x.aptLists(ctx, r, st, components, archs, uri)
		if err != nil {
			return nil, err
		}
		if r.state() == st { // otherwise the mirror changed meanwhile
			return out, nil
		}
	}
}

func (x *Indices) aptLists(ctx context.Context, r *Release, st *releaseState, components,
	archs []string, uri string) ([]ListFile, error) {
	repo := r.repo
	if uri != "" {
		repo.URI = strings.TrimRight(uri, "/")
	}
	when := st.modified
	if when.IsZero() {
		when = st.date
	}
	var out []ListFile
	for _, p := range st.paths {
		out = append(out, ListFile{Name: listName(repo.AptDist() + p.name), Path: p.path,
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
		out = append(out, ListFile{Name: listName(repo.AptDist() + name), Path: path,
			ModTime: st.date})
	}
	return out, nil
}

// listName turns a URL into the name apt gives to what it downloaded from there: without scheme,
// login and the brackets of an IPv6 address, percent signs resolved, then what is special quoted as
// %xx and slashes made underscores.
func listName(url string) string {
	_, rest, ok := strings.Cut(url, ":")
	if !ok {
		rest = url
	}
	if r, ok := strings.CutPrefix(rest, "//"); ok {
		host, path, _ := strings.Cut(r, "/")
		host = strings.NewReplacer("[", "", "]", "").Replace(
			host[strings.LastIndexByte(host, '@')+1:])
		rest = host + "/" + path
	}
	if plain, err := neturl.PathUnescape(rest); err == nil {
		rest = plain
	}
	var out strings.Builder
	for _, ch := range []byte(rest) {
		switch {
		case ch == '/':
			out.WriteByte('_')
		case ch <= ' ' || ch >= 0x7f || strings.IndexByte(`\|{}[]<>"^~_=!@#$%^&*`, ch) >= 0:
			fmt.Fprintf(&out, "%%%02x", ch)
		default:
			out.WriteByte(ch)
		}
	}
	return out.String()
}
