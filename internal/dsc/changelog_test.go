package dsc

import (
	"strings"
	"testing"
	"time"
)

const entry = "hello (1:2.10-3) bookworm-backports unstable; urgency=HIGH (security), " +
	"binary-only=yes\n\n  * A change.\n\n -- A B <a@example.org>  Wed,  5 Apr 2023 06:07:08 " +
	"+0200\n\n"

func TestParseChangelog(t *testing.T) {
	e, err := ParseChangelog("x",
		strings.NewReader("\n# a comment\n"+entry+"hello (1.0) nonsense here\n"))
	if err != nil {
		t.Fatal(err)
	}
	if e.Source != "hello" || e.Version.String() != "1:2.10-3" ||
		e.Distribution() != "bookworm-backports" || len(e.Distributions) != 2 ||
		e.Urgency != "high" || !e.BinaryOnly ||
		e.Maintainer != "A B <a@example.org>" ||
		!e.Date.Equal(time.Date(2023, 4, 5, 4, 7, 8, 0, time.UTC)) {
		t.Errorf("%+v", e)
	}
}

func TestParseChangelogErrors(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"", "x: has no entry"},
		{"\n\n", "x: has no entry"},
		{"Changes:\n\nhello (1.0) sid; urgency=low\n",
			`x:1: "Changes:" is not the first line of an entry`},
		{"Words, first\n\n", `x:1: "Words, first" is not the first line of an entry`},
		{"  * A change.\n\nhello (1.0) sid; urgency=low\n",
			`x:1: "  * A change.": expected the first line of an entry before it`},
		{"vim: ts=2\nhello (1.0) sid; urgency=low\n", "x: has no entry"},
		{"hello 1.0 sid; urgency=low\n", "x:1: \"hello 1.0 sid; urgency=low\" is not the first " +
			"line of an entry, such as hello (2.10-3) unstable; urgency=medium: it does not " +
			"begin with"},
		{"hello (1.0) sid\n", "the ; is missing"},
		{"hello (1.0 sid; urgency=low\n", "the ) is missing"},
		{"hello (x) sid; urgency=low\n", `version "x"`},
		{"hello (1.0) ; urgency=low\n", "it names no distribution"},
		{"hello (1.0) ../x; urgency=low\n", `"../x" is no distribution`},
		{"../x (1.0) sid; urgency=low\n", "it does not begin with the name of a package"},
		{entry[:30] + strings.Repeat("x", 2<<20), "x:1: the line is longer than 1 MiB"},
	} {
		_, err := ParseChangelog("x", strings.NewReader(tt.text))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.60q: %.200v\nwant …%s", tt.text, err, tt.want)
		}
	}
}

func FuzzParseChangelog(f *testing.F) {
	f.Add(entry)
	f.Fuzz(func(t *testing.T, text string) {
		e, err := ParseChangelog("x", strings.NewReader(text))
		if err == nil && (e.Distribution() == "" || e.Version.IsZero() ||
			strings.Contains(e.Source, "/") || strings.Contains(e.Distribution(), "/")) {
			t.Fatalf("%+v", e)
		}
	})
}
