package idmap

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestChooseRange: ids in one piece may stand in several lines, by the user's name or number.
func TestChooseRange(t *testing.T) {
	for _, c := range []struct {
		what, text, says string
		first            uint32
	}{
		{"one", "ada:100000:65536", "", 100000},
		{"by number, with others", "bob:1:65536\n# no\n\n1000:200000:65536", "", 200000},
		{"short, then long", "ada:100:1000\nada:300000:70000", "", 300000},
		{"two halves", "ada:132768:32768\nada:100000:32768", "", 100000},
		{"overlapping", "ada:100000:40000\nada:120000:50000", "", 100000},
		{"one within another", "ada:100000:65536\nada:100010:10", "", 100000},
		{"a gap", "ada:100000:32768\nada:132769:32768", "the largest range has 32768", 0},
		{"short", "ada:100000:1000", "the largest range has 1000", 0},
		{"empty", "ada:100000:0", "there are none", 0},
		{"none", "bob:100000:65536", "there are none", 0},
		{"the highest", "ada:4294901760:65536", "the largest range has 65535", 0},
		{"beyond the highest", "ada:4294967290:65536", "the largest range has 5", 0},
	} {
		ranges, err := parseSubIDs(strings.NewReader(c.text), "subuid", []string{"ada", "1000"})
		if err != nil {
			t.Fatal(err)
		}
		first, err := chooseRange(ranges)
		if first != c.first || (err == nil) != (c.says == "") ||
			err != nil && err.Error() != c.says {
			t.Errorf("%s: %d, %v; want %d, %q", c.what, first, err, c.first, c.says)
		}
	}
	for _, text := range []string{"ada:1", "ada:x:1", "ada:1:-1", "ada:4294967296:1"} {
		if _, err := parseSubIDs(strings.NewReader(text), "subuid", nil); err == nil ||
			!strings.Contains(err.Error(), "subuid:1") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestParseAnswer reads what getsubids 4.13 prints.
func TestParseAnswer(t *testing.T) {
	got, err := parseAnswer("0: ada 100000 65536\n1: ada 300000 10\n")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]extent{{100000, 65536}, {300000, 10}}, got,
		cmp.AllowUnexported(extent{})); diff != "" {
		t.Error(diff)
	}
	for _, text := range []string{"Error fetching ranges\n", "0: ada -1 5\n"} {
		if _, err := parseAnswer(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
