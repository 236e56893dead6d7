package archive

import (
	"bytes"
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/fetch"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/fault"
)

// mirror is a fake archive with one suite, served, and a client for it.
type mirror struct {
	t    *testing.T
	a    *fakedebian.Archive
	s    *fakedebian.Suite
	srv  *fakedebian.Server
	opt  Options
	repo aptconf.Repo
	log  *bytes.Buffer
}

// newMirror makes an archive of four small packages and a source; prepare may change the suite
// before it is signed.
func newMirror(t *testing.T, prepare func(*fakedebian.Suite)) *mirror {
	t.Helper()
	m := &mirror{t: t, a: fakedebian.New(t), log: &bytes.Buffer{}}
	m.s = m.a.Suite("bookworm")
	m.s.Suite = "oldstable"
	body := strings.Repeat("all work and no play makes jack a dull boy\n", 3)
	for _, name := range []string{"alpha", "beta", "gamma"} {
		m.s.Add(fakedebian.Package{Name: name, Architecture: "amd64",
			Depends: "libc6,\nbeta (>= 1)",
			Files:   []fakedebian.File{{Path: "usr/share/" + name, Body: body}}})
	}
	m.s.Add(fakedebian.Package{Name: "delta", Essential: true,
		Files: []fakedebian.File{{Path: "usr/share/big", Body: noise(200 << 10)}}})
	m.s.AddSource(fakedebian.Source{Name: "alpha", Version: "1.0-1"},
		fakedebian.Source{Name: "alpha", Version: "1.0-2~rc1"}, fakedebian.Source{Name: "alpine"})
	if prepare != nil {
		prepare(m.s)
	}
	m.srv = fakedebian.Serve(t, fakedebian.Mounts{"debian": m.a.Tree()})
	logger := logrus.New()
	logger.SetOutput(&syncWriter{w: m.log})
	m.opt = Options{CacheDir: t.TempDir(), Log: logger, RefreshAfter: -1, Timeout: 5 * time.Second,
		Retries: -1}
	m.repo = aptconf.Repo{URI: m.srv.URL("debian"), Suite: "bookworm", Components: []string{"main"},
		Keyrings: []string{fakedebian.Keyring(t, fakedebian.KeyArchive)}}
	return m
}

// noise is text that does not compress well and is the same in every run.
func noise(n int) string {
	var b strings.Builder
	x := uint32(1)
	for b.Len() < n {
		x = x*1664525 + 1013904223
		b.WriteByte(byte(' ' + x>>24%90))
	}
	return b.String()
}

type syncWriter struct {
	mu sync.Mutex
	w  *bytes.Buffer
}

func (s *syncWriter) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}

func (m *mirror) client() *Client {
	m.t.Helper()
	c, err := NewClient(m.opt)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { c.Close() })
	return c
}

// tree is a copy of what is served, to be damaged and given to serve.
func (m *mirror) serve(change func(*fakedebian.Tree)) {
	tree := m.a.Tree()
	if change != nil {
		change(tree)
	}
	m.srv.Mount("debian", tree)
}

// all fetches everything: the Release file, the packages' index and the packages.
func (m *mirror) all(c *Client) (*Release, map[*Package]string, error) {
	r, err := c.Release(m.t.Context(), m.repo)
	if err != nil {
		return nil, nil, err
	}
	var list []*Package
	err = c.Packages(m.t.Context(), r, "main", "amd64", func(p *Package) error {
		list = append(list, p)
		return nil
	})
	if err != nil {
		return r, nil, err
	}
	debs, err := c.Debs(m.t.Context(), list)
	return r, debs, err
}

