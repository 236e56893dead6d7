package index

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"

	"github.com/sirupsen/logrus"
	"golang.org/x/sync/errgroup"

	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/cache"
	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/fetch"
	"nsbuild/internal/archive/release"
)

// fastLink is the speed in bytes per second from which the larger, but five times more quickly
// unpacked gz is preferred to xz: 50 MB of Packages are 8.8 MB as xz and take 0.69 s to unpack,
// 12.1 MB and 0.14 s as gz; the two are even at 6 MB/s.
const fastLink = 8 << 20

// Options say how indices are fetched.
type Options struct {
	Log     logrus.FieldLogger
	Offline bool   // use what is cached, name what is missing
	ByHash  string // the host's Acquire::By-Hash
}

// Indices are the lists of packages and of sources of suites, verified and read.
type Indices struct {
	releases *release.Files
	cache    *cache.Cache
	fetch    *fetch.Fetcher
	log      logrus.FieldLogger
	offline  bool
	byHash   string
	names    sourceNames
}

// New keeps indices in a cache, as Release files say.
func New(releases *release.Files, store *cache.Cache, fetcher *fetch.Fetcher, o Options) *Indices {
	return &Indices{releases: releases, cache: store, fetch: fetcher, log: o.Log,
		offline: o.Offline, byHash: o.ByHash}
}

// Index returns the path of an index file, such as "main/binary-amd64/Packages", in the cache:
// uncompressed and verified. It is fetched in whichever compression the mirror has, by its hash
// where the suite offers that. When the file is not what the Release file says, the mirror may just
// have been changed: then the Release file is fetched again, once.
func (x *Indices) Index(ctx context.Context, r *release.File, name string) (string, error) {
	repo, st := r.Repo(), r.State()
	p, err := x.index(ctx, repo, st, name)
	if (!x.offline || fetch.OnDisk(repo.URI)) &&
		(errors.Is(err, failure.ErrHash) || errors.Is(err, failure.ErrSize) ||
			errors.Is(err, failure.ErrNotFound)) {
		x.log.Debugf("%s: %v: asking for the Release file again", repo, err)
		fresh, err2 := x.releases.Refresh(ctx, r, st)
		if err2 != nil {
			return "", failure.WithHint(fmt.Errorf("%s: %w, and then: %w", repo, err, err2))
		}
		if fresh != st {
			p, err = x.index(ctx, repo, fresh, name)
		}
	}
	if err != nil {
		return "", failure.WithHint(fmt.Errorf("%s: %w", repo, err))
	}
	return p, nil
}

// Prefetch has the Packages files of several suites, in their components, in the cache, all at
// once: what Packages and AptLists then read. Those that a suite does not list are left out.
func (x *Indices) Prefetch(ctx context.Context, releases []*release.File, archs ...string) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, r := range releases {
		for _, name := range packagesNames(r.Repo(), r.State(), r.Repo().Components, archs) {
			group.Go(func() error {
				if _, err := x.Index(ctx, r, name); !errors.Is(err, failure.ErrNoIndex) {
					return err
				}
				return nil
			})
		}
	}
	return group.Wait()
}

// variants are the compressions we read, in the order of preference on a slow line.
var variants = []string{".xz", ".zst", ".gz", ".bz2", ""}

func (x *Indices) index(ctx context.Context, repo aptconf.Repo, st *release.State, name string) (
	string, error) {
	plain, hasPlain := st.Listed(name)
	order := variants
	if x.fetch.Speed() >= fastLink || fetch.OnDisk(repo.URI) {
		order = []string{".zst", ".gz", ".xz", ".bz2", ""}
	}
	weak := repo.Quirks.WeakHashes
	if hasPlain {
		b := cache.Content{Name: name, Size: plain.Size, Hashes: plain.Hashes, Weak: weak}
		digest, _ := plain.Hashes.Strongest(weak)
		if digest == "" {
			return "", fmt.Errorf("%s: %w", name, failure.ErrWeakHash)
		}
		p := x.cache.Place(cache.Lists, digest, "")
		if ok, err := x.cache.Intact(p, b); ok || err != nil {
			return p, err
		}
	}
	if st.WeakOnly() {
		return "",
			failure.WithHint(fmt.Errorf("%s: %w: the Release file has MD5 and SHA-1 only", name,
				failure.ErrWeakHash))
	}
	missing := fmt.Errorf("%s: %w", name, failure.ErrNoIndex)
	for _, ext := range order {
		f, ok := st.Listed(name + ext)
		if !ok {
			continue
		}
		p, err := x.variant(ctx, repo, st, name, ext, f)
		if !errors.Is(err, failure.ErrNotFound) {
			return p, err
		}
		missing = err // a mirror need not have all that the Release file lists
	}
	if errors.Is(missing, failure.ErrNoIndex) {
		missing = failure.New(fmt.Sprintf("it has the components %s for the architectures %s",
			st.Field("components"), st.Field("architectures")), "%w", missing)
	}
	return "", missing
}

