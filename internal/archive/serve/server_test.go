package serve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nsbuild/internal/archive"
	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/archivetest"
	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/hashes"
	"nsbuild/internal/archive/pool"
	"nsbuild/internal/archive/release"
	"nsbuild/internal/deb"
	"nsbuild/internal/fakedebian"
)

// serving starts a Server of the mirror's suite, or of others, and of a package of the caller's
// own, and returns where it answers.
func serving(t *testing.T, m *archivetest.Mirror, c *archive.Client,
	releases ...*release.File) (s *Server, at string) {
	t.Helper()
	if releases == nil {
		r, err := c.Release(t.Context(), m.Repo)
		if err != nil {
			t.Fatal(err)
		}
		releases = []*release.File{r}
	}
	own := filepath.Join(t.TempDir(), "own.deb")
	var body bytes.Buffer
	if err := deb.Write(&body, deb.Package{Control: "Package: own\nVersion: 1\nArchitecture: " +
		"all\nMaintainer: Nobody <nobody@example.org>\nDescription: ours\n"}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(own, body.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	local, err := c.Local(t.Context(), "copy:/own", []string{own})
	if err != nil {
		t.Fatal(err)
	}
	if s, err = New(t.Context(), c, "amd64", []*pool.Local{local}, releases); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, s.Close()); err != nil {
			t.Error(err)
		}
	})
	return s, "http://" + l.Addr().String()
}

// TestServer has a client fetch from a Server what that has from a mirror.
func TestServer(t *testing.T) {
	m := archivetest.New(t, nil)
	first := m.Client()
	s, at := serving(t, m, first)
	if want := "deb [trusted=yes] " + at + "/0 own main\ndeb [trusted=yes] " + at +
		"/1 bookworm main\n"; s.SourcesList(at) != want {
		t.Errorf("sources.list: %q, want %q", s.SourcesList(at), want)
	}
	m.Repo = aptconf.Repo{URI: at + "/0", Suite: "own", Components: []string{"main"}, Trusted: true}
	m.Options.CacheDir = t.TempDir()
	second := m.Client()
	_, debs, err := m.All(second)
	if err != nil || len(debs) != 1 {
		t.Fatal(debs, err)
	}
	m.Repo = aptconf.Repo{URI: at + "/1", Suite: "bookworm", Components: []string{"main"},
		Trusted: true}
	r, debs, err := m.All(second)
	if err != nil {
		t.Fatal(err)
	}
	if r.Codename() != "bookworm" || r.Suite() != "oldstable" ||
		!slices.Equal(r.Architectures(), []string{"amd64"}) || r.Date().IsZero() {
		t.Errorf("Release: %q %q %q %v", r.Codename(), r.Suite(), r.Architectures(), r.Date())
	}
	m.CheckDebs(debs)
	if err := s.Failed(); err != nil {
		t.Error(err)
	}
}