func TestEverything(t *testing.T) {
	forms := map[string]func(*fakedebian.Suite){
		"InRelease only":   func(s *fakedebian.Suite) { s.Detached = false },
		"Release.gpg only": func(s *fakedebian.Suite) { s.InRelease = false },
		"gz only, no hash": func(s *fakedebian.Suite) {
			s.Compressions, s.ByHash = []fakedebian.Compression{fakedebian.Gzip}, false
		},
		"plain": func(s *fakedebian.Suite) {
			s.Compressions = []fakedebian.Compression{fakedebian.None}
		},
		"zst": func(s *fakedebian.Suite) {
			s.Compressions = []fakedebian.Compression{fakedebian.Zstd}
		},
		"SHA512": func(s *fakedebian.Suite) {
			s.Hashes = []fakedebian.Hash{fakedebian.SHA512}
		},
		"RSA": func(s *fakedebian.Suite) { s.Keys = keys(t, fakedebian.KeyRSA) },
		"one key is enough": func(s *fakedebian.Suite) {
			s.Keys = keys(t, fakedebian.KeyOther, fakedebian.KeyArchive)
		},
		"the other too": func(s *fakedebian.Suite) {
			s.Keys = keys(t, fakedebian.KeyArchive, fakedebian.KeyExpired)
		},
	}
	for name, prepare := range forms {
		t.Run(name, func(t *testing.T) {
			m := newMirror(t, prepare)
			m.repo.Keyrings = []string{
				fakedebian.Keyring(t, fakedebian.KeyArchive, fakedebian.KeyRSA,
					fakedebian.KeyExpired)}
			r, debs, err := m.all(m.client())
			if err != nil {
				t.Fatal(err)
			}
			if r.Codename() != "bookworm" || r.Suite() != "oldstable" || len(r.SignedBy()) != 1 ||
				r.Date().IsZero() || len(r.Digest()) != 64 {
				t.Errorf("Release: %q %q %q %v %q", r.Codename(), r.Suite(), r.SignedBy(), r.Date(),
					r.Digest())
			}
			m.checkDebs(debs)
		})
	}
}

// checkDebs compares the fetched files with the archive's.
func (m *mirror) checkDebs(debs map[*Package]string) {
	m.t.Helper()
	tree := m.a.Tree()
	if len(debs) != 4 {
		m.t.Errorf("%d debs", len(debs))
	}
	for p, file := range debs {
		got, err := os.ReadFile(file)
		if err != nil {
			m.t.Fatal(err)
		}
		fi, err := os.Stat(file)
		if err != nil || fi.Mode() != 0o644 {
			m.t.Errorf("%s: %v %v", file, fi.Mode(), err)
		}
		if !bytes.Equal(got, tree.Read(p.Filename)) {
			m.t.Errorf("%s differs", p)
		}
		if p.Package == "alpha" && (p.Depends != "libc6, beta (>= 1)" || p.Essential) ||
			p.Package == "delta" && !p.Essential {
			m.t.Errorf("%s: Depends %q, essential %v", p, p.Depends, p.Essential)
		}
	}
	if left, err := os.ReadDir(filepath.Join(m.opt.CacheDir, "partial")); err != nil ||
		len(left) > 0 {
		m.t.Errorf("left over: %v %v", left, err)
	}
}

func keys(t *testing.T, kinds ...fakedebian.KeyKind) []*fakedebian.Key {
	var out []*fakedebian.Key
	for _, k := range kinds {
		out = append(out, fakedebian.KeyOf(t, k))
	}
	return out
}

func TestDirectory(t *testing.T) {
	m := newMirror(t, nil)
	dir := filepath.Join(t.TempDir(), "a mirror+~")
	m.a.Tree().CopyTo(dir)
	uri := (&url.URL{Scheme: "file", Path: dir, OmitHost: true}).String()
	for _, m.repo.URI = range []string{uri, "copy:" + strings.TrimPrefix(uri, "file:"),
		"file://" + strings.TrimPrefix(uri, "file:")} {
		m.opt.CacheDir = t.TempDir()
		_, debs, err := m.all(m.client())
		if err != nil {
			t.Fatal(err)
		}
		m.checkDebs(debs)
	}
}

