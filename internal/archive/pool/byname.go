package pool

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/cache"
	"nsbuild/internal/archive/hashes"
	"nsbuild/internal/archive/index"
	"nsbuild/internal/deb"
)

// CachedOrigin is the repository of packages that are known by the cache alone.
const CachedOrigin = "file:/nonexistent/cache"

// Cached finds packages by their names in the cache, whatever suite they came from: only what was
// verified, or is the caller's own, is there. Their files are verified when they are used.
func (d *Pool) Cached(ctx context.Context, called map[string]bool) ([]*index.Package, error) {
	files, err := filepath.Glob(filepath.Join(d.cache.Dir(cache.Debs), "??", "*.deb"))
	if err != nil {
		return nil, err
	}
	repo := &aptconf.Repo{URI: CachedOrigin, Suite: "./"}
	var mu sync.Mutex
	var found []*index.Package
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for _, file := range files {
		group.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			p := cachedPackage(file, called)
			if p == nil {
				return nil
			}
			p.Repo = repo
			mu.Lock()
			defer mu.Unlock()
			found = append(found, p)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	slices.SortFunc(found, func(a, b *index.Package) int {
		return strings.Compare(a.String()+a.Hashes.SHA256, b.String()+b.Hashes.SHA256)
	})
	return found, nil
}

// cachedPackage is what a file of the cache says of itself, nil where that is not asked for. A file
// that cannot be read is none: it would be fetched again.
func cachedPackage(file string, called map[string]bool) *index.Package {
	digest := strings.TrimSuffix(filepath.Base(file), ".deb")
	if len(digest) != 64 { // it is known by a weaker digest
		return nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil
	}
	r, err := deb.NewReader(f, deb.Limits{Control: 16 << 20})
	if err != nil {
		return nil
	}
	defer r.Close()
	control := r.ControlFile("control").Body
	if name, ok := bytes.CutPrefix(control, []byte("Package: ")); ok {
		name, _, _ = bytes.Cut(name, []byte("\n"))
		if !called[strings.TrimSpace(string(name))] {
			return nil
		}
	}
	text, err := indexable(control)
	if err != nil {
		return nil
	}
	s := index.Scan(bytes.NewReader(append(text, "\nFilename: ./x.deb\nSize: 1\nSHA256: "+
		digest+"\n"...)))
	if !s.Next() {
		return nil
	}
	p, err := index.ParsePackage(s)
	if err != nil || !called[p.Package] {
		return nil
	}
	p.Size, p.Hashes = st.Size(), hashes.Set{SHA256: digest}
	p.Filename = SafeName(p.String() + ".deb")
	return p
}
