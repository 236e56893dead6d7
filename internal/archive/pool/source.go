package pool

import (
	"context"
	"fmt"
	"path/filepath"

	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/fetch"
	"nsbuild/internal/archive/index"
)

// FetchSource fetches all files of a source package into a directory and returns the .dsc's path.
func (d *Pool) FetchSource(ctx context.Context, s *index.SourcePackage, dir string) (string,
	error) {
	dsc, ok := s.DSC()
	if !ok {
		return "",
			failure.WithHint(failure.Syntax("source package %s %s in %s lists no .dsc", s.Package,
				s.Version, s.Repo))
	}
	for _, f := range s.Files {
		file := fetch.File{URL: s.URL(f.Name), Size: f.Size, Hashes: f.Hashes,
			Weak: s.Repo.Quirks.WeakHashes}
		if err := d.fetch.Fetch(ctx, file, filepath.Join(dir, f.Name)); err != nil {
			return "", fmt.Errorf("source package %s %s: %w", s.Package, s.Version, err)
		}
	}
	return filepath.Join(dir, dsc.Name), nil
}
