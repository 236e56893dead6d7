package main

import (
	"encoding/xml"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{
		{nil, 0},
		{[]float64{7}, 7},
		{[]float64{9, 1, 5}, 5},
		{[]float64{4, 1, 2, 9}, 3},
	} {
		if got := median(c.values); got != c.want {
			t.Errorf("median of %v is %v, want %v", c.values, got, c.want)
		}
	}
}

// figures are of a race, of what bounds speak of, and of what is not a race.
func figures() *results {
	r := &results{}
	r.put(measured{Name: "memory", What: "memory", Runs: 5,
		Rows: []row{{"create: all together", unitMiB, []float64{160}}}})
	r.put(measured{Name: "create", What: "a <base>", Race: true, Runs: 2, Took: 100, Rows: []row{
		{"nsbuild create", unitSeconds, []float64{3, 5}},
		{"mmdebstrap, to a directory", unitSeconds, []float64{10, 10}},
		{"debootstrap", unitSeconds, []float64{20, 20}}}})
	return r
}

func TestReport(t *testing.T) {
	r := figures()
	got := r.report()
	for _, want := range []string{
		"| nsbuild create | 4.00 s | 3.00 s | 5.00 s |  |",
		"| debootstrap | 20.00 s | 20.00 s | 20.00 s | 0.20 × |", "; 2 rounds.",
		"| create: all together | 160 MiB |",
		"| create, nothing cached, by mmdebstrap to a directory | ≤ 0.45 × | 0.40 × (4.00 s " +
			"against 10.00 s) | yes |",
		"| create, nothing cached, by debootstrap | ≤ 0.15 × | 0.20 × (4.00 s against 20.00 s) | " +
			"no: by 1.00 s |",
		"| memory, create | ≤ 150 MiB | 160 MiB | no: by 10 MiB |",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no line %q in\n%s", want, got)
		}
	}
	if i, j := strings.Index(got, "## create:"), strings.Index(got, "## memory:"); i < 0 || j < i {
		t.Errorf("the order is not that of the benchmarks:\n%s", got)
	}
	svg := r.plot()
	if err := xml.Unmarshal([]byte(svg), new(struct{})); err != nil ||
		!strings.Contains(svg, "a &lt;base&gt;") || strings.Contains(svg, "memory") {
		t.Errorf("%v\n%s", err, svg)
	}
	// 68 of the 100 seconds were rounds.
	if list := r.list(settings{runs: 4}); !strings.Contains(list, "create           2m48s") {
		t.Error(list)
	}
}

// TestPieces runs benchmarks in pieces: each replaces its part of what is kept.
func TestPieces(t *testing.T) {
	dir := t.TempDir()
	if err := figures().write(dir); err != nil {
		t.Fatal(err)
	}
	r, err := readResults(dir)
	if err != nil {
		t.Fatal(err)
	}
	r.put(measured{Name: "create", What: "again", Race: true,
		Rows: []row{{"nsbuild create", unitSeconds, []float64{2}}}})
	if err := r.write(dir); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil || !strings.Contains(string(text), "## create: again") ||
		!strings.Contains(string(text), "## memory:") ||
		strings.Contains(string(text), "debootstrap |") {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestKilobytes(t *testing.T) {
	if got := kilobytes("VmPeak:\t  9999 kB\nVmHWM:\t    2048 kB\nVmRSS:\t 1 kB\n",
		"VmHWM:"); got != 2<<20 {
		t.Errorf("got %d", got)
	}
	if got := kilobytes("Name:\tkthreadd\n", "VmHWM:"); got != 0 {
		t.Errorf("got %d for a process without memory", got)
	}
}

func TestParse(t *testing.T) {
	s, err := parse(
		[]string{"--short", "--only", "create,start", "--skip", "pbuilder, debootstrap,sbuild"})
	if err != nil {
		t.Fatal(err)
	}
	chosen, racing := chosen(s)
	if got := strings.Join(chosen, " "); got != "create create-cached start" {
		t.Errorf("chosen: %s", got)
	}
	if got := strings.Join(racing, "; "); got != "nsbuild create; mmdebstrap, to a directory" {
		t.Errorf("racing: %s", got)
	}
	if s.runs != 1 || s.out != "-" {
		t.Errorf("--short: %d rounds, written to %q", s.runs, s.out)
	}
	for _, bad := range [][]string{{"-n", "0"}, {"x"}, {"--no-such"}, {"-only", "nothing"}} {
		if _, err := parse(bad); err == nil {
			t.Errorf("%v was accepted", bad)
		}
	}
}

// chosen names the benchmarks, and who races in the first.
func chosen(s settings) (names, racing []string) {
	for _, b := range benchmarks() {
		if b.chosen(s) {
			names = append(names, b.name)
		}
		if b.name == "create" {
			for _, c := range b.racing(s) {
				racing = append(racing, c.name)
			}
		}
	}
	return names, racing
}

// TestShort holds the form that CI runs to what is quick, and to the packages that CI has
// installed.
func TestShort(t *testing.T) {
	s, err := parse([]string{"--short"})
	if err != nil {
		t.Fatal(err)
	}
	names, _ := chosen(s)
	if got := strings.Join(names, " "); got != "create build-tree start death" {
		t.Errorf("chosen: %s", got)
	}
	ci, err := os.ReadFile("../.ci/run")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(ci), "packages=(")
	list, _, ok := strings.Cut(list, ")")
	if !ok {
		t.Fatal(".ci/run has no list of packages")
	}
	installed := append(strings.Fields(list), "util-linux") // which is Essential
	for _, pkg := range peers(s) {
		if !slices.Contains(installed, pkg) {
			t.Errorf(".ci/run does not install %s", pkg)
		}
	}
	all, err := parse(nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(peers(all), " "); got != "bubblewrap debian-archive-keyring "+
		"debootstrap fakeroot mmdebstrap pbuilder sbuild systemd-container uidmap util-linux" {
		t.Errorf("for everything it needs %s", got)
	}
}

func TestMirror(t *testing.T) {
	up := filepath.Join(t.TempDir(), "up")
	if err := os.MkdirAll(up, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(up, "file"), []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	origin := httptest.NewServer(mirror{dir: up, upstream: "http://127.0.0.1:1"})
	near := httptest.NewServer(
		mirror{dir: filepath.Join(t.TempDir(), "near"), upstream: origin.URL + "/debian"})
	defer near.Close()
	for range 2 {
		answer, err := near.Client().Get(near.URL + "/debian/file")
		if err != nil {
			t.Fatal(err)
		}
		text := make([]byte, 10)
		n, _ := answer.Body.Read(text)
		if err := answer.Body.Close(); err != nil || string(text[:n]) != "text" {
			t.Errorf("%q %v", text[:n], err)
		}
		origin.Close() // the second time it comes from the disk
	}
	answer, err := near.Client().Get(near.URL + "/debian/other")
	if err != nil || answer.StatusCode != 502 {
		t.Errorf("%v %v", answer, err)
	}
	if err := answer.Body.Close(); err != nil {
		t.Error(err)
	}
}

func TestTail(t *testing.T) {
	var out tail
	for i := range 100000 {
		if _, err := out.Write([]byte(strings.Repeat("x", i%70) + "\n")); err != nil {
			t.Fatal(err)
		}
	}
	if len(out.b) > 1<<16 {
		t.Errorf("%d bytes kept", len(out.b))
	}
	if n := strings.Count(out.last(), "\n") + 1; n > 30 {
		t.Errorf("%d lines shown", n)
	}
}