// TestMends: what goes wrong for a while ends well.
func TestMends(t *testing.T) {
	deb := "/delta_1.0-1_all.deb"
	for _, test := range []struct {
		name  string
		fault string
		with  fakedebian.Fault
	}{
		{"503 for a while", ".", fakedebian.Fault{Status: 503, Times: 2}},
		{"busy", "InRelease", fakedebian.Fault{Status: 429, Times: 1}},
		{"404, then there", deb, fakedebian.Fault{Status: 404, Times: 1}},
		{"cut and resumed", deb, fakedebian.Fault{CutAfter: 60000, Times: 2}},
		{"cut, no ranges", deb, fakedebian.Fault{CutAfter: 60000, NoRanges: true, Times: 1}},
		{"cut, then a wrong range", deb, fakedebian.Fault{CutAfter: 60000, WrongRange: true,
			Times: 2}},
		{"stalled", deb, fakedebian.Fault{StallAfter: 60000, Times: 1}},
		{"hanging", deb, fakedebian.Fault{Hang: true, Times: 1}},
		{"promised too much", deb, fakedebian.Fault{CutAfter: 5000, NoLength: true, Times: 1}},
		{"flipped once", deb, fakedebian.Fault{Flip: 60000, Times: 1}},
		{"flipped index", "by-hash", fakedebian.Fault{Flip: 60, Times: 1}},
		{"no by-hash", "by-hash", fakedebian.Fault{Status: 404}},
		{"no xz", "by-hash|xz", fakedebian.Fault{Status: 404}},
		{"no lengths", ".", fakedebian.Fault{NoLength: true}},
		{"no validators", ".", fakedebian.Fault{NoValidators: true}},
		{"a redirect", "^debian/pool", fakedebian.Fault{Redirect: "/elsewhere/", Times: 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m := newMirror(t, nil)
			m.opt.Retries, m.opt.Timeout = 3, time.Second
			m.srv.Fault(test.fault, test.with)
			_, debs, err := m.all(m.client())
			if err != nil {
				t.Fatal(err)
			}
			m.checkDebs(debs)
		})
	}
}

// TestResume: after a cut only the rest is asked for, in the same run and in the next.
func TestResume(t *testing.T) {
	m := newMirror(t, nil)
	m.srv.Fault("/delta", fakedebian.Fault{CutAfter: 50000, Times: 1})
	if _, _, err := m.all(m.client()); !errors.Is(err, failure.ErrUnreachable) {
		t.Fatal(err)
	}
	_, debs, err := m.all(m.client())
	if err != nil {
		t.Fatal(err)
	}
	m.checkDebs(debs)
	var ranges []string
	for _, r := range m.srv.Requests() {
		if strings.Contains(r.Path, "/delta") {
			ranges = append(ranges, r.Range)
		}
	}
	if len(ranges) != 2 || ranges[0] != "" || ranges[1] == "" {
		t.Errorf("ranges asked for: %q", ranges)
	}
}

