package archive

import (
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/cache"
	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/hashes"
	"nsbuild/internal/archive/suites"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/fault"
	"nsbuild/internal/testenv"
)

// TestOldSuites: what a suite's quirks allow is accepted, with a line in the log, and for no other
// suite.
func TestOldSuites(t *testing.T) {
	old := time.Date(2012, 3, 1, 0, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name    string
		prepare func(*fakedebian.Suite)
		quirks  suites.Quirks
		warns   bool
	}{
		{"expired Release", func(s *fakedebian.Suite) { s.ValidUntil = old.AddDate(0, 0, 7) },
			suites.Quirks{ExpiredRelease: true}, false},
		{"no InRelease", func(s *fakedebian.Suite) { s.InRelease = false },
			suites.Quirks{NoInRelease: true}, false},
		{"expired key, SHA-1", func(s *fakedebian.Suite) {
			s.Keys = keys(t, fakedebian.KeyExpired)
		}, suites.Quirks{ExpiredKeys: true, WeakKeys: true}, true},
		{"DSA", func(s *fakedebian.Suite) { s.Keys = keys(t, fakedebian.KeyWeakDSA) },
			suites.Quirks{WeakKeys: true}, true},
		{"RSA of 1024 bits", func(s *fakedebian.Suite) {
			s.Date = time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC)
			s.Keys = keys(t, fakedebian.KeyWeakRSA)
		}, suites.Quirks{WeakKeys: true}, true},
		{"MD5 and gz only", func(s *fakedebian.Suite) {
			s.Hashes, s.Compressions, s.ByHash = []fakedebian.Hash{fakedebian.MD5},
				[]fakedebian.Compression{fakedebian.Gzip}, false
		}, suites.Quirks{WeakHashes: true}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := newMirror(t, func(s *fakedebian.Suite) { s.Date = old; test.prepare(s) })
			m.repo.Keyrings = []string{
				fakedebian.Keyring(t, fakedebian.KeyArchive, fakedebian.KeyExpired,
					fakedebian.KeyWeakDSA, fakedebian.KeyWeakRSA)}
			if _, _, err := m.all(m.client()); err == nil && !test.quirks.NoInRelease {
				t.Error("accepted for a modern suite")
			}
			m.log.Reset()
			m.repo.Quirks, m.opt.CacheDir = test.quirks, t.TempDir()
			_, debs, err := m.all(m.client())
			if err != nil {
				t.Fatal(err)
			}
			m.checkDebs(debs)
			if got := strings.Contains(m.log.String(), "accepted because"); got != test.warns {
				t.Errorf("log: %s", m.log)
			}
		})
	}
}

// TestTrusted: without verification there is a warning, and everything below the Release file is
// still checked.
func TestTrusted(t *testing.T) {
	m := newMirror(t, func(s *fakedebian.Suite) { s.Keys = []*fakedebian.Key{} })
	m.repo.Trusted = true
	r, debs, err := m.all(m.client())
	if err != nil {
		t.Fatal(err)
	}
	m.checkDebs(debs)
	if len(r.SignedBy()) != 0 || !strings.Contains(m.log.String(), "NOT VERIFIED") {
		t.Errorf("%q, log: %s", r.SignedBy(), m.log)
	}
	m.serve(func(tr *fakedebian.Tree) { tr.Flip(tr.Find("/delta_1.0-1_all.deb"), 100) })
	m.opt.CacheDir = t.TempDir()
	if _, _, err := m.all(m.client()); !errors.Is(err, failure.ErrHash) {
		t.Error(err)
	}
}

