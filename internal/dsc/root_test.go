package dsc

import (
	"strings"
	"testing"
)

// TestNeedsRoot decides as the dpkg-buildpackage of each version does.
func TestNeedsRoot(t *testing.T) {
	const absent = "(absent)"
	for _, c := range []struct {
		field, dpkg string
		want        bool
	}{
		{"no", "1.18.25", true}, // knows no such field
		{"no", "1.20.13", false},
		{"no", "1.21.22", false},
		{"no", "1.22.21", false},
		{"binary-targets", "1.21.22", true},
		{"binary-targets", "1.22.21", true},
		{"dpkg/target-subcommand", "1.22.21", true},
		{"foo/bar dpkg/target-subcommand", "1.22.21", true},
		{"", "1.22.21", true},
		{absent, "1.18.25", true},
		{absent, "1.21.22", true},
		{absent, "1.22.6ubuntu6", true},
		{absent, "1.22.13", false},
		{absent, "1.22.21", false},
		{absent, "1.23.0", false},
	} {
		text := "Source: xy\n"
		if c.field != absent {
			text += "Rules-Requires-Root: " + c.field + "\n"
		}
		control, err := ParseSourceControl("control",
			strings.NewReader(text+"\nPackage: xy\nArchitecture: any\n"))
		if err != nil {
			t.Fatal(err)
		}
		dpkg, err := ParseVersion(c.dpkg)
		if err != nil {
			t.Fatal(err)
		}
		if got := control.NeedsRoot(dpkg); got != c.want {
			t.Errorf("%q with dpkg %s: %t", c.field, c.dpkg, got)
		}
	}
}
