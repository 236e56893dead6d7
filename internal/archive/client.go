package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/hashes"
	"nsbuild/internal/archive/signature"
	"nsbuild/internal/fault"
	"nsbuild/internal/flock"
)

// Options configure a Client. Only CacheDir is necessary.
type Options struct {
	CacheDir string             // made if absent; several processes may share it
	Host     *Host              // nil: a host without apt
	Log      logrus.FieldLogger // nil: silence
	Offline  bool               // use what is cached, name what is missing
	// how old an answer about a Release may be before the mirror is asked again; 0 is ten minutes,
	// below 0 is at once
	RefreshAfter time.Duration
	Timeout      time.Duration    // 0: apt's Acquire::http::Timeout, else 30 s
	Retries      int              // 0: apt's Acquire::Retries, else 3; below 0: none
	Parallel     int              // transfers per host; 0 is 4
	Progress     func(Progress)   // called from several goroutines
	Now          func() time.Time // nil: time.Now
}

// Client fetches from archives into a cache. It may be used by several goroutines, and its cache by
// several processes.
//
// Files in the cache are named after their digest and appear under that name only when complete and
// verified. They are hashed again when they are first used by a Client, which notices whatever a
// crash, a full disk or a failing one did to them; so nothing needs to be fsynced, and a bad file
// is fetched again.
type Client struct {
	*ReleaseFiles
	*Indices
	*Pool
	Cache *cache
	*fetcher
}

// cache is a directory of files that are named after their digests and appear under that name only
// when complete and verified. They are hashed again when they are first used by a process, which
// notices whatever a crash, a full disk or a failing one did to them; so nothing needs to be
// fsynced, and a bad file is fetched again. Several processes may share it.
type cache struct {
	dir      string
	log      logrus.FieldLogger
	claims   claims
	mu       sync.Mutex
	verified map[string]fileID // files that were hashed here
}

// fileID tells whether a file is still the one that was hashed.
type fileID struct {
	ino          uint64
	size         int64
	mtime, ctime unix.Timespec
}

const (
	dirLists   = "lists"
	dirDebs    = "debs"
	dirCopies  = "copies"
	dirSources = "sources"
	dirPartial = "partial"
)

// NewClient makes a client and its cache's directories.
func NewClient(o Options) (*Client, error) {
	if o.CacheDir == "" {
		return nil, errors.New("archive: no cache directory")
	}
	if o.Host == nil {
		o.Host = &Host{}
	}
	if o.Log == nil {
		silent := logrus.New()
		silent.SetOutput(io.Discard)
		o.Log = silent
	}
	if o.RefreshAfter == 0 {
		o.RefreshAfter = 10 * time.Minute
	}
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
		if o.Host.conf != nil {
			if d, ok := o.Host.conf.seconds("Acquire::http::Timeout"); ok && d > 0 {
				o.Timeout = d
			}
		}
	}
	if o.Retries == 0 {
		o.Retries = 3
		if o.Host.conf != nil {
			if n, ok := o.Host.conf.number("Acquire::Retries"); ok {
				o.Retries = int(min(n, 100))
			}
		}
	}
	if o.Parallel <= 0 {
		o.Parallel = 4
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	store, err := openCache(o.CacheDir, o.Log)
	if err != nil {
		return nil, err
	}
	fetch := &fetcher{cache: store, log: o.Log, offline: o.Offline, progress: o.Progress,
		net: &transport{host: o.Host, timeout: o.Timeout, retries: max(0, o.Retries),
			parallel: o.Parallel}}
	releases := &ReleaseFiles{cache: store, fetch: fetch, log: o.Log, offline: o.Offline,
		refreshAfter: o.RefreshAfter, now: o.Now,
		judge: &judge{host: o.Host, now: o.Now, keys: map[string]*signature.Keyring{}},
		said:  &onceLog{log: o.Log, said: map[string]bool{}}}
	releases.judge.said = releases.said
	c := &Client{ReleaseFiles: releases, Cache: store, fetcher: fetch,
		Indices: &Indices{releases: releases, cache: store, fetch: fetch, log: o.Log,
			offline: o.Offline, byHash: o.Host.byHash()},
		Pool: &Pool{Copies: &Copies{store}, cache: store, fetch: fetch}}
	for _, w := range o.Host.Warnings {
		o.Log.Warn("apt configuration: " + w)
	}
	if err := store.sweep(); err != nil {
		o.Log.Warnf("cache: %v", err)
	}
	return c, nil
}

