package rebuild

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"nsbuild/internal/compared"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/fault"
)

// builtAt is when a build was, by the .buildinfo.
const builtAt = "20260901T100000Z"

// withPast is a world whose suite has lost gcc 11, and what is to be rebuilt with it from a
// snapshot that has it.
func withPast(t *testing.T) (*world, Request) {
	w := newWorld(t)
	w.snapshot(map[string]*fakedebian.Archive{builtAt: w.past(pack("gcc", "11"))})
	return w, Request{File: w.info(nothing, 0, "dpkg (= 1.22.13)", "base-files (= 12)",
		"gcc (= 11)"), Snapshot: w.mirror.URL("")}
}

// A snapshot that does not serve is no verdict on the package: what is missing is named, and why.
func TestSnapshotFaults(t *testing.T) {
	for name, c := range map[string]struct {
		where   string
		fault   fakedebian.Fault
		retries int
		want    compared.Verdict
		says    []string
	}{
		"too many requests": {"^archive/", fakedebian.Fault{Status: 429, RetryAfter: "30"}, -1,
			compared.Undecided, []string{"package gcc 11", "429 Too Many Requests"}},
		"too many for a while": {"^archive/", fakedebian.Fault{Status: 429, RetryAfter: "0",
			Times: 1}, 1, compared.Differs, nil},
		"slow": {"^archive/", fakedebian.Fault{Slow: time.Millisecond}, -1, compared.Differs, nil},
		"silent within a list": {"^archive/.*/main/", fakedebian.Fault{StallAfter: 10}, -1,
			compared.Undecided, []string{"package gcc 11", "stopped sending"}},
		"silent from the start": {"^archive/", fakedebian.Fault{Hang: true}, -1, compared.Undecided,
			[]string{"package gcc 11", "cannot be reached"}},
		"cut list": {"^archive/.*/main/", fakedebian.Fault{CutAfter: 10}, -1, compared.Undecided,
			[]string{"package gcc 11", "unexpected EOF"}},
		"cut package": {"^archive/.*deb$", fakedebian.Fault{CutAfter: 10}, -1, compared.Undecided,
			[]string{"package gcc_11", "unexpected EOF"}},
		"changed package": {"^archive/.*deb$", fakedebian.Fault{Flip: 200}, -1, compared.Undecided,
			[]string{"package gcc_11", "hash mismatch"}},
		"no package": {"^archive/.*deb$", fakedebian.Fault{Status: 404}, -1, compared.Undecided,
			[]string{"package gcc_11", "404"}},
	} {
		t.Run(name, func(t *testing.T) {
			w, r := withPast(t)
			w.mirror.Fault(c.where, c.fault)
			w.fetches.Retries, w.fetches.Timeout = c.retries, 300*time.Millisecond
			report, err := w.run(r)
			said := fmt.Sprint(err, "\n", strings.Join(report.Lines(), "\n"))
			kind := fault.GivenBack
			if c.want == compared.Differs {
				kind = fault.Differs
			}
			if report.Verdict != c.want || fault.KindOf(err) != kind {
				t.Errorf("%s: %s", report.Verdict, said)
			}
			w.says(said, c.says...)
		})
	}
}

// A snapshot that answers nothing is not asked for each of the packages that are missing.
func TestSnapshotSilent(t *testing.T) {
	w, r := withPast(t)
	installed := []string{"dpkg (= 1.22.13)", "base-files (= 12)"}
	for i := range 50 {
		installed = append(installed, fmt.Sprintf("lost%d (= 1)", i))
	}
	r.File = w.info(nothing, 0, installed...)
	r.Snapshot = strings.Replace(r.Snapshot, "://", "://me:secret@", 1)
	w.mirror.Fault("^archive/|^mr/", fakedebian.Fault{Status: 503})
	report, err := w.run(r)
	said := fmt.Sprint(err, "\n", strings.Join(report.Lines(), "\n"))
	if report.Verdict != compared.Undecided || len(report.Missing) != 50 {
		t.Errorf("%d are missing: %s", len(report.Missing), said)
	}
	w.says(said, "was not asked for the rest", "503", "and 45 more")
	if n := w.mirror.Count("^archive/|^mr/"); n > 20 {
		t.Errorf("it was asked %d times", n)
	}
	if strings.Contains(said, "secret") {
		t.Errorf("a password is shown:\n%s", said)
	}
}