// variant fetches one compression of an index and unpacks it.
func (x *Indices) variant(ctx context.Context, repo aptconf.Repo, st *release.State, name,
	ext string, f release.Listed) (string, error) {
	b := fetch.Blob{
		Content: cache.Content{Name: name + ext, Size: f.Size, Hashes: f.Hashes,
			Weak: repo.Quirks.WeakHashes},
		Kind: cache.Lists, What: cache.Lists,
		URLs: []string{repo.Dist() + name + ext},
	}
	byHash := repo.ByHash()
	if byHash == "" {
		byHash = x.byHash
	}
	if st.ByHash() && aptconf.Bool(byHash, true) || byHash == "force" {
		b.URLs = slices.Insert(b.URLs, 0, repo.Dist()+path.Join(path.Dir(name), "by-hash",
			f.Hashes.ByHash()))
	}
	digest, _ := f.Hashes.Strongest(b.Weak)
	if digest == "" {
		return "", fmt.Errorf("%s: %w", b.Name, failure.ErrWeakHash)
	}
	if ext == "" {
		return x.obtainList(ctx, b)
	}
	plain, hasPlain := st.Listed(name)
	// where the Release file vouches for the packed form only, what it unpacked to is noted
	note := x.cache.Place(cache.Lists, digest, ".plain")
	have := func() (string, error) {
		h, size := plain.Hashes, plain.Size
		if !hasPlain {
			data, err := os.ReadFile(note)
			if errors.Is(err, fs.ErrNotExist) || err == nil && !h.Add("sha256", string(data)) {
				return "", nil
			}
			if err != nil {
				return "", fmt.Errorf("cache: %w", err)
			}
			size = -1
		}
		want, _ := h.Strongest(b.Weak)
		p := x.cache.Place(cache.Lists, want, "")
		if ok, err := x.cache.Intact(p, cache.Content{Name: name, Hashes: h, Size: size,
			Weak: b.Weak}); !ok || err != nil {
			return "", err
		}
		return p, nil
	}
	finish := func(part *os.File) (string, error) {
		want := cache.Content{Name: name, Size: plain.Size, Hashes: plain.Hashes, Weak: b.Weak}
		limit := plain.Size
		if !hasPlain {
			want.Size, limit = -1, f.Size*200+1<<20
		}
		p, err := x.cache.Unpack(part, ext, limit, want)
		if err == nil && !hasPlain {
			err = x.cache.WriteAside(note, []byte(path.Base(p)))
		}
		return p, cmp.Or(err, os.Remove(part.Name()))
	}
	x.fetch.Tell(ctx, fetch.Progress{What: cache.Lists, Name: b.Name, Total: f.Size})
	p, err := x.fetch.ObtainWith(ctx, b, digest, have, finish)
	if err != nil {
		x.fetch.Tell(ctx, fetch.Progress{What: cache.Lists, Name: b.Name, Total: -f.Size})
	}
	return p, err
}

// obtainList is obtain for an index that is not packed.
func (x *Indices) obtainList(ctx context.Context, b fetch.Blob) (string, error) {
	x.fetch.Tell(ctx, fetch.Progress{What: cache.Lists, Name: b.Name, Total: b.Size})
	p, err := x.fetch.Obtain(ctx, b)
	if err != nil {
		x.fetch.Tell(ctx, fetch.Progress{What: cache.Lists, Name: b.Name, Total: -b.Size})
	}
	return p, err
}
