package release_test

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
	"nsbuild/internal/archive/archivetest"
	"nsbuild/internal/archive/cache"
	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/index"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/fault"
)

// bare makes a directory of packages with what dpkg-scanpackages makes of it, and no Release file.
func bare(t *testing.T) (m *archivetest.Mirror, dir string, packages []byte) {
	m = archivetest.New(t, func(s *fakedebian.Suite) { s.ByHash = false })
	tree := m.Archive.Tree()
	dir = t.TempDir()
	for _, name := range tree.Paths() {
		if strings.HasPrefix(name, "pool/") {
			archivetest.Write(t, filepath.Join(dir, name), tree.Read(name))
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
func count(t *testing.T, m *archivetest.Mirror, component string) (n int, err error) {
	c := m.Client()
	r, err := c.Release(t.Context(), m.Repo)
	if err == nil {
		err = c.Packages(t.Context(), r, component, "amd64", func(*index.Package) error {
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
					data = m.Archive.Tree().Read("dists/bookworm/main/binary-amd64/Packages" + ext)
				}
				archivetest.Write(t, filepath.Join(here, tt.file), data)
				component := ""
				if tt.suite == "x" {
					component = "main"
				}
				if tt.release != "" {
					archivetest.Write(t, filepath.Join(here, "Release"), []byte(tt.release))
				}
				m.Options.CacheDir = t.TempDir()
				m.Repo = aptconf.Repo{URI: "file:" + here, Suite: tt.suite, Trusted: true}
				if by == "http" {
					srv := httptest.NewServer(http.FileServer(http.Dir(here)))
					defer srv.Close()
					m.Repo.URI = srv.URL
				}
				if component != "" {
					m.Repo.Components = []string{component}
				}
				for range 2 {
					if n, err := count(t, m, component); !errors.Is(err, tt.want) || err == nil &&
						n != 4 {
						t.Errorf("by %s: %d packages, %v, want %v", by, n, err, tt.want)
					}
				}
				m.Repo.Trusted, m.Options.CacheDir = false, t.TempDir()
				if _, err := count(t, m, component); err == nil {
					t.Errorf("by %s: taken without [trusted=yes]", by)
				} else if fault.HintOf(err) == "" {
					t.Errorf("by %s: no hint: %v", by, err)
				}
				line := strings.Replace(m.Repo.SourcesLine(), "deb ", "deb [allow-insecure=yes] ",
					1)
				repos, err := (&aptconf.Host{}).ExtraRepos(line, "amd64", m.Repo.Keyrings)
				if err != nil {
					t.Fatal(err)
				}
				m.Repo = repos[0].Repo
				if _, err := count(t, m, component); tt.release == "" &&
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
	m.Repo = aptconf.Repo{URI: "file:" + dir, Suite: "./", Trusted: true}
	m.Options.RefreshAfter = time.Hour
	archivetest.Write(t, filepath.Join(dir, "Packages"), packages)
	digests := map[string]bool{}
	read := func() int {
		t.Helper()
		n, err := count(t, m, "")
		if err != nil {
			t.Fatal(err)
		}
		r, err := m.Client().Release(t.Context(), m.Repo)
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
	archivetest.Write(t, filepath.Join(dir, "Packages"), []byte(one+"\n\n"))
	if err := os.Chtimes(filepath.Join(dir, "Packages"), time.Time{},
		time.Unix(1e9, 0)); err != nil {
		t.Fatal(err)
	}
	if n := read(); n != 1 || len(digests) != 2 {
		t.Errorf("after a change: %d packages, %d digests", n, len(digests))
	}
	m.Options.Offline = true
	if n := read(); n != 1 || len(digests) != 2 {
		t.Errorf("offline: %d packages, %d digests", n, len(digests))
	}
	c := m.Client()
	r, err := c.Release(t.Context(), m.Repo)
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
	if !strings.Contains(m.Log.String(), "NOT VERIFIED") {
		t.Errorf("no word of it: %s", m.Log)
	}
}
