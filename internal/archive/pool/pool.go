package pool

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"

	"github.com/sirupsen/logrus"
	"golang.org/x/sync/errgroup"

	"nsbuild/internal/archive/cache"
	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/fetch"
	"nsbuild/internal/archive/index"
)

// workers is how many files are fetched or verified at a time, whatever the number of mirrors; each
// mirror has its own, lower bound (fetch.Options.Parallel).
const workers = 8

// Pool is the packages' files: fetched, verified, and kept in a cache.
type Pool struct {
	Copies *Copies // their recompressed copies
	cache  *cache.Cache
	fetch  *fetch.Fetcher
}

// New keeps packages' files in a cache.
func New(store *cache.Cache, fetcher *fetch.Fetcher, log logrus.FieldLogger) *Pool {
	return &Pool{Copies: &Copies{cache: store, log: log}, cache: store, fetch: fetcher}
}

// Debs has the packages' files in the cache and returns their paths. The files are the cache's:
// they must not be written to.
func (d *Pool) Debs(ctx context.Context, packages []*index.Package) (map[*index.Package]string,
	error) {
	out := make(map[*index.Package]string, len(packages))
	err := d.EachDeb(ctx, packages, func(p *index.Package, path string) error {
		out[p] = path
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// EachDeb has the packages' files in the cache and calls fn for each as soon as it is there and
// verified: one call at a time, in no particular order, while others are still being fetched.
// Fetching begins in the order of packages. An error of fn ends it and is returned as it is.
func (d *Pool) EachDeb(ctx context.Context, packages []*index.Package,
	fn func(p *index.Package, path string) error) error {
	return d.eachDeb(ctx, packages, 0, fn)
}

// EachCopy is EachDeb, but hands out a package's copy where there is one; the original then need
// not be there.
func (d *Pool) EachCopy(ctx context.Context, packages []*index.Package, form CopyForm,
	fn func(p *index.Package, path string) error) error {
	return d.eachDeb(ctx, packages, form, fn)
}

// eachDeb is EachDeb, with copies of the form for those that have one; 0 is for originals only.
func (d *Pool) eachDeb(ctx context.Context, packages []*index.Package, form CopyForm,
	fn func(p *index.Package, path string) error) error {
	seen := map[string]bool{}
	for _, p := range packages {
		path := d.debPath(p)
		if form != 0 && d.Copies.Has(p.Hashes.SHA256, form) {
			continue
		}
		if fi, err := os.Lstat(path); (err != nil || fi.Size() != p.Size) && !seen[path] {
			seen[path] = true
			d.fetch.Tell(ctx, fetch.Progress{What: cache.Debs, Name: p.String(), Total: p.Size})
		}
	}
	type ready struct {
		p    *index.Package
		path string
	}
	done := make(chan ready)
	work, stop := context.WithCancel(ctx)
	defer stop()
	group, work := errgroup.WithContext(work)
	group.SetLimit(workers)
	var failed error
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		defer close(done)
		for _, p := range packages {
			if work.Err() != nil {
				break
			}
			group.Go(func() error {
				path := ""
				if form != 0 {
					path = d.Copies.Find(p, form)
				}
				if path == "" {
					var err error
					if path, err = d.deb(work, p); err != nil {
						return failure.WithHint(err)
					}
				}
				select {
				case done <- ready{p, path}:
					return nil
				case <-work.Done():
					return context.Cause(work)
				}
			})
		}
		failed = group.Wait()
	}()
	for r := range done {
		if err := fn(r.p, r.path); err != nil {
			stop()
			for range done { // those on their way see that work is over
			}
			<-finished
			return err
		}
	}
	<-finished
	return cmp.Or(context.Cause(ctx), failed)
}

// debPath is where a package's file belongs in the cache; "" when its index gives no digest that
// counts.
func (d *Pool) debPath(p *index.Package) string {
	digest, _ := p.Hashes.Strongest(p.Repo.Quirks.WeakHashes)
	if digest == "" {
		return ""
	}
	return d.cache.Place(cache.Debs, digest, ".deb")
}

func (d *Pool) deb(ctx context.Context, p *index.Package) (string, error) {
	b := fetch.Blob{
		Kind: cache.Debs, Ext: ".deb", What: cache.Debs, URLs: []string{p.URL()},
		Content: cache.Content{Name: p.String(), Size: p.Size, Hashes: p.Hashes,
			Weak: p.Repo.Quirks.WeakHashes},
	}
	for _, r := range p.Also {
		b.URLs = append(b.URLs, p.URLIn(r))
	}
	if p.Locked {
		b.By = "the lock file"
	}
	path, err := d.fetch.ObtainAgain(ctx, b)
	if err != nil {
		return "", fmt.Errorf("package %s: %w", p, err)
	}
	return path, nil
}

// DebSHA256 is the SHA-256 of a package's file, in hex: what its index says, or else that of the
// file, which is then fetched and verified by what the index does say.
func (d *Pool) DebSHA256(ctx context.Context, p *index.Package) (string, error) {
	if p.Hashes.SHA256 != "" {
		return p.Hashes.SHA256, nil
	}
	path, err := d.deb(ctx, p)
	if err != nil {
		return "", failure.WithHint(err)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("cache: %w", err)
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", fmt.Errorf("cache: %w", err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
