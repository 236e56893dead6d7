package archivetest

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"nsbuild/internal/archive"
	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/index"
	"nsbuild/internal/archive/release"
	"nsbuild/internal/fakedebian"
)

// Mirror is a fake archive with one suite, served, and a client for it.
type Mirror struct {
	Archive *fakedebian.Archive
	Suite   *fakedebian.Suite
	Server  *fakedebian.Server
	Options archive.Options // of the clients that are made
	Repo    aptconf.Repo    // what All fetches
	Log     *bytes.Buffer   // what clients have logged

	t *testing.T
}

// New makes an archive of four small packages and a source; prepare may change the suite
// before it is signed.
func New(t *testing.T, prepare func(*fakedebian.Suite)) *Mirror {
	t.Helper()
	m := &Mirror{t: t, Archive: fakedebian.New(t), Log: &bytes.Buffer{}}
	m.Suite = m.Archive.Suite("bookworm")
	m.Suite.Suite = "oldstable"
	body := strings.Repeat("all work and no play makes jack a dull boy\n", 3)
	for _, name := range []string{"alpha", "beta", "gamma"} {
		m.Suite.Add(fakedebian.Package{Name: name, Architecture: "amd64",
			Depends: "libc6,\nbeta (>= 1)",
			Files:   []fakedebian.File{{Path: "usr/share/" + name, Body: body}}})
	}
	m.Suite.Add(fakedebian.Package{Name: "delta", Essential: true,
		Files: []fakedebian.File{{Path: "usr/share/big", Body: Noise(200 << 10)}}})
	m.Suite.AddSource(fakedebian.Source{Name: "alpha", Version: "1.0-1"},
		fakedebian.Source{Name: "alpha", Version: "1.0-2~rc1"}, fakedebian.Source{Name: "alpine"})
	if prepare != nil {
		prepare(m.Suite)
	}
	m.Server = fakedebian.Serve(t, fakedebian.Mounts{"debian": m.Archive.Tree()})
	logger := logrus.New()
	logger.SetOutput(&syncWriter{w: m.Log})
	m.Options = archive.Options{CacheDir: t.TempDir(), Log: logger, RefreshAfter: -1,
		Timeout: 5 * time.Second, Retries: -1}
	m.Repo = aptconf.Repo{URI: m.Server.URL("debian"), Suite: "bookworm", Components: []string{"main"},
		Keyrings: []string{fakedebian.Keyring(t, fakedebian.KeyArchive)}}
	return m
}

// Noise is text that does not compress well and is the same in every run.
func Noise(n int) string {
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

// Client makes a client, which is closed at the end of the test.
func (m *Mirror) Client() *archive.Client {
	m.t.Helper()
	c, err := archive.NewClient(m.Options)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() {
		if err := c.Close(); err != nil && !errors.Is(err, os.ErrClosed) { // by the test
			m.t.Error(err)
		}
	})
	return c
}

// Serve serves a copy of the archive as it is now, which change may damage.
func (m *Mirror) Serve(change func(*fakedebian.Tree)) {
	tree := m.Archive.Tree()
	if change != nil {
		change(tree)
	}
	m.Server.Mount("debian", tree)
}

// All fetches everything: the Release file, the packages' index and the packages.
func (m *Mirror) All(c *archive.Client) (*release.File, map[*index.Package]string, error) {
	r, err := c.Release(m.t.Context(), m.Repo)
	if err != nil {
		return nil, nil, err
	}
	var list []*index.Package
	err = c.Packages(m.t.Context(), r, "main", "amd64", func(p *index.Package) error {
		list = append(list, p)
		return nil
	})
	if err != nil {
		return r, nil, err
	}
	debs, err := c.Debs(m.t.Context(), list)
	return r, debs, err
}

// CheckDebs compares the fetched files with the archive's.
func (m *Mirror) CheckDebs(debs map[*index.Package]string) {
	m.t.Helper()
	tree := m.Archive.Tree()
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
	if left, err := os.ReadDir(filepath.Join(m.Options.CacheDir, "partial")); err != nil ||
		len(left) > 0 {
		m.t.Errorf("left over: %v %v", left, err)
	}
}

// Keys are keys of some kinds.
func Keys(t *testing.T, kinds ...fakedebian.KeyKind) []*fakedebian.Key {
	var out []*fakedebian.Key
	for _, k := range kinds {
		out = append(out, fakedebian.KeyOf(t, k))
	}
	return out
}
