package index_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/archivetest"
	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/hashes"
	"nsbuild/internal/archive/index"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/fault"
	"nsbuild/internal/testenv"
)

// TestChangesMidway: the mirror is updated between the Release file and the index.
func TestChangesMidway(t *testing.T) {
	m := archivetest.New(t, func(s *fakedebian.Suite) { s.ByHash = false })
	c := m.Client()
	r, err := c.Release(t.Context(), m.Repo)
	if err != nil {
		t.Fatal(err)
	}
	before := r.Digest()
	m.Suite.Add(fakedebian.Package{Name: "epsilon"})
	m.Suite.Date = m.Suite.Date.Add(time.Minute)
	m.Serve(nil)
	var names []string
	err = c.Packages(t.Context(), r, "main", "amd64", func(p *index.Package) error {
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

// TestFlat: a repository without dists/.
func TestFlat(t *testing.T) {
	m := archivetest.New(t, func(s *fakedebian.Suite) { s.ByHash = false })
	tree := m.Archive.Tree()
	dir := t.TempDir()
	packages := tree.Read("dists/bookworm/main/binary-amd64/Packages.gz")
	for _, name := range tree.Paths() {
		if strings.HasPrefix(name, "pool/") {
			archivetest.Write(t, filepath.Join(dir, name), tree.Read(name))
		}
	}
	archivetest.Write(t, filepath.Join(dir, "Packages.gz"), packages)
	archivetest.Write(t, filepath.Join(dir, "Release"),
		[]byte("Date: Sat, 21 Nov 2020 09:15:44 UTC\nSHA256:\n "+hashes.SHA256(packages)+" "+
			strconv.Itoa(len(packages))+" Packages.gz\n"))
	m.Repo = aptconf.Repo{URI: "file:" + dir, Suite: "./", Trusted: true}
	flat := func() (n int, err error) {
		c := m.Client()
		r, err := c.Release(t.Context(), m.Repo)
		if err == nil {
			err = c.Packages(t.Context(), r, "", "amd64", func(*index.Package) error {
				n++
				return nil
			})
		}
		return n, err
	}
	for range 2 { // the second time the cache knows what the index unpacks to
		if n, err := flat(); err != nil || n != 4 {
			t.Errorf("%d packages, %v", n, err)
		}
	}
	m.Repo.Trusted, m.Repo.Keyrings, m.Options.CacheDir = false,
		[]string{fakedebian.Keyring(t, fakedebian.KeyArchive)}, t.TempDir()
	if _, err := flat(); !errors.Is(err, failure.ErrNoSignature) {
		t.Errorf("unsigned: %v", err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "Release"))
	if err != nil {
		t.Fatal(err)
	}
	archivetest.Write(t, filepath.Join(dir, "InRelease"),
		fakedebian.Clearsigned(t, string(text), m.Suite.Date,
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
			m := archivetest.New(t, func(s *fakedebian.Suite) {
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
			m.Serve(func(tr *fakedebian.Tree) {
				tr.Remove("dists/bookworm/main/binary-arm64/")
				tr.Remove("dists/bookworm/contrib/")
				tr.Remove("dists/bookworm/main/source/")
			})
			_, debs, err := m.All(m.Client())
			if err != nil {
				t.Fatal(err)
			}
			m.CheckDebs(debs)
			c := m.Client()
			r, err := c.Release(t.Context(), m.Repo)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Packages(t.Context(), r, "main", "arm64", func(*index.Package) error {
				return nil
			}); !errors.Is(err, failure.ErrNotFound) ||
				!strings.Contains(fault.HintOf(err), "incomplete") {
				t.Errorf("%v, hint %q", err, fault.HintOf(err))
			}
		})
	}
}