// openCache makes a cache's directories.
func openCache(dir string, log logrus.FieldLogger) (*cache, error) {
	for _, d := range []string{dirLists, dirDebs, dirCopies, dirSources, dirPartial, dirClaims} {
		if err := makeDir(filepath.Join(dir, d)); err != nil {
			return nil, fault.Wrap(fault.Internal, "choose another cache directory",
				failure.OnDisk(dir, fmt.Errorf("cache: %w", err)))
		}
	}
	return &cache{dir: dir, log: log, claims: claims{dir: dir, log: log},
		verified: map[string]fileID{}}, nil
}

// close ends the use of what is in the cache.
func (c *cache) close() error { return c.claims.end() }

// onceLog says a thing once.
type onceLog struct {
	log  logrus.FieldLogger
	mu   sync.Mutex
	said map[string]bool
}

// warn says something once in the life of the client: a Release file is judged each time that it is
// read.
func (l *onceLog) warn(format string, args ...any) { l.once(l.log, fmt.Sprintf(format, args...)) }

// insist is warn for those, too, who want to know no more than they must.
func (l *onceLog) insist(format string, args ...any) {
	l.once(l.log.WithField(fault.Shown, true), fmt.Sprintf(format, args...))
}

// once writes a warning that was not yet written.
func (l *onceLog) once(log logrus.FieldLogger, text string) {
	l.mu.Lock()
	again := l.said[text]
	l.said[text] = true
	l.mu.Unlock()
	if !again {
		log.Warn(text)
	}
}

// Close ends open connections, and the use of what is in the cache.
func (c *Client) Close() error {
	c.net.close()
	return c.Cache.close()
}

// fetcher has files from mirrors in a cache.
type fetcher struct {
	cache    *cache
	net      *transport
	log      logrus.FieldLogger
	offline  bool
	progress func(Progress)
	rate     atomic.Uint64 // bytes per second of the fastest larger transfer
}

// content is what a file must be.
type content struct {
	name   string // for people
	size   int64  // -1 when not known
	hashes hashes.Set
	weak   bool // whether MD5 and SHA-1 count
}

// blob is a file to have in the cache.
type blob struct {
	content
	kind string // directory of the cache
	ext  string // behind the digest in its name
	what string // for progress: the kind, unless said otherwise
	urls []string
	by   string // what gives size and hashes: the signed index, unless said otherwise
}

const signedIndex = "the signed index"

// place is where a digest's file belongs.
func (c *cache) place(kind, digest, ext string) string {
	return filepath.Join(c.dir, kind, digest[:2], digest+ext)
}

// obtain returns the path of a verified blob, from the cache or else from the first of its URLs
// that has it.
func (f *fetcher) obtain(ctx context.Context, b blob) (string, error) {
	digest, _ := b.hashes.Strongest(b.weak)
	if digest == "" {
		return "", fmt.Errorf("%s: %w", b.name, failure.ErrWeakHash)
	}
	path := f.cache.place(b.kind, digest, b.ext)
	have := func() (string, error) {
		if ok, err := f.cache.intact(path, b.content); ok || err != nil {
			return path, err
		}
		return "", nil
	}
	return f.obtainWith(ctx, b, digest, have, func(part *os.File) (string, error) {
		return path, f.cache.publish(part, path)
	})
}

// obtainWith downloads a blob unless have finds that there is already what finish would make of it.
// Only one process at a time does so for one digest. The errors of reading the cache are not among
// those of the mirror.
func (f *fetcher) obtainWith(ctx context.Context, b blob, digest string,
	have func() (string, error), finish func(part *os.File) (string, error)) (string, error) {
	if path, err := have(); path != "" || err != nil {
		return path, err
	}
	if f.offline && !slices.ContainsFunc(b.urls, onDisk) {
		return "", fmt.Errorf("%s: %w", b.name, failure.ErrOffline)
	}
	part, err := f.cache.lockPart(ctx, digest)
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
		err = failure.OnDisk(f.cache.dir, err)
		if st, statErr := part.Stat(); errors.Is(err, failure.ErrNoSpace) || statErr == nil &&
			st.Size() == 0 {
			// nothing in it to resume, or nothing to be gained by keeping the disk full
			_ = os.Remove(part.Name())
		}
		return "", err
	}
	path, err := finish(part)
	return path, failure.OnDisk(f.cache.dir, err)
}