// TestServerRefuses asks a Server for what no suite lists.
func TestServerRefuses(t *testing.T) {
	m := archivetest.New(t, nil)
	s, at := serving(t, m, m.Client())
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/1/dists/bookworm/Release", 200}, {"HEAD", "/1/dists/bookworm/Release", 200},
		{"HEAD", "/1/dists/bookworm/main/binary-amd64/Packages", 200},
		{"POST", "/1/dists/bookworm/Release", 405},
		{"GET", "/", 404}, {"GET", "/2/dists/bookworm/Release", 404}, {"GET", "/-1/x", 404},
		{"GET", "/1/dists/bookworm/InRelease", 404}, {"GET", "/1/dists/trixie/Release", 404},
		{"GET", "/1/dists/bookworm/main/source/Sources", 404},
		{"GET", "/1/pool/main/z/zeta/zeta_1.0_amd64.deb", 404},
		{"GET", "/1/" + m.Archive.Tree().Find("/alpha_1.0-1.dsc"), 404},
		{"GET", "/0/" + m.Archive.Tree().Find("/alpha_1.0-1_amd64.deb"), 404},
		{"GET", "/1/../../../../etc/passwd", 404}, {"GET", "/1/%2e%2e/etc/passwd", 404},
		{"GET", "http://mirror.example/debian/dists/bookworm/Release", 404},
		{"CONNECT", "/1/dists/bookworm/Release", 405},
	} {
		conn, err := net.Dial("tcp4", strings.TrimPrefix(at, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, c.method+" "+c.path+" HTTP/1.0\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(conn)
		if err = errors.Join(err, conn.Close()); err != nil {
			t.Fatal(err)
		}
		if got, _, _ := strings.Cut(string(answer), "\r\n"); !strings.Contains(got,
			http.StatusText(c.status)) {
			t.Errorf("%s %s: %q, want %d", c.method, c.path, got, c.status)
		}
	}
	if err := s.Failed(); err != nil {
		t.Errorf("asking for what there is not is no failure: %v", err)
	}
}

// TestServerFails tells what the mirror did not have, or had otherwise.
func TestServerFails(t *testing.T) {
	m := archivetest.New(t, nil)
	s, at := serving(t, m, m.Client())
	m.Serve(func(tree *fakedebian.Tree) { tree.Truncate(tree.Find("/delta_1.0-1_all.deb"), 5000) })
	m.Options.CacheDir = t.TempDir()
	m.Repo = aptconf.Repo{URI: at + "/1", Suite: "bookworm", Components: []string{"main"},
		Trusted: true}
	if _, _, err := m.All(m.Client()); !errors.Is(err, failure.ErrUnreachable) {
		t.Errorf("a package that is not what the index says: %v", err)
	}
	if err := s.Failed(); !errors.Is(err, failure.ErrSize) {
		t.Errorf("Failed: %v", err)
	}
}

// get asks a Server as apt does, and returns the first line of its answer.
func get(t *testing.T, method, url string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		t.Error(err)
	}
	return answer.Status
}

