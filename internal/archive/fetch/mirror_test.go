package fetch_test

import (
	"errors"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"nsbuild/internal/archive/archivetest"
	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/fetch"
	"nsbuild/internal/fakedebian"
)

func TestDirectory(t *testing.T) {
	m := archivetest.New(t, nil)
	dir := filepath.Join(t.TempDir(), "a mirror+~")
	m.Archive.Tree().CopyTo(dir)
	uri := (&url.URL{Scheme: "file", Path: dir, OmitHost: true}).String()
	for _, m.Repo.URI = range []string{uri, "copy:" + strings.TrimPrefix(uri, "file:"),
		"file://" + strings.TrimPrefix(uri, "file:")} {
		m.Options.CacheDir = t.TempDir()
		_, debs, err := m.All(m.Client())
		if err != nil {
			t.Fatal(err)
		}
		m.CheckDebs(debs)
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
			m := archivetest.New(t, nil)
			m.Options.Retries, m.Options.Timeout = 3, 2*time.Second
			m.Server.Fault(test.fault, test.with)
			_, debs, err := m.All(m.Client())
			if err != nil {
				t.Fatal(err)
			}
			m.CheckDebs(debs)
		})
	}
}

// TestResume: after a cut only the rest is asked for, in the same run and in the next.
func TestResume(t *testing.T) {
	m := archivetest.New(t, nil)
	m.Server.Fault("/delta", fakedebian.Fault{CutAfter: 50000, Times: 1})
	if _, _, err := m.All(m.Client()); !errors.Is(err, failure.ErrUnreachable) {
		t.Fatal(err)
	}
	_, debs, err := m.All(m.Client())
	if err != nil {
		t.Fatal(err)
	}
	m.CheckDebs(debs)
	var ranges []string
	for _, r := range m.Server.Requests() {
		if strings.Contains(r.Path, "/delta") {
			ranges = append(ranges, r.Range)
		}
	}
	if len(ranges) != 2 || ranges[0] != "" || ranges[1] == "" {
		t.Errorf("ranges asked for: %q", ranges)
	}
}

// TestTwoAtOnce: several clients of one cache download each file once.
func TestTwoAtOnce(t *testing.T) {
	m := archivetest.New(t, nil)
	m.Server.Fault("/delta", fakedebian.Fault{Slow: 2 * time.Millisecond})
	var wg sync.WaitGroup
	for range 3 {
		c := m.Client()
		wg.Go(func() {
			if _, _, err := m.All(c); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := m.Server.Count("/delta"); n != 1 {
		t.Errorf("delta was fetched %d times", n)
	}
}

func TestProgress(t *testing.T) {
	m := archivetest.New(t, nil)
	m.Options.Retries = 2
	var mu sync.Mutex
	total, done := map[string]int64{}, map[string]int64{}
	m.Options.Progress = func(p fetch.Progress) {
		mu.Lock()
		defer mu.Unlock()
		total[p.What] += p.Total
		done[p.What] += p.Done
	}
	m.Server.Fault("/delta", fakedebian.Fault{CutAfter: 50000, NoRanges: true, Times: 1})
	if _, _, err := m.All(m.Client()); err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"lists", "debs"} {
		if total[what] == 0 || total[what] != done[what] {
			t.Errorf("%s: %d of %d", what, done[what], total[what])
		}
	}
	m.Options.Progress = func(p fetch.Progress) { t.Errorf("%+v", p) }
	if _, _, err := m.All(m.Client()); err != nil {
		t.Fatal(err)
	}
}
