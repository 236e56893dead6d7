package release_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/archivetest"
	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/suites"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/fault"
)

func TestConditionalAndOffline(t *testing.T) {
	m := archivetest.New(t, nil)
	m.Options.RefreshAfter = time.Minute
	now := time.Now()
	m.Options.Now = func() time.Time { return now }
	get := func(wantRequests int, wantStatus int) {
		t.Helper()
		m.Server.ResetCounts()
		if _, _, err := m.All(m.Client()); err != nil {
			t.Fatal(err)
		}
		reqs := m.Server.Requests()
		if len(reqs) != wantRequests || wantRequests > 0 && reqs[0].Status != wantStatus {
			t.Errorf("%+v", reqs)
		}
	}
	get(6, 200) // InRelease, Packages, four debs
	get(0, 0)
	now = now.Add(2 * time.Minute)
	get(1, 304)
	get(0, 0)
	m.Options.Offline = true
	now = now.Add(time.Hour)
	m.Server.Close()
	if _, _, err := m.All(m.Client()); err != nil {
		t.Error(err)
	}
	m.Options.CacheDir = t.TempDir()
	if _, _, err := m.All(m.Client()); !errors.Is(err, failure.ErrOffline) ||
		!strings.Contains(fault.HintOf(err), "--offline") {
		t.Error(err)
	}
}

// TestAbsent: that a mirror lacks an optional suite is remembered as long as what it has is, and
// longer without the network.
func TestAbsent(t *testing.T) {
	m := archivetest.New(t, nil)
	m.Options.RefreshAfter = time.Minute
	now := time.Now()
	m.Options.Now = func() time.Time { return now }
	updates := m.Repo
	updates.Suite, updates.Optional = "bookworm-updates", true
	get := func(wantRequests int) {
		t.Helper()
		m.Server.ResetCounts()
		if all, err := m.Client().Releases(t.Context(),
			[]aptconf.Repo{m.Repo, updates}); err != nil || len(all) != 1 {
			t.Fatal(all, err)
		}
		if n := m.Server.Count("bookworm-updates"); n != wantRequests {
			t.Errorf("%d requests, want %d", n, wantRequests)
		}
	}
	get(2) // for InRelease and for Release
	get(0)
	now = now.Add(2 * time.Minute)
	get(2)
	m.Options.Offline = true
	now = now.Add(time.Hour)
	get(0)
	m.Options.Offline = false
	updates.Optional = false
	if _, err := m.Client().Releases(t.Context(), []aptconf.Repo{updates}); !errors.Is(err,
		failure.ErrNoSuite) || m.Server.Count("bookworm-updates") != 2 {
		t.Errorf("a suite that must be there was not asked for: %v", err)
	}
}

// TestOlder: a mirror that goes back in time is not followed.
func TestOlder(t *testing.T) {
	m := archivetest.New(t, nil)
	if _, _, err := m.All(m.Client()); err != nil {
		t.Fatal(err)
	}
	m.Suite.Date = m.Suite.Date.Add(-time.Hour)
	m.Suite.Add(fakedebian.Package{Name: "old"})
	m.Serve(nil)
	_, debs, err := m.All(m.Client())
	if err != nil {
		t.Fatal(err)
	}
	if len(debs) != 4 || !strings.Contains(m.Log.String(), "older") {
		t.Errorf("%d debs, log %s", len(debs), m.Log)
	}
}

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
			s.Keys = archivetest.Keys(t, fakedebian.KeyExpired)
		}, suites.Quirks{ExpiredKeys: true, WeakKeys: true}, true},
		{"DSA", func(s *fakedebian.Suite) { s.Keys = archivetest.Keys(t, fakedebian.KeyWeakDSA) },
			suites.Quirks{WeakKeys: true}, true},
		{"RSA of 1024 bits", func(s *fakedebian.Suite) {
			s.Date = time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC)
			s.Keys = archivetest.Keys(t, fakedebian.KeyWeakRSA)
		}, suites.Quirks{WeakKeys: true}, true},
		{"MD5 and gz only", func(s *fakedebian.Suite) {
			s.Hashes, s.Compressions, s.ByHash = []fakedebian.Hash{fakedebian.MD5},
				[]fakedebian.Compression{fakedebian.Gzip}, false
		}, suites.Quirks{WeakHashes: true}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := archivetest.New(t, func(s *fakedebian.Suite) { s.Date = old; test.prepare(s) })
			m.Repo.Keyrings = []string{
				fakedebian.Keyring(t, fakedebian.KeyArchive, fakedebian.KeyExpired,
					fakedebian.KeyWeakDSA, fakedebian.KeyWeakRSA)}
			if _, _, err := m.All(m.Client()); err == nil && !test.quirks.NoInRelease {
				t.Error("accepted for a modern suite")
			}
			m.Log.Reset()
			m.Repo.Quirks, m.Options.CacheDir = test.quirks, t.TempDir()
			_, debs, err := m.All(m.Client())
			if err != nil {
				t.Fatal(err)
			}
			m.CheckDebs(debs)
			if got := strings.Contains(m.Log.String(), "accepted because"); got != test.warns {
				t.Errorf("log: %s", m.Log)
			}
		})
	}
}

// TestTrusted: without verification there is a warning, and everything below the Release file is
// still checked.
func TestTrusted(t *testing.T) {
	m := archivetest.New(t, func(s *fakedebian.Suite) { s.Keys = []*fakedebian.Key{} })
	m.Repo.Trusted = true
	r, debs, err := m.All(m.Client())
	if err != nil {
		t.Fatal(err)
	}
	m.CheckDebs(debs)
	if len(r.SignedBy()) != 0 || !strings.Contains(m.Log.String(), "NOT VERIFIED") {
		t.Errorf("%q, log: %s", r.SignedBy(), m.Log)
	}
	m.Serve(func(tr *fakedebian.Tree) { tr.Flip(tr.Find("/delta_1.0-1_all.deb"), 100) })
	m.Options.CacheDir = t.TempDir()
	if _, _, err := m.All(m.Client()); !errors.Is(err, failure.ErrHash) {
		t.Error(err)
	}
}
