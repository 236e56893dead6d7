// Package fetch downloads from mirrors into a cache: over HTTP with the host's proxies, logins and
// certificates, or from a disk.
//
// It tries again what may succeed, goes on where an earlier attempt has ended, and gives a file its
// name in the cache only when size and digest are those that it was told. Who vouches for these its
// callers know.
package fetch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"nsbuild/internal/archive/cache"
	"nsbuild/internal/archive/failure"
)

// Fetcher has files from mirrors in a cache.
type Fetcher struct {
	cache    *cache.Cache
	net      *transport
	log      logrus.FieldLogger
	offline  bool
	progress func(Progress)
	rate     atomic.Uint64 // bytes per second of the fastest larger transfer
}

// Options say how to fetch.
type Options struct {
	Host     Host // how the host's apt reaches mirrors
	Log      logrus.FieldLogger
	Offline  bool // use what is cached, name what is missing
	Timeout  time.Duration
	Retries  int // below 0: none
	Parallel int // transfers per host
	Progress func(Progress)
}

// New makes a fetcher into a cache.
func New(into *cache.Cache, o Options) *Fetcher {
	return &Fetcher{cache: into, log: o.Log, offline: o.Offline, progress: o.Progress,
		net: &transport{host: o.Host, timeout: o.Timeout, retries: max(0, o.Retries),
			parallel: o.Parallel}}
}

// Close ends open connections.
func (f *Fetcher) Close() { f.net.close() }

// Speed is that of the fastest of the larger transfers, in bytes per second; 0 when there was none.
func (f *Fetcher) Speed() uint64 { return f.rate.Load() }

// Into fetches a file of unknown digest into another, at most limit bytes. It returns its length,
// and its time on the mirror.
func (f *Fetcher) Into(ctx context.Context, url string, part *os.File, limit int64) (size int64,
	at time.Time, err error) {
	err = f.net.attempts(ctx, url, func() error {
		if _, err := part.Seek(0, io.SeekStart); err != nil {
			return err
		}
		if err := part.Truncate(0); err != nil {
			return err
		}
		a, err := f.net.open(ctx, Request{URL: url, Fresh: true})
		if err != nil {
			return err
		}
		defer a.body.Close()
		at = a.LastModified
		size, err = io.Copy(part, io.LimitReader(a.body, limit+1))
		if err == nil && size > limit {
			err = fmt.Errorf("%w: longer than %d bytes", failure.ErrSize, limit)
		}
		return err
	})
	if err != nil {
		err = fmt.Errorf("fetching %s: %w", failure.PublicURI(url), err)
	}
	return size, at, err
}

// Blob is a file to have in the cache.
type Blob struct {
	cache.Content
	Kind string // directory of the cache
	Ext  string // behind the digest in its name
	What string // for progress: the kind, unless said otherwise
	URLs []string
	By   string // what gives size and hashes: the signed index, unless said otherwise
}

const signedIndex = "the signed index"

// Obtain returns the path of a verified blob, from the cache or else from the first of its URLs
// that has it.
func (f *Fetcher) Obtain(ctx context.Context, b Blob) (string, error) {
	digest, _ := b.Hashes.Strongest(b.Weak)
	if digest == "" {
		return "", fmt.Errorf("%s: %w", b.Name, failure.ErrWeakHash)
	}
	path := f.cache.Place(b.Kind, digest, b.Ext)
	have := func() (string, error) {
		if ok, err := f.cache.Intact(path, b.Content); ok || err != nil {
			return path, err
		}
		return "", nil
	}
	return f.ObtainWith(ctx, b, digest, have, func(part *os.File) (string, error) {
		return path, f.cache.PublishOnce(part, path, b.Content)
	})
}

// cachedOnly is the key of what CachedOnly says.
type cachedOnly struct{}

// CachedOnly is a context in which nothing is downloaded: what is not in the cache is
// failure.ErrOffline.
func CachedOnly(ctx context.Context) context.Context {
	return context.WithValue(ctx, cachedOnly{}, true)
}

