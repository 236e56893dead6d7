package deps

import (
	"context"
	"slices"

	"nsbuild/internal/apt"
	"nsbuild/internal/archive"
	"nsbuild/internal/archive/release"
	"nsbuild/internal/install"
)

// Sources are what apt may install from in a jail, besides what the extra ones have.
func Sources(ctx context.Context, client *archive.Client, archs []string, extra Extra,
	releases []*release.File) ([]apt.Source, error) {
	sources, err := install.Sources(ctx, client, slices.Concat(extra.Releases, releases), archs...)
	if extra.Local != nil && err == nil {
		// first, so that apt takes them where an archive has the same version
		sources = slices.Insert(sources, 0, install.LocalSource(extra.Local))
	}
	return sources, err
}

// archs are the architectures that apt may install packages of.
func (r *Request) archs() []string {
	if r.cross() {
		return []string{r.Arch, r.Host}
	}
	return []string{r.Arch}
}