// TestFlat: a repository without dists/.
func TestFlat(t *testing.T) {
	m := newMirror(t, func(s *fakedebian.Suite) { s.ByHash = false })
	tree := m.a.Tree()
	dir := t.TempDir()
	packages := tree.Read("dists/bookworm/main/binary-amd64/Packages.gz")
	for _, name := range tree.Paths() {
		if strings.HasPrefix(name, "pool/") {
			write(t, filepath.Join(dir, name), tree.Read(name))
		}
	}
	write(t, filepath.Join(dir, "Packages.gz"), packages)
	write(t, filepath.Join(dir, "Release"),
		[]byte("Date: Sat, 21 Nov 2020 09:15:44 UTC\nSHA256:\n "+hashes.SHA256(packages)+" "+
			itoa(len(packages))+" Packages.gz\n"))
	m.repo = aptconf.Repo{URI: "file:" + dir, Suite: "./", Trusted: true}
	flat := func() (n int, err error) {
		c := m.client()
		r, err := c.Release(t.Context(), m.repo)
		if err == nil {
			err = c.Packages(t.Context(), r, "", "amd64", func(*Package) error { n++; return nil })
		}
		return n, err
	}
	for range 2 { // the second time the cache knows what the index unpacks to
		if n, err := flat(); err != nil || n != 4 {
			t.Errorf("%d packages, %v", n, err)
		}
	}
	m.repo.Trusted, m.repo.Keyrings, m.opt.CacheDir = false,
		[]string{fakedebian.Keyring(t, fakedebian.KeyArchive)}, t.TempDir()
	if _, err := flat(); !errors.Is(err, failure.ErrNoSignature) {
		t.Errorf("unsigned: %v", err)
	}
	release, err := os.ReadFile(filepath.Join(dir, "Release"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "InRelease"), fakedebian.Clearsigned(t, string(release), m.s.Date,
		fakedebian.KeyOf(t, fakedebian.KeyArchive)))
	if n, err := flat(); err != nil || n != 4 {
		t.Errorf("signed: %d packages, %v", n, err)
	}
}

// TestPartialMirror: what is promised and not there is missed only when it is asked for, as with
// mirrors that were made by reprepro (some architectures, indices that are not compressed or by
// gzip alone, nothing by its hash) and aptly (no index for all architectures, though they are said
// to be separate).
func TestPartialMirror(t *testing.T) {
	for name, compressions := range map[string][]fakedebian.Compression{
		"reprepro": {fakedebian.None, fakedebian.Gzip},
		"aptly":    {fakedebian.None, fakedebian.Gzip, fakedebian.Bzip}, "plain": {fakedebian.None},
		"gzip": {fakedebian.Gzip},
	} {
		t.Run(name, func(t *testing.T) {
			if slices.Contains(compressions, fakedebian.Bzip) {
				testenv.RequireTool(t, "bzip2")
			}
			m := newMirror(t, func(s *fakedebian.Suite) {
				s.ByHash, s.Compressions, s.Hashes = false, compressions,
					[]fakedebian.Hash{fakedebian.MD5, fakedebian.SHA1, fakedebian.SHA256}
				s.Architectures, s.Components = []string{"amd64", "arm64"},
					[]string{"main", "contrib"}
				s.MutateRelease = func(text string) string {
					if name == "reprepro" {
						text = strings.Replace(text, "Architectures: all ", "Architectures: ", 1)
					}
					text = strings.Replace(text, "No-Support-for-Architecture-all: Packages\n", "",
						1)
					return strings.Replace(text, "Suite: oldstable\n", "", 1)
				}
			})
			m.serve(func(tr *fakedebian.Tree) {
				tr.Remove("dists/bookworm/main/binary-arm64/")
				tr.Remove("dists/bookworm/contrib/")
				tr.Remove("dists/bookworm/main/source/")
			})
			_, debs, err := m.all(m.client())
			if err != nil {
				t.Fatal(err)
			}
			m.checkDebs(debs)
			c := m.client()
			r, err := c.Release(t.Context(), m.repo)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Packages(t.Context(), r, "main", "arm64", func(*Package) error {
				return nil
			}); !errors.Is(err, failure.ErrNotFound) ||
				!strings.Contains(fault.HintOf(err), "incomplete") {
				t.Errorf("%v, hint %q", err, fault.HintOf(err))
			}
		})
	}
}

func write(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func itoa(n int) string {
	var b []byte
	for ; n > 0 || b == nil; n /= 10 {
		b = append([]byte{byte('0' + n%10)}, b...)
	}
	return string(b)
}

// TestSeparateAll: an archive with an index of its own for Architecture: all.
func TestSeparateAll(t *testing.T) {
	st := &releaseState{fields: map[string]string{"architectures": "all amd64"}}
	if got := packagesNames(aptconf.Repo{Suite: "x"}, st, []string{"main"}, []string{"amd64"}); len(
		got) != 2 || got[1] != "main/binary-all/Packages" {
		t.Errorf("%q", got)
	}
	st.fields["no-support-for-architecture-all"] = "Packages"
	if got := packagesNames(aptconf.Repo{Suite: "x"}, st, []string{"main"}, []string{"amd64"}); len(
		got) != 1 {
		t.Errorf("%q", got)
	}
}

// TestTLS: certificates count as apt is told.
func TestTLS(t *testing.T) {
	m := newMirror(t, nil)
	srv := fakedebian.ServeTLS(t, fakedebian.Mounts{"debian": m.a.Tree()})
	m.repo.URI = srv.URL("debian")
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))
	for _, test := range []struct {
		conf string
		want error
	}{
		{"", failure.ErrUnreachable},
		{`Acquire::https::CaInfo "/ca.pem";`, nil},
		{`Acquire::https::127.0.0.1::CaInfo "/ca.pem";`, nil},
		{`Acquire::https::Verify-Peer "false";`, nil},
		{`Acquire::https::CaInfo "/none.pem";`, os.ErrNotExist},
		{`Acquire::https::CaInfo "/empty.pem";`, failure.ErrSyntax},
	} {
		m.opt.Host = aptHost(t, map[string]string{"etc/apt/apt.conf": test.conf, "ca.pem": ca,
			"empty.pem": "x"})
		m.opt.CacheDir = t.TempDir()
		if _, _, err := m.all(m.client()); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", test.conf, err)
		}
	}
}

