package release

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/fetch"
)

// fetchRelease asks the mirror. With cached it asks for news only; the data are then nil if there
// are none.
func (rs *Files) fetchRelease(ctx context.Context, repo aptconf.Repo,
	cached *cachedFile) (*rawFile, error) {
	names := [][]string{{"InRelease"}, {"Release", "Release.gpg"}}
	if repo.Quirks.NoInRelease {
		names = names[1:]
	}
	elsewhere := repo.InRelease()
	if elsewhere != "" { // apt looks for nothing else then
		names = names[:1]
	}
	var last error
	for _, set := range names {
		raw := &rawFile{cachedFile: cachedFile{Names: set}}
		r := fetch.Request{URL: repo.Dist() + cmp.Or(elsewhere, set[0]), Fresh: true}
		if cached != nil && cached.Names[0] == set[0] {
			r.ETag, r.Since = cached.ETag, cached.Modified
		}
		data, a, err := rs.fetch.Read(ctx, r, maxRelease)
		if errors.Is(err, failure.ErrNotFound) || errors.Is(err, failure.ErrRefused) {
			// some mirrors refuse what they do not have
			if last == nil || errors.Is(err, failure.ErrNotFound) {
				last = err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		if a.NotModified {
			raw.cachedFile = *cached
			return raw, nil
		}
		raw.ETag, raw.Modified = a.ETag, a.LastModified
		raw.add(data)
		for _, name := range set[1:] {
			data, _, err := rs.fetch.Read(ctx, fetch.Request{URL: repo.Dist() + name, Fresh: true},
				maxRelease)
			if errors.Is(err, failure.ErrNotFound) {
				if repo.Trusted {
					raw.Names = set[:1]
					break
				}
				if repo.AllowsInsecure() {
					return nil, insecure(fmt.Errorf("%w: it has Release alone",
						failure.ErrNoSignature))
				}
				return nil, fmt.Errorf("%w: it has Release, but neither InRelease nor Release.gpg",
					failure.ErrNoSignature)
			}
			if err != nil {
				return nil, err
			}
			raw.add(data)
		}
		return raw, nil
	}
	switch {
	case !errors.Is(last, failure.ErrNotFound):
		return nil, last
	case repo.AllowsInsecure() && !repo.Trusted:
		return nil, insecure(fmt.Errorf("%w: %w", failure.ErrNoSuite, last))
	case repo.Flat() && !repo.Trusted:
		return nil,
			failure.New(
				"a repository without a Release file is read where its line has [trusted=yes]",
				"%w: it has no Release file: %w", failure.ErrNoSuite, last)
	}
	return nil, fmt.Errorf("%w: %w", failure.ErrNoSuite, last)
}

// insecure says what allow-insecure is worth where nobody can be asked.
func insecure(err error) error {
	return failure.New("[trusted=yes] in its line has packages installed without a question",
		"%w: [allow-insecure=yes] has apt read the repository, but install from it only when "+
			"asked, and here nobody is", err)
}
