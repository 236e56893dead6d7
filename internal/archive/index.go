package archive

import (
	"cmp"
	"compress/bzip2"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/sirupsen/logrus"
	"golang.org/x/sync/errgroup"

	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/hashes"
	"nsbuild/internal/xz"
)

// fastLink is the speed in bytes per second from which the larger, but five times more quickly
// unpacked gz is preferred to xz: 50 MB of Packages are 8.8 MB as xz and take 0.69 s to unpack,
// 12.1 MB and 0.14 s as gz; the two are even at 6 MB/s.
const fastLink = 8 << 20

// Indices are the lists of packages and of sources of suites, verified and read.
type Indices struct {
	releases *ReleaseFiles
	cache    *cache
	fetch    *fetcher
	log      logrus.FieldLogger
	offline  bool
	byHash   string // the host's Acquire::By-Hash
}

// Index returns the path of an index file, such as "main/binary-amd64/Packages", in the cache:
// uncompressed and verified. It is fetched in whichever compression the mirror has, by its hash
// where the suite offers that. When the file is not what the Release file says, the mirror may just
// have been changed: then the Release file is fetched again, once.
func (x *Indices) Index(ctx context.Context, r *Release, name string) (string, error) {
	st := r.state()
	p, err := x.index(ctx, r.repo, st, name)
	if (!x.offline || onDisk(r.repo.URI)) &&
		(errors.Is(err, failure.ErrHash) || errors.Is(err, failure.ErrSize) ||
			errors.Is(err, failure.ErrNotFound)) {
		x.log.Debugf("%s: %v: asking for the Release file again", r.repo, err)
		fresh, err2 := x.releases.release(ctx, r.repo, true)
		if err2 != nil {
			return "", failure.WithHint(fmt.Errorf("%s: %w, and then: %w", r.repo, err, err2))
		}
		if fresh.digest != st.digest {
			r.update(fresh)
			p, err = x.index(ctx, r.repo, fresh, name)
		}
	}
	if err != nil {
		return "", failure.WithHint(fmt.Errorf("%s: %w", r.repo, err))
	}
	return p, nil
}

// Prefetch has the Packages files of several suites, in their components, in the cache, all at
// once: what Packages and AptLists then read. Those that a suite does not list are left out.
func (x *Indices) Prefetch(ctx context.Context, releases []*Release, archs ...string) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, r := range releases {
		for _, name := range packagesNames(r.repo, r.state(), r.repo.Components, archs) {
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

func (x *Indices) index(ctx context.Context, repo Repo, st *releaseState, name string) (
	string, error) {
	plain, hasPlain := st.files[name]
	order := variants
	if x.fetch.rate.Load() >= fastLink || onDisk(repo.URI) {
		order = []string{".zst", ".gz", ".xz", ".bz2", ""}
	}
	weak := repo.Quirks.WeakHashes
	if hasPlain {
		b := content{name: name, size: plain.size, hashes: plain.hashes, weak: weak}
		digest, _ := plain.hashes.Strongest(weak)
		if digest == "" {
			return "", fmt.Errorf("%s: %w", name, failure.ErrWeakHash)
		}
		p := x.cache.place(dirLists, digest, "")
		if ok, err := x.cache.intact(p, b); ok || err != nil {
			return p, err
		}
	}
	if st.weakOnly {
		return "",
			failure.WithHint(fmt.Errorf("%s: %w: the Release file has MD5 and SHA-1 only", name,
				failure.ErrWeakHash))
	}
	missing := fmt.Errorf("%s: %w", name, failure.ErrNoIndex)
	for _, ext := range order {
		f, ok := st.files[name+ext]
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
			st.fields["components"], st.fields["architectures"]), "%w", missing)
	}
	return "", missing
}

