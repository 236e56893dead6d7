package archive_test

import (
	"os"
	"path/filepath"
	"testing"

	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/archivetest"
	"nsbuild/internal/archive/suites"
	"nsbuild/internal/fakedebian"
)

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
		"RSA": func(s *fakedebian.Suite) { s.Keys = archivetest.Keys(t, fakedebian.KeyRSA) },
		"one key is enough": func(s *fakedebian.Suite) {
			s.Keys = archivetest.Keys(t, fakedebian.KeyOther, fakedebian.KeyArchive)
		},
		"the other too": func(s *fakedebian.Suite) {
			s.Keys = archivetest.Keys(t, fakedebian.KeyArchive, fakedebian.KeyExpired)
		},
	}
	for name, prepare := range forms {
		t.Run(name, func(t *testing.T) {
			m := archivetest.New(t, prepare)
			m.Repo.Keyrings = []string{
				fakedebian.Keyring(t, fakedebian.KeyArchive, fakedebian.KeyRSA,
					fakedebian.KeyExpired)}
			r, debs, err := m.All(m.Client())
			if err != nil {
				t.Fatal(err)
			}
			if r.Codename() != "bookworm" || r.Suite() != "oldstable" || len(r.SignedBy()) != 1 ||
				r.Date().IsZero() || len(r.Digest()) != 64 {
				t.Errorf("Release: %q %q %q %v %q", r.Codename(), r.Suite(), r.SignedBy(), r.Date(),
					r.Digest())
			}
			m.CheckDebs(debs)
		})
	}
}

// TestDamagedCache: whatever happened to the cache is noticed and mended.
func TestDamagedCache(t *testing.T) {
	m := archivetest.New(t, nil)
	if _, _, err := m.All(m.Client()); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(m.Options.CacheDir, func(path string, d os.DirEntry, err error) error {
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
	_, debs, err := m.All(m.Client())
	if err != nil {
		t.Fatal(err)
	}
	m.CheckDebs(debs)
}

// TestHostAltogether: proxy, login and sources of a host lead to its mirror.
func TestHostAltogether(t *testing.T) {
	m := archivetest.New(t, nil)
	m.Server.RequireAuth("joe", "secret")
	proxy := m.Server.Server.URL
	root := archivetest.AptRoot(t, map[string]string{
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
	m.Repo, m.Options.Host = repos[0], h
	_, debs, err := m.All(m.Client())
	if err != nil {
		t.Fatal(err)
	}
	m.CheckDebs(debs)
	if host := m.Server.Requests()[0].Host; host != "mirror.example" {
		t.Errorf("asked for host %s", host)
	}
}