// publish gives a complete file its name.
func (c *cache) publish(f *os.File, path string) error {
	c.claims.add(path)
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := makeDir(filepath.Dir(path)); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return c.remember(path)
}

// makeDir makes a directory of the cache that the ids of jails may enter, whatever the umask is.
func makeDir(dir string) error {
	if err := os.MkdirAll(dir, openMode); err != nil {
		return err
	}
	return openDir(dir)
}

const openMode = 0o755

// openDir mends the mode of a directory that was made under another umask.
func openDir(dir string) error {
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm()&openMode == openMode {
		return err
	}
	return os.Chmod(dir, openMode)
}

// intact reports whether a file of the cache is there and is what it should be. The error is one of
// reading the disk.
func (c *cache) intact(path string, want content) (bool, error) {
	c.claims.add(path)
	id, err := identify(path)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("cache: %s: %w", path, err)
	}
	if want.size >= 0 && id.size != want.size {
		return false, nil
	}
	c.mu.Lock()
	known := c.verified[path]
	c.mu.Unlock()
	if known == id {
		return true, nil
	}
	// Nothing that was read is left to chance: hashing takes 30 ms for the 50 MB of a Packages
	// file.
	digest, sum := want.hashes.Strongest(want.weak)
	f, err := os.Open(path)
	if err != nil {
		return false, fmt.Errorf("cache: %w", err)
	}
	defer f.Close()
	if _, err := io.Copy(sum, f); err != nil {
		return false, fmt.Errorf("cache: %w", err)
	}
	if fmt.Sprintf("%x", sum.Sum(nil)) != digest {
		c.log.Warnf("%s is damaged in the cache", want.name)
		return false, nil
	}
	return true, c.used(path)
}

// used marks a file as in use, by its time of access, and as verified. It is marked once an hour at
// most: each time makes other Clients verify it again. Its time of modification stays, which apt's
// binary cache goes by.
func (c *cache) used(path string) error {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return fmt.Errorf("cache: %w", err)
	}
	if now := time.Now(); now.Sub(time.Unix(st.Atim.Unix())) > time.Hour {
		if err := os.Chtimes(path, now, time.Time{}); err != nil && !errors.Is(err, unix.EPERM) &&
			!errors.Is(err, unix.EROFS) {
			return fmt.Errorf("cache: %w", err)
		}
	}
	if err := openDir(filepath.Dir(path)); err != nil && !errors.Is(err, unix.EPERM) &&
		!errors.Is(err, unix.EROFS) {
		return fmt.Errorf("cache: %w", err)
	}
	return c.remember(path)
}

func (c *cache) remember(path string) error {
	id, err := identify(path)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.verified[path] = id
	c.mu.Unlock()
	return nil
}

func identify(path string) (fileID, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return fileID{}, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return fileID{}, fmt.Errorf("not a regular file")
	}
	return fileID{st.Ino, st.Size, st.Mtim, st.Ctim}, nil
}

