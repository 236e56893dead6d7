package archive

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nsbuild/internal/deb"
	"nsbuild/internal/fakedebian"
)

// serving starts a Server of the mirror's suite and of a package of the caller's own, and returns where it answers.
func (m *mirror) serving(c *Client) (s *Server, at string) {
	m.t.Helper()
	r, err := c.Release(m.t.Context(), m.repo)
	if err != nil {
		m.t.Fatal(err)
	}
	own := filepath.Join(m.t.TempDir(), "own.deb")
	var body bytes.Buffer
	if err := deb.Write(&body, deb.Package{Control: "Package: own\nVersion: 1\nArchitecture: all\nMaintainer: Nobody <nobody@example.org>\nDescription: ours\n"}); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(own, body.Bytes(), 0o644); err != nil {
		m.t.Fatal(err)
	}
	local, err := c.Local(m.t.Context(), "copy:/own", []string{own})
	if err != nil {
		m.t.Fatal(err)
	}
	if s, err = c.NewServer(m.t.Context(), "amd64", []*Local{local}, []*Release{r}); err != nil {
		m.t.Fatal(err)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		m.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(m.t.Context())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx, l) }()
	m.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			m.t.Error(err)
		}
	})
	return s, "http://" + l.Addr().String()
}

// TestServer has a client fetch from a Server what that has from a mirror.
func TestServer(t *testing.T) {
	m := newMirror(t, nil)
	first := m.client()
	s, at := m.serving(first)
	if want := "deb [trusted=yes] " + at + "/0 own main\ndeb [trusted=yes] " + at + "/1 bookworm main\n"; s.SourcesList(at) != want {
		t.Errorf("sources.list: %q, want %q", s.SourcesList(at), want)
	}
	own := &mirror{t: t, repo: Repo{URI: at + "/0", Suite: "own", Components: []string{"main"}, Trusted: true}}
	m.opt.CacheDir = t.TempDir()
	second := m.client()
	_, debs, err := own.all(second)
	if err != nil || len(debs) != 1 {
		t.Fatal(debs, err)
	}
	m.repo = Repo{URI: at + "/1", Suite: "bookworm", Components: []string{"main"}, Trusted: true}
	r, debs, err := m.all(second)
	if err != nil {
		t.Fatal(err)
	}
	if r.Codename() != "bookworm" || r.Suite() != "oldstable" || !slices.Equal(r.Architectures(), []string{"amd64"}) || r.Date().IsZero() {
		t.Errorf("Release: %q %q %q %v", r.Codename(), r.Suite(), r.Architectures(), r.Date())
	}
	m.checkDebs(debs)
	if err := s.Failed(); err != nil {
		t.Error(err)
	}
}

// TestServerRefuses asks a Server for what no suite lists.
func TestServerRefuses(t *testing.T) {
	m := newMirror(t, nil)
	s, at := m.serving(m.client())
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/1/dists/bookworm/Release", 200}, {"HEAD", "/1/dists/bookworm/Release", 200}, {"HEAD", "/1/dists/bookworm/main/binary-amd64/Packages", 200}, {"POST", "/1/dists/bookworm/Release", 405},
		{"GET", "/", 404}, {"GET", "/2/dists/bookworm/Release", 404}, {"GET", "/-1/x", 404}, {"GET", "/1/dists/bookworm/InRelease", 404}, {"GET", "/1/dists/trixie/Release", 404},
		{"GET", "/1/dists/bookworm/main/source/Sources", 404}, {"GET", "/1/pool/main/z/zeta/zeta_1.0_amd64.deb", 404}, {"GET", "/1/../../../../etc/passwd", 404}, {"GET", "/1/%2e%2e/etc/passwd", 404},
		{"GET", "http://mirror.example/debian/dists/bookworm/Release", 404}, {"CONNECT", "/1/dists/bookworm/Release", 405},
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
		if got, _, _ := strings.Cut(string(answer), "\r\n"); !strings.Contains(got, http.StatusText(c.status)) {
			t.Errorf("%s %s: %q, want %d", c.method, c.path, got, c.status)
		}
	}
	if err := s.Failed(); err != nil {
		t.Errorf("asking for what there is not is no failure: %v", err)
	}
}

// TestServerFails tells what the mirror did not have, or had otherwise.
func TestServerFails(t *testing.T) {
	m := newMirror(t, nil)
	s, at := m.serving(m.client())
	m.serve(func(tree *fakedebian.Tree) { tree.Truncate(tree.Find("/delta_1.0-1_all.deb"), 5000) })
	m.opt.CacheDir = t.TempDir()
	m.repo = Repo{URI: at + "/1", Suite: "bookworm", Components: []string{"main"}, Trusted: true}
	if _, _, err := m.all(m.client()); err == nil {
		t.Error("a package that is not what the index says was handed out")
	}
	if err := s.Failed(); !errors.Is(err, ErrSize) {
		t.Errorf("Failed: %v", err)
	}
}