// variant fetches one compression of an index and unpacks it.
func (x *Indices) variant(ctx context.Context, repo Repo, st *releaseState, name, ext string,
	f indexFile) (string, error) {
	b := blob{
		content: content{name: name + ext, size: f.size, hashes: f.hashes,
			weak: repo.Quirks.WeakHashes},
		kind: dirLists, what: dirLists,
		urls: []string{repo.dist() + name + ext},
	}
	byHash := repo.options.byHash
	if byHash == "" {
		byHash = x.byHash
	}
	if st.byHash && aptBool(byHash, true) || byHash == "force" {
		b.urls = slices.Insert(b.urls, 0, repo.dist()+path.Join(path.Dir(name), "by-hash",
			f.hashes.ByHash()))
	}
	digest, _ := f.hashes.Strongest(b.weak)
	if digest == "" {
		return "", fmt.Errorf("%s: %w", b.name, failure.ErrWeakHash)
	}
	if ext == "" {
		return x.obtainList(ctx, b)
	}
	plain, hasPlain := st.files[name]
	// where the Release file vouches for the packed form only, what it unpacked to is noted
	note := x.cache.place(dirLists, digest, ".plain")
	have := func() (string, error) {
		h, size := plain.hashes, plain.size
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
		want, _ := h.Strongest(b.weak)
		p := x.cache.place(dirLists, want, "")
		if ok, err := x.cache.intact(p, content{name: name, hashes: h, size: size,
			weak: b.weak}); !ok || err != nil {
			return "", err
		}
		return p, nil
	}
	finish := func(part *os.File) (string, error) {
		want := content{name: name, size: plain.size, hashes: plain.hashes, weak: b.weak}
		limit := plain.size
		if !hasPlain {
			want.size, limit = -1, f.size*200+1<<20
		}
		p, err := x.cache.unpack(part, ext, limit, want)
		if err == nil && !hasPlain {
			err = x.cache.writeAside(note, []byte(path.Base(p)))
		}
		return p, cmp.Or(err, os.Remove(part.Name()))
	}
	x.fetch.tell(ctx, Progress{What: dirLists, Name: b.name, Total: f.size})
	p, err := x.fetch.obtainWith(ctx, b, digest, have, finish)
	if err != nil {
		x.fetch.tell(ctx, Progress{What: dirLists, Name: b.name, Total: -f.size})
	}
	return p, err
}

// obtainList is obtain for an index that is not packed.
func (x *Indices) obtainList(ctx context.Context, b blob) (string, error) {
	x.fetch.tell(ctx, Progress{What: dirLists, Name: b.name, Total: b.size})
	p, err := x.fetch.obtain(ctx, b)
	if err != nil {
		x.fetch.tell(ctx, Progress{What: dirLists, Name: b.name, Total: -b.size})
	}
	return p, err
}

// unpack decompresses a file into the cache, at most limit bytes, and verifies it where it is known
// what it must be.
func (c *cache) unpack(in *os.File, ext string, limit int64, want content) (string, error) {
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	from, closeReader, err := decompress(in, ext)
	if err != nil {
		return "", fmt.Errorf("%s%s: %w: %w", want.name, ext, failure.ErrSyntax, err)
	}
	defer closeReader()
	out, err := c.scratch()
	if err != nil {
		return "", err
	}
	defer func() {
		_ = os.Remove(out.Name()) // fails after the rename, as it should
		_ = out.Close()           // what was written is verified by reading it again
	}()
	digest, sum := want.hashes.Strongest(want.weak)
	if sum == nil {
		_, sum = hashes.Set{SHA256: "-"}.Strongest(false)
	}
	w := &errWriter{w: io.MultiWriter(out, sum)}
	n, err := io.CopyBuffer(w, io.LimitReader(from, limit+1), make([]byte, 256<<10))
	switch {
	case w.err != nil:
		return "", failure.OnDisk(c.dir, fmt.Errorf("%s: %w", want.name, w.err))
	case n > limit:
		return "", fmt.Errorf("%s%s: %w: it unpacks to more than %d bytes", want.name, ext,
			failure.ErrSize, limit)
	case err != nil:
		return "", fmt.Errorf("%s%s: %w: %w", want.name, ext, failure.ErrSyntax, err)
	case want.size >= 0 && n != want.size:
		return "", fmt.Errorf("%s%s: %w: it unpacks to %d bytes, the signed index says %d",
			want.name, ext, failure.ErrSize, n, want.size)
	}
	got := fmt.Sprintf("%x", sum.Sum(nil))
	if digest != "" && got != digest {
		return "", fmt.Errorf("%s%s: %w: it unpacks to %s, the signed index says %s", want.name,
			ext, failure.ErrHash, got, digest)
	}
	p := c.place(dirLists, got, "")
	return p, failure.OnDisk(c.dir, c.publish(out, p))
}

// errWriter remembers whether it was the writing that failed.
type errWriter struct {
	w   io.Writer
	err error
}

func (w *errWriter) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	if err != nil {
		w.err = err
	}
	return n, err
}

// maxWindow is the largest window that an index may be packed with, in bytes: that of xz -9.
const maxWindow = 64 << 20

// decompress reads one of the variants.
func decompress(r io.Reader, ext string) (io.Reader, func(), error) {
	nothing := func() {}
	switch ext {
	case ".xz":
		x, err := xz.NewReader(r, maxWindow)
		return x, nothing, err
	case ".gz":
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, nothing, err
		}
		return z, func() { _ = z.Close() }, nil // an error of its stream has come with Read
	case ".zst":
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, nothing, err
		}
		return z, z.Close, nil
	case ".bz2":
		return bzip2.NewReader(r), nothing, nil
	case "":
		return r, nothing, nil
	}
	return nil, nothing, fmt.Errorf("%s: %w", ext, failure.ErrUnsupported)
}
