package pkgbuild

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nsbuild/internal/dsc"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/fakejail"
	"nsbuild/internal/fault"
	"nsbuild/internal/sandbox"
)

// TestEntryDate dates an entry as sbuild from 0.91.9 on does: what is said for sbuild says the same
// here.
func TestEntryDate(t *testing.T) {
	last := time.Date(2024, 2, 28, 23, 59, 59, 0, time.FixedZone("", -3600))
	now := time.Date(2026, 9, 1, 10, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		text    string
		version int
		want    string
	}{
		{"", 1, "Thu, 29 Feb 2024 01:00:00 +0000"},
		{"increment", 3, "Thu, 29 Feb 2024 01:00:02 +0000"},
		{"", 0, "Thu, 29 Feb 2024 00:59:59 +0000"}, // --append-to-version alone
		{"now", 3, "Tue, 01 Sep 2026 10:00:00 +0000"},
		{"+1714564800", 3, "Wed, 01 May 2024 12:00:00 +0000"},
		{"Wed, 01 May 2024 14:00:00 +0200", 3, "Wed, 01 May 2024 14:00:00 +0200"},
	} {
		k := Kind{BinNMU: "x", BinNMUVersion: c.version, BinNMUTimestamp: c.text}
		got, err := k.entryDate(last, now)
		if err != nil || got != c.want {
			t.Errorf("%q, %d: %q, %v; want %q", c.text, c.version, got, err, c.want)
		}
	}
}

// TestChangelogEntry has the words that sbuild 0.91.10 writes for the same command.
func TestChangelogEntry(t *testing.T) {
	v, err := dsc.ParseVersion("2.10-3+b2")
	if err != nil {
		t.Fatal(err)
	}
	k := Kind{BinNMU: "Rebuild.\nAgain.", BinNMUVersion: 2, Maintainer: "A B <ab@mirror.example>"}
	const date = "Wed, 01 May 2024 12:00:02 +0000"
	got, err := k.changelogEntry("hello", v, "crane", "amd64", date)
	want := "hello (2.10-3+b2) crane; urgency=low, binary-only=yes\n\n" +
		"  * Binary-only non-maintainer upload for amd64; no source changes.\n" +
		"  * Rebuild.    Again.\n\n -- A B <ab@mirror.example>  " + date + "\n\n"
	if err != nil || got != want {
		t.Errorf("%v: %s", err, cmp.Diff(want, got))
	}
}

// TestBinNMUAgain makes a binary-only upload on two days: its changelog, which is part of the
// packages, is the same; where the source has no date, the command must say one.
func TestBinNMUAgain(t *testing.T) {
	w := newWorld(t)
	var changelog string
	build := w.programs["dpkg-buildpackage"]
	w.replace("dpkg-buildpackage", func(ctx context.Context, p *fakejail.Proc) sandbox.Status {
		text, err := p.ReadFile("debian/changelog")
		if err != nil {
			return p.Fail(err)
		}
		changelog = string(text)
		return build(ctx, p)
	})
	with := func(r *Request) {
		r.BinNMU, r.BinNMUVersion, r.ArchAll = "Rebuild.", 2, false
		r.Maintainer = "A B <ab@mirror.example>"
	}
	w.must(w.source(crane()), with)
	whole, err := dsc.ParseChangelog("", strings.NewReader(changelog))
	w.check(err)
	rest := changelog[strings.Index(changelog, "hello (2.10-3) "):]
	own, err := dsc.ParseChangelog("", strings.NewReader(rest))
	w.check(err)
	if got := whole.Date.Sub(own.Date); got != 2*time.Second || !whole.BinaryOnly {
		t.Errorf("%s after the source's:\n%s", got, changelog)
	}
	s := crane()
	s.Debian = append(s.Debian, fakedebian.File{Path: "changelog",
		Body: "hello (2.10-3) crane; urgency=low\n\n  * Never signed.\n"})
	spec := w.source(s)
	err = w.build(spec, with).err
	w.tells("without a date", fmt.Sprint(err, fault.HintOf(err)), "no date that can be read",
		"--binNMU-timestamp")
	w.must(spec, func(r *Request) { with(r); r.BinNMUTimestamp = "1714564800" })
}