// ObtainWith downloads a blob unless have finds that there is already what finish would make of it.
// Only one process at a time does so for one digest. The errors of reading the cache are not among
// those of the mirror.
func (f *Fetcher) ObtainWith(ctx context.Context, b Blob, digest string,
	have func() (string, error), finish func(part *os.File) (string, error)) (string, error) {
	if path, err := have(); path != "" || err != nil {
		return path, err
	}
	if (f.offline || ctx.Value(cachedOnly{}) != nil) && !slices.ContainsFunc(b.URLs, OnDisk) {
		return "", fmt.Errorf("%s: %w", b.Name, failure.ErrOffline)
	}
	part, err := f.cache.LockPart(ctx, digest)
	if err != nil {
		return "", err
	}
	defer part.Close() // which gives up the lock
	if path, err := have(); path != "" || err != nil {
		// another process was quicker; what it left us is empty, and sweep would find it
		_ = os.Remove(part.Name())
		return path, err
	}
	if err := f.download(ctx, part, b); err != nil {
		err = f.cache.OnDisk(err)
		if st, statErr := part.Stat(); errors.Is(err, failure.ErrNoSpace) || statErr == nil &&
			st.Size() == 0 {
			// nothing in it to resume, or nothing to be gained by keeping the disk full
			_ = os.Remove(part.Name())
		}
		return "", err
	}
	path, err := finish(part)
	return path, f.cache.OnDisk(err)
}

// download fills part with the blob's content. A mismatch of the digest is tried once more from the
// start, in case it came from an earlier run's remains or a proxy.
func (f *Fetcher) download(ctx context.Context, part *os.File, b Blob) error {
	var err error
	for range 2 {
		for _, u := range b.URLs {
			if err = f.downloadFrom(ctx, part, b, u); !errors.Is(err, failure.ErrNotFound) {
				break
			}
		}
		if !errors.Is(err, failure.ErrHash) {
			break
		}
	}
	return err
}

func (f *Fetcher) downloadFrom(ctx context.Context, part *os.File, b Blob, url string) error {
	t := &transfer{f: f, part: part, b: b, url: url, tell: func(p Progress) { f.Tell(ctx, p) }}
	if err := t.adopt(); err != nil {
		return err
	}
	if err := f.net.attempts(ctx, b.Name, func() error { return t.once(ctx) }); err != nil {
		return fmt.Errorf("fetching %s: %w", failure.PublicURI(url), err)
	}
	want, _ := b.Hashes.Strongest(b.Weak)
	if got := fmt.Sprintf("%x", t.sum.Sum(nil)); got != want {
		if err := t.restart(); err != nil {
			return err
		}
		return fmt.Errorf("fetching %s: %w: it is %s, %s says %s", failure.PublicURI(url),
			failure.ErrHash, got, cmp.Or(b.By, signedIndex), want)
	}
	return nil
}

// transfer is one blob on its way into its part, with its digest kept along.
type transfer struct {
	f    *Fetcher
	part *os.File
	b    Blob
	url  string
	have int64
	tell func(Progress)
	sum  hash.Hash
}

// adopt takes what is already in the part.
func (t *transfer) adopt() error {
	_, t.sum = t.b.Hashes.Strongest(t.b.Weak)
	if _, err := t.part.Seek(0, io.SeekStart); err != nil {
		return err
	}
	n, err := io.Copy(t.sum, t.part)
	if err != nil {
		return err
	}
	t.have = n
	if t.b.Size >= 0 && n > t.b.Size {
		return t.restart()
	}
	t.report(n)
	return nil
}

func (t *transfer) report(n int64) {
	if n != 0 {
		t.tell(Progress{What: t.b.What, Name: t.b.Name, Done: n})
	}
}

// restart throws away what is in the part.
func (t *transfer) restart() error {
	t.report(-t.have)
	t.have = 0
	t.sum.Reset()
	if err := t.part.Truncate(0); err != nil {
		return err
	}
	_, err := t.part.Seek(0, io.SeekStart)
	return err
}

