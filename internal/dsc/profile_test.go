package dsc

import (
	"slices"
	"strings"
	"testing"
)

func TestProfileNames(t *testing.T) {
	for name, want := range map[string]bool{"nocheck": true, "cross": true, "stage1": true,
		"stage": false, "stagex": false, "pkg.hello.small": true, "nochek": false, "": false} {
		if RegisteredProfile(name) != want {
			t.Errorf("RegisteredProfile(%q) is not %v", name, want)
		}
	}
	for name, want := range map[string]bool{"nocheck": true, "!nocheck": false, "<nocheck>": false,
		"a b": false, "": false, "NoCheck": false, "pkg.a-b.c": true} {
		if ValidProfile(name) != want {
			t.Errorf("ValidProfile(%q) is not %v", name, want)
		}
	}
	c, err := ParseSourceControl("debian/control", strings.NewReader("Source: x1\nBuild-Depends: "+
		"a1 <!nocheck>, b1 <cross stage1>\nBuild-Conflicts-Indep: c1 <odd>\n\nPackage: "+
		"x1\nArchitecture: any\nBuild-Profiles: <!nodoc> <big>\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.ProfileNames(), []string{"nocheck", "cross", "stage1", "odd", "nodoc",
		"big"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
