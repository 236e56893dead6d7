package archive

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/cache"
	"nsbuild/internal/archive/failure"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/fault"
)

// bare makes a directory of packages with what dpkg-scanpackages makes of it, and no Release file.
func bare(t *testing.T) (m *mirror, dir string, packages []byte) {
	m = newMirror(t, func(s *fakedebian.Suite) { s.ByHash = false })
	tree := m.a.Tree()
	dir = t.TempDir()
	for _, name := range tree.Paths() {
		if strings.HasPrefix(name, "pool/") {
			write(t, filepath.Join(dir, name), tree.Read(name))
		}
	}
	r, done, err := cache.Decompress(
		bytes.NewReader(tree.Read("dists/bookworm/main/binary-amd64/Packages.gz")), ".gz")
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	if packages, err = io.ReadAll(r); err != nil {
		t.Fatal(err)
	}
	return m, dir, packages
}

// count reads a repository's packages.
func (m *mirror) count(component string) (n int, err error) {
	c := m.client()
	r, err := c.Release(m.t.Context(), m.repo)
	if err == nil {
		err = c.Packages(m.t.Context(), r, component, "amd64", func(*Package) error {
			n++
			return nil
		})
	}
	return n, err
}

// TestUnlisted: a trusted repository needs no Release file, nor one that lists anything.
func TestUnlisted(t *testing.T) {
	m, _, packages := bare(t)
	weak := func(data []byte) string { return fmt.Sprintf("%x %d", md5.Sum(data), len(data)) }
	strong := func(data []byte) string {
		return fmt.Sprintf("%x %d", sha256.Sum256(data), len(data))
	}
	date := "Date: Sat, 21 Nov 2020 09:15:44 UTC\n"
	for name, tt := range map[string]struct {
		suite   string
		release string
		file    string
		want    error
	}{
		"nothing":     {"./", "", "Packages", nil},
		"suite /":     {"/", "", "Packages", nil},
		"a directory": {"sub/", "", "sub/Packages", nil},
		"gz":          {"./", "", "Packages.gz", nil},
		"xz":          {"./", "", "Packages.xz", nil},
		"a tree":      {"x", "", "dists/x/main/binary-amd64/Packages", nil},
		"no date": {"./", "Origin: x\nSHA256:\n " + strong(packages) + " Packages\n",
			"Packages", nil},
		"no list":       {"./", date + "Origin: y\n\n", "Packages", nil},
		"an empty file": {"./", "\n", "Packages", nil},
		"MD5 alone": {"./", date + "MD5Sum:\n " + weak(packages) + " Packages\n",
			"Packages", nil},
		"MD5 of another file": {"./", date + "MD5Sum:\n " + weak(packages[1:]) + " Packages\n",
			"Packages", failure.ErrHash},
		"other files alone": {"./", date + "SHA256:\n " + strong(nil) + " Sources\n", "Packages",
			failure.ErrNoIndex},
		"no Packages": {"./", "", "README", failure.ErrNoSuite},
	} {
		t.Run(name, func(t *testing.T) {
			for _, by := range []string{"file", "http"} {
				here := t.TempDir()
				data := packages
				if ext := filepath.Ext(tt.file); ext != "" {
					data = m.a.Tree().Read("dists/bookworm/main/binary-amd64/Packages" + ext)
				}
				write(t, filepath.Join(here, tt.file), data)
				component := ""
				if tt.suite == "x" {
					component = "main"
				}
				if tt.release != "" {
					write(t, filepath.Join(here, "Release"), []byte(tt.release))
				}
				m.opt.CacheDir = t.TempDir()
				m.repo = aptconf.Repo{URI: "file:" + here, Suite: tt.suite, Trusted: true}
				if by == "http" {
					srv := httptest.NewServer(http.FileServer(http.Dir(here)))
					defer srv.Close()
					m.repo.URI = srv.URL
				}
				if component != "" {
					m.repo.Components = []string{component}
				}
				for range 2 {
					if n, err := m.count(component); !errors.Is(err, tt.want) || err == nil &&
						n != 4 {
						t.Errorf("by %s: %d packages, %v, want %v", by, n, err, tt.want)
					}
				}
				m.repo.Trusted, m.opt.CacheDir = false, t.TempDir()
				if _, err := m.count(component); err == nil {
					t.Errorf("by %s: taken without [trusted=yes]", by)
				} else if fault.HintOf(err) == "" {
					t.Errorf("by %s: no hint: %v", by, err)
				}
				line := strings.Replace(m.repo.SourcesLine(), "deb ", "deb [allow-insecure=yes] ",
					1)
				repos, err := (&aptconf.Host{}).ExtraRepos(line, "amd64", m.repo.Keyrings)
				if err != nil {
					t.Fatal(err)
				}
				m.repo = repos[0].Repo
				if _, err := m.count(component); tt.release == "" &&
					(err == nil || !strings.Contains(err.Error(), "allow-insecure=yes")) {
					t.Errorf("by %s: [allow-insecure=yes]: %v", by, err)
				}
			}
		})
	}
}

// TestUnlistedChanges: what is new in a directory counts at once, also when it is older, and
// offline; its packages are fetched and verified.
func TestUnlistedChanges(t *testing.T) {
	m, dir, packages := bare(t)
	m.repo = aptconf.Repo{URI: "file:" + dir, Suite: "./", Trusted: true}
	m.opt.RefreshAfter = time.Hour
	write(t, filepath.Join(dir, "Packages"), packages)
	digests := map[string]bool{}
	read := func() int {
		t.Helper()
		n, err := m.count("")
		if err != nil {
			t.Fatal(err)
		}
		r, err := m.client().Release(t.Context(), m.repo)
		if err != nil {
			t.Fatal(err)
		}
		digests[r.Digest()] = true
		return n
	}
	if n := read(); n != 4 {
		t.Errorf("%d packages", n)
	}
	one, _, _ := strings.Cut(string(packages), "\n\n")
	write(t, filepath.Join(dir, "Packages"), []byte(one+"\n\n"))
	if err := os.Chtimes(filepath.Join(dir, "Packages"), time.Time{},
		time.Unix(1e9, 0)); err != nil {
		t.Fatal(err)
	}
	if n := read(); n != 1 || len(digests) != 2 {
		t.Errorf("after a change: %d packages, %d digests", n, len(digests))
	}
	m.opt.Offline = true
	if n := read(); n != 1 || len(digests) != 2 {
		t.Errorf("offline: %d packages, %d digests", n, len(digests))
	}
	c := m.client()
	r, err := c.Release(t.Context(), m.repo)
	if err != nil {
		t.Fatal(err)
	}
	lists, err := c.AptLists(t.Context(), r, nil, []string{"amd64"}, "")
	if err != nil || len(lists) != 2 || !strings.HasSuffix(lists[0].Name, "_._Release") ||
		!strings.HasSuffix(lists[1].Name, "_._Packages") {
		t.Errorf("%+v, %v", lists, err)
	}
	if err := os.Rename(dir, dir+".gone"); err != nil {
		t.Fatal(err)
	}
	if n := read(); n != 1 {
		t.Errorf("offline, and the directory is gone: %d packages", n)
	}
	if !strings.Contains(m.log.String(), "NOT VERIFIED") {
		t.Errorf("no word of it: %s", m.log)
	}
}
