package apt

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseURIs(t *testing.T) {
	text := `Reading package lists...
NOTE: something
'http://mirror.example/debian/pool/main/d/debhelper/debhelper_13.11.4_all.deb' debhelper_13.11.4_all.deb 942100 SHA256:ABCD
'http://mirror.example/debian/pool/main/x/x/x_1%253a2_amd64.deb' x_1%3a2_amd64.deb 12 MD5Sum:00
'file:/run/nsbuild/files/dummy.deb' dummy.deb 700 SHA256:ff
`
	got, err := parseURIs(strings.NewReader(text))
	want := []Wanted{
		{"http://mirror.example/debian/pool/main/d/debhelper/debhelper_13.11.4_all.deb",
			"debhelper_13.11.4_all.deb", 942100, "SHA256:ABCD"},
		{"http://mirror.example/debian/pool/main/x/x/x_1%3a2_amd64.deb", "x_1%3a2_amd64.deb", 12,
			"MD5Sum:00"},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for _, bad := range []string{"'http://mirror.example/x", "'u' ../../x 1", "'u' x one",
		"'%zz' x 1"} {
		if _, err := parseURIs(strings.NewReader(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func FuzzParseURIs(f *testing.F) {
	f.Add("'http://mirror.example/x.deb' x.deb 1 SHA256:00\n")
	f.Fuzz(func(t *testing.T, text string) {
		wanted, err := parseURIs(strings.NewReader(text))
		if err == nil {
			for _, w := range wanted {
				if strings.Contains(w.Name, "/") {
					t.Errorf("%q", w.Name)
				}
			}
		}
	})
}
