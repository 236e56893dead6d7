package dsc

import (
	"os/exec"
	"strings"
	"testing"

	"nsbuild/internal/testenv"
)

func TestParseVersion(t *testing.T) {
	for _, tt := range []struct {
		text, file, upstream, revision string
		epoch                          uint
	}{
		{"1.0", "1.0", "1.0", "", 0},
		{"2.10-3", "2.10-3", "2.10", "3", 0},
		{"1:2.3-4-5", "2.3-4-5", "2.3-4", "5", 1},
		{"1:2:3-1", "2:3-1", "2:3", "1", 1},
		{"0.1~rc1+dfsg-0.1~bpo12+1", "0.1~rc1+dfsg-0.1~bpo12+1", "0.1~rc1+dfsg", "0.1~bpo12+1", 0},
	} {
		v, err := ParseVersion(tt.text)
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		if v.String() != tt.text || v.FileName() != tt.file || v.Upstream() != tt.upstream ||
			v.Revision() != tt.revision || v.Epoch() != tt.epoch {
			t.Errorf("%s: file name %s, upstream %s, revision %s, epoch %d", tt.text, v.FileName(),
				v.Upstream(), v.Revision(), v.Epoch())
		}
	}
	for _, bad := range []string{"", "a", "1-", "-1", "1 2", " 1", "1\n", "+1:1", ":1", "a:1", "1:",
		"9999999999:1", "1_2", "1/2", "../1", "1.0-a_b", "1é", "٣.0", strings.Repeat("1", 251)} {
		if v, err := ParseVersion(bad); err == nil {
			t.Errorf("%q is taken as %v", bad, v)
		}
	}
}

// versionPairs are pairs of versions in ascending order.
var versionPairs = [][2]string{
	{"1.0~rc1", "1.0"}, {"1.0", "1.0-1"}, {"1.0", "1.0a"}, {"1.0a", "1.0+b"}, {"1.2", "1.10"},
	{"1.0~~", "1.0~~a"}, {"1.0~~a", "1.0~"}, {"1.0-1", "1.0-1+b1"},
	{"9", "1:0"}, {"1.0-1~bpo12+1", "1.0-1"}, {"1.001", "1.2"}, {"1.a", "1.+"},
	{"1-1-1", "1-1.1-1"},
}

func TestVersionCompare(t *testing.T) {
	for _, pair := range versionPairs {
		a, errA := ParseVersion(pair[0])
		b, errB := ParseVersion(pair[1])
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if a.Compare(b) >= 0 || b.Compare(a) <= 0 || a.Compare(a) != 0 {
			t.Errorf("%s and %s are in the wrong order", a, b)
		}
	}
	if a, b := mustVersion(t, "1.01-0"), mustVersion(t, "1.1"); a.Compare(b) != 0 {
		t.Errorf("%s and %s differ", a, b)
	}
}

// The order of versions is dpkg's own.
func TestVersionCompareAsDpkg(t *testing.T) {
	testenv.RequireTool(t, "dpkg")
	for _, pair := range versionPairs {
		if out, err := exec.Command("dpkg", "--compare-versions", pair[0], "lt",
			pair[1]).CombinedOutput(); err != nil {
			t.Errorf("dpkg: %s lt %s: %v %s", pair[0], pair[1], err, out)
		}
	}
}

func mustVersion(t *testing.T, s string) Version {
	t.Helper()
	v, err := ParseVersion(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func FuzzParseVersion(f *testing.F) {
	f.Add("1:2.3-4")
	f.Fuzz(func(t *testing.T, s string) {
		v, err := ParseVersion(s)
		if err != nil {
			return
		}
		if v.String() != s || v.Compare(v) != 0 {
			t.Fatalf("%q is not itself", s)
		}
		if strings.ContainsAny(v.FileName(), "/ \t\n\x00") {
			t.Fatalf("%q goes into a file name", v.FileName())
		}
	})
}
