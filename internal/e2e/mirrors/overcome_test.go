package mirrors

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"nsbuild/internal/e2e"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/testenv"
)

// overcome is a fault that need not stop anybody.
type overcome struct {
	fault, done string
	request     string // pattern of what is asked for
	// one after the other; none where the fault is in the archive itself
	faults []fakedebian.Fault
	wants  func(seen []fakedebian.Request) bool
}

// TestCreateOvercomes makes one base of a mirror at which everything goes wrong that can be mended.
func TestCreateOvercomes(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	testenv.RequireUserns(t)
	testenv.RequireNetwork(t)
	debs := oldPackages(t, e2e.SharedCache())
	names := make([]string, 0, len(debs))
	for name := range debs {
		names = append(names, name)
	}
	slices.Sort(names)
	w := e2e.NewWorld(t)
	testenv.HostState(t)

	a := fakedebian.New(t)
	s := a.Suite("bullseye")
	for _, name := range names {
		s.AddDeb("main", debs[name])
	}
	s.MutateIndex = func(_, text string) string {
		return strings.ReplaceAll(text, "Section: ", "Old-Section: ")
	}
	yesterday := a.Tree()
	s.Date, s.MutateIndex = s.Date.Add(time.Minute), nil
	s.Keys = []*fakedebian.Key{fakedebian.KeyOf(t, fakedebian.KeySecond),
		fakedebian.KeyOf(t, fakedebian.KeyArchive)}
	today := a.Tree()
	today.RemoveByHash()
	srv := fakedebian.Serve(t, fakedebian.Mounts{"debian": yesterday})
	args := []string{"create", "--variant=essential", "--mirror", srv.URL("debian"), "--keyring",
		fakedebian.Keyring(t, fakedebian.KeyArchive), "--mirror-timeout=2s", "bullseye"}

	// What was fetched of yesterday is its Release file alone; by the time that the index is asked
	// for, the mirror has today's.
	srv.Fault("binary-amd64", fakedebian.Fault{Status: 403})
	if o := w.Run(t, args...); o.Status != 1 || !strings.Contains(o.Stderr, "403") {
		t.Fatal(o)
	}
	srv.Heal()
	srv.Mount("debian", today)
	srv.ResetCounts()

	again := func(seen []fakedebian.Request) bool { return len(seen) == 2 && seen[1].Status == 200 }
	resumed := func(seen []fakedebian.Request) bool { return len(seen) == 2 && seen[1].Range != "" }
	once := func(seen []fakedebian.Request) bool { return len(seen) == 1 && seen[0].Status == 200 }
	told := faultTable{head: overcomeHead}
	all := []overcome{
		{"two signatures, one of them by a key that is not known", "the known one counts",
			`/bullseye/InRelease$`, nil, again},
		{"index that is replaced after its Release file was fetched",
			"the Release file is fetched again, once", `/bullseye/InRelease$`, nil, again},
		{"index that is not there by its hash, though the Release file promises it",
			"it is taken by its name, and compared with the hash as always",
			`binary-amd64/Packages\.`, nil,
			func(seen []fakedebian.Request) bool {
				return len(seen) > 0 && seen[len(seen)-1].Status == 200
			}},
		{"Release file that is cut", "it is fetched again", `/bullseye/InRelease$`,
			[]fakedebian.Fault{{CutAfter: 100, Times: 1}}, again},
		{"404, and then the file", "it is asked for again after a second", `/dpkg_[^/]*deb$`,
			[]fakedebian.Fault{{Status: 404, Times: 1}}, again},
		{"503, and then the file", "it is asked for again", `/hostname_[^/]*deb$`,
			[]fakedebian.Fault{{Status: 503, Times: 1}}, again},
		{"deb that is cut", "the rest is asked for", `/perl-base_[^/]*deb$`,
			[]fakedebian.Fault{{CutAfter: 100000, Times: 1}}, resumed},
		{"deb that is cut, on a mirror that ignores ranges", "it is taken from its beginning",
			`/tar_[^/]*deb$`, []fakedebian.Fault{{CutAfter: 1000, Times: 1}, {NoRanges: true}},
			resumed},
		{"deb that is cut, on a mirror that answers with another range",
			"it is taken from its beginning", `/sed_[^/]*deb$`,
			[]fakedebian.Fault{{CutAfter: 1000, Times: 1}, {WrongRange: true, Times: 1}},
			func(seen []fakedebian.Request) bool { return len(seen) >= 2 && seen[1].Range != "" }},
		{"deb after whose beginning the mirror falls silent",
			"the rest is asked for when `--mirror-timeout` has passed", `/libc6_[^/]*deb$`,
			[]fakedebian.Fault{{StallAfter: 50000, Times: 1}}, resumed},
		{"byte of a deb that is altered on the way", "it is fetched again", `/findutils_[^/]*deb$`,
			[]fakedebian.Fault{{Flip: 1000, Times: 1}}, again},
		{"slow mirror", "it is waited for as long as something comes", `/debianutils_[^/]*deb$`,
			[]fakedebian.Fault{{Slow: 2 * time.Millisecond}}, once},
		{"no length is said", "the signed index says it", `/gzip_[^/]*deb$`,
			[]fakedebian.Fault{{NoLength: true}}, once},
	}
	for _, c := range all {
		for _, f := range c.faults {
			srv.Fault(c.request, f)
		}
		told.rows = append(told.rows, fmt.Sprintf("| %s | %s |\n", c.fault, c.done))
	}
	w.Must(t, args...)
	for _, c := range all {
		var seen []fakedebian.Request
		for _, r := range srv.Requests() {
			if regexp.MustCompile(c.request).MatchString(r.Path) {
				seen = append(seen, r)
			}
		}
		if !c.wants(seen) {
			t.Errorf("%s: %+v", c.fault, seen)
		}
	}
	w.Must(t, "run", "bullseye", "--", "sh", "-ec", "dpkg --audit; apt-get check")
	if !t.Failed() {
		told.compare(t)
	}
}
