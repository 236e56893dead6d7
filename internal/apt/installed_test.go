package apt

import (
	"slices"
	"strings"
	"testing"
)

func TestReadStatus(t *testing.T) {
	const text = "Package: a\nStatus: install ok installed\nVersion: 1\nArchitecture: amd64\n" +
		"Installed-Size: 77\n" +
		"Conffiles:\n /etc/a 0123\nDescription: a\n .\n Status: of another\n\n" +
		"Package: gone\nStatus: deinstall ok config-files\nVersion: 2\nArchitecture: all\n\n" +
		"Package: half\nStatus: install ok half-installed\nVersion: 2\nArchitecture: all\n\n\n" +
		"Status: hold ok installed\nPackage: b\nInstalled-Size: much\nArchitecture: all\nVersion: 1:3-4\n"
	want := []Package{{"a", "1", "amd64", 77}, {"b", "1:3-4", "all", 0}}
	for _, end := range []string{"", "\n", "\n\n"} {
		got, err := readStatus(strings.NewReader(text + end))
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v", end, got, err)
		}
	}
	if got, err := readStatus(strings.NewReader(text + "\nnonsense\n")); err == nil {
		t.Errorf("nonsense was read as %v", got)
	}
}