// TestClientCertificate: the certificate that apt is told to show is shown, to the host for which
// it is.
func TestClientCertificate(t *testing.T) {
	m := newMirror(t, nil)
	client, cert, key := fakedebian.Certificate(t)
	_, otherCert, otherKey := fakedebian.Certificate(t)
	srv := fakedebian.ServeMutualTLS(t, fakedebian.Mounts{"debian": m.a.Tree()}, client)
	m.repo.URI = srv.URL("debian")
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))
	for _, test := range []struct {
		conf string
		want error
		hint string
	}{
		{``, failure.ErrUnreachable, "network"},
		{`SslCert "/cert.pem"; SslKey "/key.pem";`, nil, ""},
		{`SslCert "/both.pem";`, nil, ""},
		{`127.0.0.1 { SslCert "/cert.pem"; SslKey "/key.pem"; };`, nil, ""},
		{`other.example { SslCert "/cert.pem"; SslKey "/key.pem"; };`, failure.ErrUnreachable,
			"network"},
		{`SslCert "/other.pem"; SslKey "/otherkey.pem";`, failure.ErrUnreachable, "network"},
		{`SslCert "/cert.pem"; SslKey "/none.pem";`, os.ErrNotExist, "SslCert and SslKey"},
	} {
		m.opt.Host = aptHost(t, map[string]string{
			"etc/apt/apt.conf": `Acquire::https { CaInfo "/ca.pem"; ` + test.conf + ` };`,
			"ca.pem":           ca, "cert.pem": string(cert), "key.pem": string(key),
			"both.pem":  string(cert) + string(key),
			"other.pem": string(otherCert), "otherkey.pem": string(otherKey),
		})
		m.opt.CacheDir = t.TempDir()
		if _, _, err := m.all(m.client()); !errors.Is(err, test.want) ||
			!strings.Contains(fault.HintOf(err), test.hint) {
			t.Errorf("%s: %v, hint %q", test.conf, err, fault.HintOf(err))
		}
	}
}

// TestRedirectKeepsSecrets: a password goes to the host it is for, and nowhere else.
func TestRedirectKeepsSecrets(t *testing.T) {
	m := newMirror(t, nil)
	var leaked []string
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			leaked = append(leaked, r.URL.Path)
		}
		http.Redirect(w, r, m.srv.Server.URL+r.URL.Path+"?back", http.StatusFound)
	}))
	defer other.Close()
	m.srv.RequireAuth("joe", "secret")
	host := strings.TrimPrefix(m.srv.Server.URL, "http://")
	m.opt.Host = aptHost(t,
		map[string]string{"etc/apt/auth.conf": "machine http://" + host +
			" login joe password secret"})
	m.srv.Fault("^debian/pool/.*delta", fakedebian.Fault{Redirect: other.URL + "/debian/pool/x",
		Times: 1})
	_, _, err := m.all(m.client())
	if len(leaked) > 0 {
		t.Errorf("the password went to another host for %q", leaked)
	}
	if err != nil && !errors.Is(err, failure.ErrNotFound) {
		t.Error(err)
	}
	m.opt.Host = aptHost(t,
		map[string]string{"etc/apt/apt.conf": `Acquire::http::AllowRedirect "false";`})
	m.repo.URI, m.opt.CacheDir = other.URL+"/debian", t.TempDir()
	if _, _, err := m.all(m.client()); !errors.Is(err, failure.ErrRefused) ||
		!strings.Contains(err.Error(), "AllowRedirect") {
		t.Error(err)
	}
}