// once opens the URL where the part ends and copies until the end.
func (t *transfer) once(ctx context.Context) error {
	if t.have == t.b.Size {
		return nil
	}
	a, err := t.f.net.open(ctx, Request{URL: t.url, offset: t.have})
	var status *statusError
	if errors.As(err, &status) && status.status == 416 && t.have > 0 { // it cannot resume there
		if err := t.restart(); err != nil {
			return err
		}
		a, err = t.f.net.open(ctx, Request{URL: t.url})
	}
	if err != nil {
		return err
	}
	defer a.body.Close()
	if s, ok := a.body.(io.Seeker); ok && t.have > 0 { // a local file
		if a.offset, err = s.Seek(t.have, io.SeekStart); err != nil {
			return err
		}
	}
	if a.offset != t.have {
		if err := t.restart(); err != nil {
			return err
		}
	}
	if t.b.Size >= 0 && a.size >= 0 && a.size != t.b.Size {
		return fmt.Errorf("%w: it has %d bytes, %s says %d", failure.ErrSize, a.size,
			cmp.Or(t.b.By, signedIndex), t.b.Size)
	}
	return t.copy(a.body)
}

func (t *transfer) copy(from io.Reader) error {
	start, before := time.Now(), t.have
	limit := t.b.Size
	if limit < 0 {
		limit = math.MaxInt64 - 1
	}
	buf := make([]byte, 128<<10)
	for {
		n, err := from.Read(buf)
		if int64(n) > limit-t.have {
			if err := t.restart(); err != nil {
				return err
			}
			return fmt.Errorf("%w: it is longer than the %d bytes that %s says", failure.ErrSize,
				limit, cmp.Or(t.b.By, signedIndex))
		}
		if n > 0 {
			if _, err := t.part.Write(buf[:n]); err != nil {
				return err
			}
			t.sum.Write(buf[:n])
			t.have += int64(n)
			t.report(int64(n))
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if t.b.Size >= 0 && t.have < t.b.Size {
		return fmt.Errorf("%w: cut after %d of %d bytes", failure.ErrUnreachable, t.have, t.b.Size)
	}
	t.f.measure(t.have-before, time.Since(start))
	return nil
}

// measure remembers how fast the fastest of the larger transfers was: others share the line with
// their neighbours.
func (f *Fetcher) measure(n int64, took time.Duration) {
	if n < 64<<10 || took <= 0 {
		return
	}
	rate := uint64(float64(n) / took.Seconds())
	for old := f.rate.Load(); rate > old && !f.rate.CompareAndSwap(old, rate); old = f.rate.Load() {
	}
}

// Read fetches a file of unknown digest into memory.
func (f *Fetcher) Read(ctx context.Context, r Request, limit int64) ([]byte, *Answer, error) {
	var data []byte
	var a *Answer
	err := f.net.attempts(ctx, r.URL, func() (err error) {
		if a, err = f.net.open(ctx, r); err != nil || a.NotModified {
			return err
		}
		defer a.body.Close()
		start := time.Now()
		if data, err = io.ReadAll(io.LimitReader(a.body, limit+1)); err != nil {
			return err
		}
		if int64(len(data)) > limit {
			return fmt.Errorf("%w: longer than %d bytes", failure.ErrSize, limit)
		}
		if a.size >= 0 && int64(len(data)) != a.size {
			return fmt.Errorf("%w: cut after %d of %d bytes", failure.ErrUnreachable, len(data),
				a.size)
		}
		f.measure(int64(len(data)), time.Since(start))
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("fetching %s: %w", failure.PublicURI(r.URL), err)
	}
	return data, a, nil
}

// ObtainAgain is obtain with a second try for a file that the index promises but the mirror does
// not have: mirrors of several machines are not always of one mind.
func (f *Fetcher) ObtainAgain(ctx context.Context, b Blob) (string, error) {
	path, err := f.Obtain(ctx, b)
	if !errors.Is(err, failure.ErrNotFound) {
		return path, err
	}
	select {
	case <-ctx.Done():
		return "", context.Cause(ctx)
	case <-time.After(time.Second):
	}
	return f.Obtain(ctx, b)
}

// OnDisk tells whether a URI is that of a directory of this host, which is read and not asked.
func OnDisk(uri string) bool {
	return strings.HasPrefix(uri, "file:") || strings.HasPrefix(uri, "copy:")
}
