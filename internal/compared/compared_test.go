package compared

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sample has some of everything.
func sample() *Comparison {
	script := "diff a/postinst b/postinst\n" + strings.Repeat("+line\n", 60)
	return &Comparison{Schema: Schema, Was: "old", Is: "new", Gained: []string{"new_all"},
		Lost: []string{"gone_amd64"}, Alone: []Alone{{Name: "new_all", Gained: true, Version: "2",
			Size: 2000, Files: []string{"/usr/share/new"}}},
		Moved: []Move{{"/usr/share/moved", "one_amd64", "two_amd64"}},
		Packages: []Pair{
			{Name: "one_amd64", Was: "1", Is: "2", WasSize: 1000, IsSize: 20 << 10,
				WasInstalled: 1 << 20, IsInstalled: 2 << 20,
				Grown: []Growth{{"/usr/bin/one", 1 << 20, 2 << 20}},
				Changes: []Change{
					{Of: OfRelation, Name: "Depends", Gained: []string{"libc6 (>= 2.38)", "zlib1g"},
						Lost: []string{"libbz2-1.0", "libc6 (>= 2.36)"}},
					{Of: OfConffiles, Name: OfConffiles, Gained: []string{"/etc/one"}}},
				Differences: []Difference{
					{In: InControl, Path: "postinst", What: "content", Kind: "content",
						Diff: script},
					{In: InData, Path: "/usr/bin/one", What: "content", Was: "1 bytes",
						Is: "2 bytes"},
					{In: InData, Path: "/usr/bin/one", What: "mode", Was: "0755", Is: "4755"},
					{In: InData, Path: "/usr/bin/one", What: "time"},
					{In: InData, Path: "/usr/bin/two", What: "time"}}},
			{Name: "same_all", Was: "1", Is: "1", Same: true}},
		Libraries: []Library{{WasPath: "/usr/lib/libone.so.1", WasSoname: "libone.so.1",
			IsPath: "/usr/lib/libone.so.2", IsSoname: "libone.so.2", Gained: []string{"b@V2"},
			Lost: []string{"a@V1"}}},
		Lintian: &Findings{Was: []string{"/d/old.build"}, Is: []string{"/d/new.build"},
			Gained: []string{"E: one: bad-tag"}},
		Warnings: &Findings{Note: "no log"}}
}

func TestSummary(t *testing.T) {
	want := `packages   1 differs, 1 has the same bytes, 1 gained, 1 lost
           - gone_amd64
           + new_all
size       .deb 1000 bytes → 20 KiB (+1948.0%); installed 1.0 MiB → 2.0 MiB (+100.0%)
           /usr/bin/one 1.0 MiB → 2.0 MiB (+100.0%)
files      1 with other content (1 moved to another package)
moved      /usr/share/moved: one_amd64 → two_amd64
modes      /usr/bin/one mode 0755 → 4755
relations  one Depends: - libbz2-1.0; libc6 (>= 2.36) → (>= 2.38); + zlib1g
scripts    one postinst: content
conffiles  one: 1 gained
libraries  libone.so.2: SONAME libone.so.1 → libone.so.2, symbols: 1 gained, 1 lost
lintian    1 gained (old.build, new.build)
warnings   not compared: no log`
	if d := cmp.Diff(want, strings.Join(sample().Summary(), "\n")); d != "" {
		t.Error(d)
	}
	for want, f := range map[string]*Findings{
		"lintian    1 gained (lintian of x)": {By: "lintian of x", Gained: []string{"E: one: bad"}},
		"lintian    the same (lintian of x)": {By: "lintian of x"},
		"lintian    the same":                {},
	} {
		c := sample()
		c.Lintian = f
		if all := c.Summary(); !slices.Contains(all, want) {
			t.Errorf("there is no %q: %q", want, all)
		}
	}
	// of however much differs, the summary fits a screen
	c := sample()
	for i := range 200 {
		name := fmt.Sprintf("p%d_all", i)
		c.Gained, c.Lost = append(c.Gained, name), append(c.Lost, name)
		c.Moved = append(c.Moved, Move{"/x", name, name})
		c.Packages = append(c.Packages, c.Packages[0])
		c.Libraries = append(c.Libraries, c.Libraries[0])
		c.Notes = append(c.Notes, name)
	}
	if n := len(c.Summary()); n > 50 {
		t.Errorf("%d lines", n)
	}
	same := &Comparison{Same: true, Packages: []Pair{{Same: true}}}
	if got := same.Summary(); len(got) != 1 || got[0] != "packages   1 has the same bytes" {
		t.Errorf("%q", got)
	}
}

func TestDetails(t *testing.T) {
	has := func(x Extent, want ...string) {
		t.Helper()
		got := strings.Join(sample().Details(x), "\n")
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("there is no %q in\n%s", w, got)
			}
		}
	}
	has(Extent{}, "+ new_all 2, 2000 bytes\n    + /usr/share/new", "… and 21 more lines (--all)",
		"~ /usr/bin/one: content 1 bytes → 2 bytes, mode 0755 → 4755",
		"~ the time of 2 files, such as /usr/bin/one", "- a@V1", "lintian\n    + E: one: bad-tag",
		"        - libbz2-1.0\n        libc6 (>= 2.36) → (>= 2.38)\n        + zlib1g\n",
		"conffiles: + /etc/one", "same_all 1: the same bytes")
	has(Extent{All: true}, strings.Repeat("        +line\n", 60), "~ /usr/bin/two: time")
}

// A comparison of any size is short where it stands in the result of a build.
func TestShort(t *testing.T) {
	c := sample()
	for i := range 3000 {
		c.Packages[0].Differences = append(c.Packages[0].Differences, Difference{In: InData,
			Path: fmt.Sprint(i), What: "content", Diff: "long"})
		c.Lintian.Gained = append(c.Lintian.Gained, "tag")
	}
	for range 40 {
		c.Packages[0].Differences = append(c.Packages[0].Differences, Difference{In: InControl,
			Path: "config", What: "content", Diff: strings.Repeat("x", 10<<10)})
	}
	before := len(c.Packages[0].Differences)
	s := c.Short()
	p := s.Packages[0]
	text := 0
	for _, d := range p.Differences {
		if text += len(d.Diff); d.In == InData && d.Diff != "" {
			t.Error("the diff of a file is there")
		}
	}
	if len(p.Differences)+p.More != before || len(p.Differences) != shortDifferences ||
		text > shortDiffs || len(s.Lintian.Gained) != shortListed || s.Lintian.GainedMore != 2901 {
		t.Errorf("%d and %d, %d, %d and %d", len(p.Differences), p.More, text,
			len(s.Lintian.Gained), s.Lintian.GainedMore)
	}
	if len(c.Packages[0].Differences) != before || len(c.Lintian.Gained) != 3001 ||
		c.Packages[0].Differences[5].Diff != "long" {
		t.Error("the whole one has changed")
	}
}
