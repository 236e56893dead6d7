package pkgbuild

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nsbuild/internal/dsc"
	"nsbuild/internal/fakedebian"
)

// TestBuiltBy: what a Package-List says of architectures and profiles.
func TestBuiltBy(t *testing.T) {
	o := &SourceOffer{PackageList: "liba deb libs optional arch=any " +
		"liba-doc deb doc optional arch=all profile=!nodoc " +
		"liba-arm deb libs optional arch=arm64,armhf " +
		"liba-stage1 deb libs optional arch=linux-any profile=stage1+!cross,nodoc " +
		"liba-udeb udeb debian-installer optional arch=amd64 essential=yes"}
	c := dsc.Context{HostArch: "amd64", ArchAny: true, ArchAll: true}
	old := &SourceOffer{Binary: "old, old-doc"}
	if got := strings.Join(builtBy(old, c), " "); got != "old old-doc" {
		t.Errorf("without a list: %s", got)
	}
	for _, test := range []struct {
		profiles []string
		all      bool
		want     string
	}{
		{nil, true, "liba liba-doc liba-udeb"},
		{nil, false, "liba liba-udeb"},
		{[]string{"nodoc"}, true, "liba liba-stage1 liba-udeb"},
		{[]string{"stage1", "cross"}, true, "liba liba-doc liba-udeb"},
	} {
		c.Profiles, c.ArchAll = test.profiles, test.all
		if got := strings.Join(builtBy(o, c), " "); got != test.want {
			t.Errorf("%v: %s", test.profiles, got)
		}
	}
}

// TestKnown: what the lists say of a source is what looking at it says.
func TestKnown(t *testing.T) {
	w := newWorld(t)
	w.suite.AddSource(fakedebian.Source{Name: "heron", BuildDepends: "libcrane-dev, x [arm64]"})
	w.publish()
	e := w.open(t.Context())
	defer e.end()
	r := w.request("heron")
	s, err := e.Suite(t.Context(), r)
	w.check(err)
	known, err := s.Known(t.Context(), []string{"heron"})
	w.check(err)
	looked, err := e.Look(t.Context(), r)
	w.check(err)
	got := known.Look("heron", &r)
	if got == nil {
		t.Fatal("it is not known")
	}
	if diff := cmp.Diff(looked.Depends.String(), got.Depends.String()); diff != "" {
		t.Errorf("its dependencies (-looked at +known):\n%s", diff)
	}
	if got.Version.Compare(looked.Version) != 0 || !cmp.Equal(got.Binaries, looked.Binaries) {
		t.Errorf("%+v, and looked at %+v", got, looked)
	}
	if r.AppendToVersion = "+x"; known.Look("heron", &r) != nil || known.Look("egret", &r) != nil {
		t.Error("of another version, or unknown, it is known")
	}
}