// TestChangesMidway: the mirror is updated between the Release file and the index.
func TestChangesMidway(t *testing.T) {
	m := newMirror(t, func(s *fakedebian.Suite) { s.ByHash = false })
	c := m.client()
	r, err := c.Release(t.Context(), m.repo)
	if err != nil {
		t.Fatal(err)
	}
	before := r.Digest()
	m.s.Add(fakedebian.Package{Name: "epsilon"})
	m.s.Date = m.s.Date.Add(time.Minute)
	m.serve(nil)
	var names []string
	err = c.Packages(t.Context(), r, "main", "amd64", func(p *Package) error {
		names = append(names, p.Package)
		return nil
	})
	if err != nil || !slices.Contains(names, "epsilon") || r.Digest() == before {
		t.Errorf("%v %q, changed: %v", err, names, r.Digest() != before)
	}
	lists, err := c.AptLists(t.Context(), r, []string{"main"}, []string{"amd64"},
		"http://mirror.example/debian/")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(lists[0].Path)
	if err != nil || !bytes.Contains(text, []byte("SIGNED MESSAGE")) {
		t.Errorf("%v %.100q", err, text)
	}
	var got []string
	for _, l := range lists {
		got = append(got, l.Name)
	}
	want := []string{"mirror.example_debian_dists_bookworm_InRelease",
		"mirror.example_debian_dists_bookworm_main_binary-amd64_Packages"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestConditionalAndOffline(t *testing.T) {
	m := newMirror(t, nil)
	m.opt.RefreshAfter = time.Minute
	now := time.Now()
	m.opt.Now = func() time.Time { return now }
	get := func(wantRequests int, wantStatus int) {
		t.Helper()
		m.srv.ResetCounts()
		if _, _, err := m.all(m.client()); err != nil {
			t.Fatal(err)
		}
		reqs := m.srv.Requests()
		if len(reqs) != wantRequests || wantRequests > 0 && reqs[0].Status != wantStatus {
			t.Errorf("%+v", reqs)
		}
	}
	get(6, 200) // InRelease, Packages, four debs
	get(0, 0)
	now = now.Add(2 * time.Minute)
	get(1, 304)
	get(0, 0)
	m.opt.Offline = true
	now = now.Add(time.Hour)
	m.srv.Close()
	if _, _, err := m.all(m.client()); err != nil {
		t.Error(err)
	}
	m.opt.CacheDir = t.TempDir()
	if _, _, err := m.all(m.client()); !errors.Is(err, failure.ErrOffline) ||
		!strings.Contains(fault.HintOf(err), "--offline") {
		t.Error(err)
	}
}

// TestAbsent: that a mirror lacks an optional suite is remembered as long as what it has is, and
// longer without the network.
func TestAbsent(t *testing.T) {
	m := newMirror(t, nil)
	m.opt.RefreshAfter = time.Minute
	now := time.Now()
	m.opt.Now = func() time.Time { return now }
	updates := m.repo
	updates.Suite, updates.Optional = "bookworm-updates", true
	get := func(wantRequests int) {
		t.Helper()
		m.srv.ResetCounts()
		if all, err := m.client().Releases(t.Context(),
			[]aptconf.Repo{m.repo, updates}); err != nil || len(all) != 1 {
			t.Fatal(all, err)
		}
		if n := m.srv.Count("bookworm-updates"); n != wantRequests {
			t.Errorf("%d requests, want %d", n, wantRequests)
		}
	}
	get(2) // for InRelease and for Release
	get(0)
	now = now.Add(2 * time.Minute)
	get(2)
	m.opt.Offline = true
	now = now.Add(time.Hour)
	get(0)
	m.opt.Offline = false
	updates.Optional = false
	if _, err := m.client().Releases(t.Context(), []aptconf.Repo{updates}); !errors.Is(err,
		failure.ErrNoSuite) || m.srv.Count("bookworm-updates") != 2 {
		t.Errorf("a suite that must be there was not asked for: %v", err)
	}
}

// TestOlder: a mirror that goes back in time is not followed.
func TestOlder(t *testing.T) {
	m := newMirror(t, nil)
	if _, _, err := m.all(m.client()); err != nil {
		t.Fatal(err)
	}
	m.s.Date = m.s.Date.Add(-time.Hour)
	m.s.Add(fakedebian.Package{Name: "old"})
	m.serve(nil)
	_, debs, err := m.all(m.client())
	if err != nil {
		t.Fatal(err)
	}
	if len(debs) != 4 || !strings.Contains(m.log.String(), "older") {
		t.Errorf("%d debs, log %s", len(debs), m.log)
	}
}

// TestDamagedCache: whatever happened to the cache is noticed and mended.
func TestDamagedCache(t *testing.T) {
	m := newMirror(t, nil)
	if _, _, err := m.all(m.client()); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(m.opt.CacheDir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Name() == "claims" {
			return filepath.SkipDir
		}
		if err != nil || d.IsDir() || d.Name() == "clean.lock" {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		data[len(data)/2] ^= 1
		return os.WriteFile(path, data, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	_, debs, err := m.all(m.client())
	if err != nil {
		t.Fatal(err)
	}
	m.checkDebs(debs)
}

// TestTwoAtOnce: several clients of one cache download each file once.
func TestTwoAtOnce(t *testing.T) {
	m := newMirror(t, nil)
	m.srv.Fault("/delta", fakedebian.Fault{Slow: 2 * time.Millisecond})
	var wg sync.WaitGroup
	for range 3 {
		c := m.client()
		wg.Go(func() {
			if _, _, err := m.all(c); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := m.srv.Count("/delta"); n != 1 {
		t.Errorf("delta was fetched %d times", n)
	}
}

func TestEachDebStops(t *testing.T) {
	m := newMirror(t, nil)
	c := m.client()
	r, err := c.Release(t.Context(), m.repo)
	if err != nil {
		t.Fatal(err)
	}
	var list []*Package
	if err := c.Packages(t.Context(), r, "main", "amd64", func(p *Package) error {
		list = append(list, p)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	enough := errors.New("enough")
	if err := c.EachDeb(t.Context(), list, func(*Package, string) error {
		return enough
	}); !errors.Is(err, enough) {
		t.Error(err)
	}
	m.opt.CacheDir = t.TempDir()
	c = m.client()
	m.srv.Fault("/delta", fakedebian.Fault{Hang: true})
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(200*time.Millisecond, func() { cancel(enough) })
	start := time.Now()
	if _, err := c.Debs(ctx, list); !errors.Is(err, enough) || time.Since(start) > 2*time.Second {
		t.Error(err, time.Since(start))
	}
}

func TestProgress(t *testing.T) {
	m := newMirror(t, nil)
	m.opt.Retries = 2
	var mu sync.Mutex
	total, done := map[string]int64{}, map[string]int64{}
	m.opt.Progress = func(p fetch.Progress) {
		mu.Lock()
		defer mu.Unlock()
		total[p.What] += p.Total
		done[p.What] += p.Done
	}
	m.srv.Fault("/delta", fakedebian.Fault{CutAfter: 50000, NoRanges: true, Times: 1})
	if _, _, err := m.all(m.client()); err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"lists", "debs"} {
		if total[what] == 0 || total[what] != done[what] {
			t.Errorf("%s: %d of %d", what, done[what], total[what])
		}
	}
	m.opt.Progress = func(p fetch.Progress) { t.Errorf("%+v", p) }
	if _, _, err := m.all(m.client()); err != nil {
		t.Fatal(err)
	}
}

func TestSource(t *testing.T) {
	m := newMirror(t, nil)
	c := m.client()
	r, err := c.Release(t.Context(), m.repo)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		spec, version string
		err           error
		hint          string
	}{
		{"alpha", "1.0-2~rc1", nil, ""},
		{"alpha=1.0-1", "1.0-1", nil, ""},
		{"alpha=2", "", failure.ErrNoVersion, "1.0-1, 1.0-2~rc1"},
		{"alpa", "", failure.ErrNoPackage, "alpha"},
		{"zzz", "", failure.ErrNoPackage, "binary"},
		{"../x", "", failure.ErrNoPackage, "NAME"},
	} {
		src, err := c.FindSource(t.Context(), []*Release{r}, test.spec)
		if !errors.Is(err, test.err) || !strings.Contains(fault.HintOf(err), test.hint) {
			t.Errorf("%s: %v, hint %q", test.spec, err, fault.HintOf(err))
		}
		if err != nil {
			continue
		}
		if src.Version != test.version {
			t.Errorf("%s: version %s", test.spec, src.Version)
		}
		dsc, err := c.FetchSource(t.Context(), src, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(dsc)
		if err != nil || !bytes.Contains(text, []byte("Version: "+test.version)) {
			t.Errorf("%s: %v %s", test.spec, err, text)
		}
		again, err := c.Get(t.Context(), src.URL(filepath.Base(dsc)), 1<<20)
		if err != nil || !bytes.Equal(again, text) {
			t.Errorf("Get: %v", err)
		}
		if _, err := c.Get(t.Context(), src.URL(filepath.Base(dsc)), 10); !errors.Is(err,
			failure.ErrSize) {
			t.Errorf("Get of too much: %v", err)
		}
	}
}