// TestServerImpatient has a client leave before the mirror has answered: what it asked for is there
// when it asks again, and nothing has failed.
func TestServerImpatient(t *testing.T) {
	m := archivetest.New(t, nil)
	s, at := serving(t, m, m.Client())
	until := make(chan struct{})
	name := m.Archive.Tree().Find("/delta_1.0-1_all.deb")
	m.Server.Fault(path.Base(name), fakedebian.Fault{Until: until})
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at+"/1/"+name, nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for m.Server.Count(path.Base(name)) == 0 {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	if answer, err := http.DefaultClient.Do(r); err == nil {
		answer.Body.Close()
		t.Error("answered before there was anything")
	}
	close(until)
	if got := get(t, "GET", at+"/1/"+name); got != "200 OK" ||
		m.Server.Count(path.Base(name)) != 1 || s.Failed() != nil {
		t.Errorf("%s, asked for %d times, %v", got, m.Server.Count(path.Base(name)), s.Failed())
	}
}

// TestServerBounds keeps a client from having all of an archive fetched, and from asking by many
// connections.
func TestServerBounds(t *testing.T) {
	m := archivetest.New(t, nil)
	s, at := serving(t, m, m.Client())
	small, large := at+"/1/"+m.Archive.Tree().Find("/alpha_1.0-1_amd64.deb"),
		at+"/1/"+m.Archive.Tree().Find("/delta_1.0-1_all.deb")
	s.left = 100 << 10
	for _, c := range []struct{ method, url, want string }{
		{"HEAD", small, "200 OK"}, {"GET", small, "200 OK"}, {"HEAD", large, "502 Bad Gateway"},
		{"GET", large, "502 Bad Gateway"}, {"GET", small, "200 OK"},
	} {
		if got := get(t, c.method, c.url); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.method, c.url, got, c.want)
		}
	}
	if n := m.Server.Count(`\.deb$`); n != 1 {
		t.Errorf("the mirror was asked for %d packages", n)
	}
	if err := s.Failed(); err == nil || !strings.Contains(err.Error(), "were asked for") {
		t.Errorf("Failed: %v", err)
	}
	http.DefaultClient.CloseIdleConnections()
	var idle []net.Conn
	for range maxClients {
		c, err := net.Dial("tcp4", strings.TrimPrefix(at, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		idle = append(idle, c)
	}
	answered := make(chan string)
	go func() { answered <- get(t, "GET", small) }()
	select {
	case got := <-answered:
		t.Errorf("one client more than there may be was answered: %s", got)
	case <-time.After(100 * time.Millisecond):
		if err := idle[0].Close(); err != nil {
			t.Error(err)
		}
		if got := <-answered; got != "200 OK" {
			t.Error(got)
		}
	}
}

// TestServerSuites serves what not all archives have: an index of its own for packages of all
// architectures, packages below dists, priorities of its own, and a flat repository.
func TestServerSuites(t *testing.T) {
	m := archivetest.New(t, nil)
	dir := t.TempDir()
	index := func(name, arch, file string) string { // without an empty line at its end
		return "Package: " + name + "\nVersion: 1\nArchitecture: " + arch + "\nFilename: " + file +
			"\nSize: 3\nSHA256: " + hashes.SHA256([]byte(name)) + "\n"
	}
	one, two, six := index("one", "amd64", "dists/mine/one_1_amd64.deb"),
		index("two", "all", "two_1_all.deb"), index("six", "all", "./other.name.deb")
	sum := func(text, name string) string {
		return fmt.Sprintf(" %s %d %s\n", hashes.SHA256([]byte(text)), len(text), name)
	}
	for name, text := range map[string]string{
		"dists/mine/Release": "Origin: Us\nSuite: mine\nNotAutomatic: yes\nButAutomaticUpgrades: " +
			"yes\nDate: Thu, 01 Jan 2026 00:00:00 UTC\nArchitectures: amd64 all\nComponents: " +
			"main contrib\nSHA256:\n" +
			sum(one, "main/binary-amd64/Packages") + sum(two, "main/binary-all/Packages") +
			sum("", "contrib/binary-amd64/Packages"),
		"dists/mine/main/binary-amd64/Packages": one, "dists/mine/main/binary-all/Packages": two,
		"dists/mine/contrib/binary-amd64/Packages": "", "dists/mine/one_1_amd64.deb": "one",
		"two_1_all.deb": "two",
		"Release":       "Date: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n" + sum(six, "Packages"),
		"Packages":      six, "other.name.deb": "six",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		archivetest.Write(t, filepath.Join(dir, name), []byte(text))
	}
	c := m.Client()
	var releases []*release.File
	for _, repo := range []aptconf.Repo{
		{Suite: "mine", Components: []string{"main", "contrib", "non-free"}}, {Suite: "./"}} {
		repo.URI, repo.Trusted = "file:"+dir, true
		r, err := c.Release(t.Context(), repo)
		if err != nil {
			t.Fatal(err)
		}
		releases = append(releases, r)
	}
	s, at := serving(t, m, c, releases...)
	if want := at + "/1 mine main contrib\ndeb [trusted=yes] " + at +
		"/2 flat main\n"; !strings.HasSuffix(s.SourcesList(at), want) {
		t.Errorf("sources.list: %q, want %q", s.SourcesList(at), want)
	}
	if want := "Origin: Us\nSuite: mine\nNotAutomatic: yes\nButAutomaticUpgrades: yes\nDate: " +
		"Thu, 01 Jan 2026 00:00:00 UTC\nArchitectures: amd64\nComponents: main contrib\nSHA256:\n"; !strings.HasPrefix(string(s.suites[1].release), want) {
		t.Errorf("Release: %q, want %q", s.suites[1].release, want)
	}
	m.Options.CacheDir = t.TempDir()
	second := m.Client()
	for _, repo := range []aptconf.Repo{{URI: at + "/1", Suite: "mine",
		Components: []string{"main"}},
		{URI: at + "/2", Suite: "flat", Components: []string{"main"}}} {
		m.Repo, m.Repo.Trusted = repo, true
		_, debs, err := m.All(second)
		if want := map[string]int{"mine": 2, "flat": 1}[repo.Suite]; err != nil ||
			len(debs) != want {
			t.Errorf("%s: %v, %v", repo.Suite, debs, err)
		}
	}
	if got := get(t, "GET", at+"/1/dists/mine/contrib/binary-amd64/Packages"); got != "200 OK" {
		t.Errorf("an empty list: %s", got)
	}
}