// lockPart opens the file that a download grows in and locks it, waiting while another process is
// at it. What an earlier, interrupted download left in it is resumed.
func (c *cache) lockPart(ctx context.Context, digest string) (*os.File, error) {
	name := filepath.Join(c.dir, dirPartial, digest)
	for waited := false; ; {
		f, err := flock.Open(name, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, flock.Exclusive)
		switch {
		case err == nil:
			return f, nil
		case errors.Is(err, fs.ErrNotExist):
			// the one who held the lock has moved the file to its place
			continue
		case !errors.Is(err, flock.ErrHeld):
			return nil, failure.OnDisk(c.dir, fmt.Errorf("cache: %w", err))
		}
		if !waited {
			c.log.Debugf("waiting for another download of %s", name)
			waited = true
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// download fills part with the blob's content. A mismatch of the digest is tried once more from the
// start, in case it came from an earlier run's remains or a proxy.
func (f *fetcher) download(ctx context.Context, part *os.File, b blob) error {
	var err error
	for range 2 {
		for _, u := range b.urls {
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

func (f *fetcher) downloadFrom(ctx context.Context, part *os.File, b blob, url string) error {
	t := &transfer{f: f, part: part, b: b, url: url, tell: func(p Progress) { f.tell(ctx, p) }}
	if err := t.adopt(); err != nil {
		return err
	}
	if err := f.net.attempts(ctx, b.name, func() error { return t.once(ctx) }); err != nil {
		return fmt.Errorf("fetching %s: %w", publicURI(url), err)
	}
	want, _ := b.hashes.Strongest(b.weak)
	if got := fmt.Sprintf("%x", t.sum.Sum(nil)); got != want {
		if err := t.restart(); err != nil {
			return err
		}
		return fmt.Errorf("fetching %s: %w: it is %s, %s says %s", publicURI(url), failure.ErrHash,
			got, cmp.Or(b.by, signedIndex), want)
	}
	return nil
}

// transfer is one blob on its way into its part, with its digest kept along.
type transfer struct {
	f    *fetcher
	part *os.File
	b    blob
	url  string
	have int64
	tell func(Progress)
	sum  hash.Hash
}

// adopt takes what is already in the part.
func (t *transfer) adopt() error {
	_, t.sum = t.b.hashes.Strongest(t.b.weak)
	if _, err := t.part.Seek(0, io.SeekStart); err != nil {
		return err
	}
	n, err := io.Copy(t.sum, t.part)
	if err != nil {
		return err
	}
	t.have = n
	if t.b.size >= 0 && n > t.b.size {
		return t.restart()
	}
	t.report(n)
	return nil
}

func (t *transfer) report(n int64) {
	if n != 0 {
		t.tell(Progress{What: t.b.what, Name: t.b.name, Done: n})
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
	if t.have == t.b.size {
		return nil
	}
	a, err := t.f.net.open(ctx, request{url: t.url, offset: t.have})
	var status *statusError
	if errors.As(err, &status) && status.status == 416 && t.have > 0 { // it cannot resume there
		if err := t.restart(); err != nil {
			return err
		}
		a, err = t.f.net.open(ctx, request{url: t.url})
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
	if t.b.size >= 0 && a.size >= 0 && a.size != t.b.size {
		return fmt.Errorf("%w: it has %d bytes, %s says %d", failure.ErrSize, a.size,
			cmp.Or(t.b.by, signedIndex), t.b.size)
	}
	return t.copy(a.body)
}

func (t *transfer) copy(from io.Reader) error {
	start, before := time.Now(), t.have
	limit := t.b.size
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
				limit, cmp.Or(t.b.by, signedIndex))
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
	if t.b.size >= 0 && t.have < t.b.size {
		return fmt.Errorf("%w: cut after %d of %d bytes", failure.ErrUnreachable, t.have, t.b.size)
	}
	t.f.measure(t.have-before, time.Since(start))
	return nil
}

// measure remembers how fast the fastest of the larger transfers was: others share the line with
// their neighbours.
func (f *fetcher) measure(n int64, took time.Duration) {
	if n < 64<<10 || took <= 0 {
		return
	}
	rate := uint64(float64(n) / took.Seconds())
	for old := f.rate.Load(); rate > old && !f.rate.CompareAndSwap(old, rate); old = f.rate.Load() {
	}
}

// get fetches a file of unknown digest into memory.
func (f *fetcher) get(ctx context.Context, r request, limit int64) ([]byte, *answer, error) {
	var data []byte
	var a *answer
	err := f.net.attempts(ctx, r.url, func() (err error) {
		if a, err = f.net.open(ctx, r); err != nil || a.notModified {
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
		return nil, nil, fmt.Errorf("fetching %s: %w", publicURI(r.url), err)
	}
	return data, a, nil
}

// obtainAgain is obtain with a second try for a file that the index promises but the mirror does
// not have: mirrors of several machines are not always of one mind.
func (f *fetcher) obtainAgain(ctx context.Context, b blob) (string, error) {
	path, err := f.obtain(ctx, b)
	if !errors.Is(err, failure.ErrNotFound) {
		return path, err
	}
	select {
	case <-ctx.Done():
		return "", context.Cause(ctx)
	case <-time.After(time.Second):
	}
	return f.obtain(ctx, b)
}