func TestDiskFull(t *testing.T) {
	err := failure.WithHint(
		failure.OnDisk("/cache", &os.PathError{Op: "write", Path: "/cache/x", Err: syscall.ENOSPC}))
	if !errors.Is(err, failure.ErrNoSpace) || !strings.Contains(fault.HintOf(err), "/cache") {
		t.Errorf("%v, %s", err, fault.HintOf(err))
	}
	other := errors.New("x")
	//nolint:errorlint // it must come back as it is
	if failure.OnDisk("/cache", other) != other {
		t.Error("another error")
	}
}

// TestRemove: the longest unused is known by its time; what is in use, and what can be resumed,
// stays.
func TestRemove(t *testing.T) {
	m := newMirror(t, nil)
	c := m.client()
	_, debs, err := m.all(c)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for p, path := range debs {
		used := now
		if p.Package == "delta" {
			used = now.Add(-time.Hour)
		}
		if err := os.Chtimes(path, used, used); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := c.Cache.Entries(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	entries = slices.DeleteFunc(entries, func(e cache.Entry) bool {
		return e.Kind != "debs" || now.Sub(e.Used) < time.Minute
	})
	if n, err := c.Cache.Remove(entries); n < 100000 || err != nil || len(entries) != 1 {
		t.Errorf("%d bytes, %v", n, err)
	}
	for p, path := range debs {
		if _, err := os.Stat(path); (err != nil) != (p.Package == "delta") {
			t.Errorf("%s: %v", p, err)
		}
	}

	long := now.Add(-30 * 24 * time.Hour)
	scratch, err := c.Cache.Scratch()
	if err != nil {
		t.Fatal(err)
	}
	defer scratch.Close()
	dead := filepath.Join(m.opt.CacheDir, "partial", "scratch-dead")
	part := filepath.Join(m.opt.CacheDir, "partial", "part")
	write(t, dead, []byte("x"))
	write(t, part, []byte("x"))
	for _, f := range []string{scratch.Name(), dead} {
		if err := os.Chtimes(f, long, long); err != nil {
			t.Fatal(err)
		}
	}
	lists, err := filepath.Glob(filepath.Join(m.opt.CacheDir, "lists", "??", "*"))
	if err != nil || len(lists) != 2 {
		t.Fatalf("%q %v", lists, err)
	}
	if err := os.Chtimes(lists[0], long, long); err != nil {
		t.Fatal(err)
	}
	if err := c.Cache.Sweep(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(lists[0]); err != nil {
		t.Errorf("it is in use: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Cache.Sweep(); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]bool{scratch.Name(): true, dead: false, part: true,
		lists[0]: false, lists[1]: true} {
		if _, err := os.Stat(file); (err == nil) != want {
			t.Errorf("%s: %v", file, err)
		}
	}
	if _, _, err := m.all(m.client()); err != nil {
		t.Error(err)
	}
}

// aptRoot is a directory with the configuration of an apt below it.
func aptRoot(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		write(t, filepath.Join(root, name), []byte(text))
	}
	return root
}

func aptHost(t *testing.T, files map[string]string) *aptconf.Host {
	t.Helper()
	h, err := aptconf.ReadHost(aptRoot(t, files), nil)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestHostAltogether: proxy, login and sources of a host lead to its mirror.
func TestHostAltogether(t *testing.T) {
	m := newMirror(t, nil)
	m.srv.RequireAuth("joe", "secret")
	proxy := m.srv.Server.URL
	root := aptRoot(t, map[string]string{
		"etc/apt/apt.conf": `Acquire::http { Proxy "` + proxy +
			`"; }; Acquire::Retries "0";`,
		"etc/apt/sources.list.d/debian.sources": "Types: deb\nURIs: " +
			"http://mirror.example/debian\nSuites: trixie\nComponents: main\nSigned-By: " +
			"/etc/apt/keyrings/own.gpg\n",
		"etc/apt/auth.conf":        "machine http://mirror.example login joe password secret",
		"etc/apt/keyrings/own.gpg": string(fakedebian.KeyOf(t, fakedebian.KeyArchive).Public(t)),
	})
	h, err := aptconf.ReadHost(root, nil)
	if err != nil {
		t.Fatal(err)
	}
	suite, err := suites.New().Lookup("bookworm")
	if err != nil {
		t.Fatal(err)
	}
	repos, err := h.Repos(suite, "", "")
	if err != nil {
		t.Fatal(err)
	}
	m.repo, m.opt.Host = repos[0], h
	_, debs, err := m.all(m.client())
	if err != nil {
		t.Fatal(err)
	}
	m.checkDebs(debs)
	if host := m.srv.Requests()[0].Host; host != "mirror.example" {
		t.Errorf("asked for host %s", host)
	}
}
