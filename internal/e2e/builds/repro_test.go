package builds

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"nsbuild/internal/e2e"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/testenv"
)

// TestRepro builds twice what asks for each thing that is varied: each answer is another one. By
// bisection two variations are told apart.
func TestRepro(t *testing.T) {
	w := e2e.ExcerptWorld(t)
	e2e.AsUserOnly(t, "what is varied is varied in a jail, which is the same to root and to others")
	testenv.HostState(t)
	table, err := os.ReadFile("../../../bench/repro/packages")
	if err != nil {
		t.Fatal(err)
	}
	s := fakedebian.Source{Name: "varies", Version: "1.0",
		Fields:   []fakedebian.Field{{Name: "Rules-Requires-Root", Value: "no"}},
		Packages: []fakedebian.Package{{Name: "varies", Architecture: "all"}},
		Rules: "#!/usr/bin/make -f\nT := debian/tmp\nclean build build-indep build-arch binary-arch:\n" +
			"binary binary-indep:\n\tmkdir -p $T/DEBIAN $T/usr/share/varies\n" +
			"\tfor f in records/*; do sh $$f >$T/usr/share/varies/$${f##*/} 2>&1; done\n" +
			"\tchmod -R u=rwX,go=rX debian/tmp\n\tdpkg-gencontrol\n" +
			"\tchmod 644 $T/DEBIAN/control\n\tdpkg-deb --root-owner-group --build $T ..\n"}
	var names []string
	for line := range strings.Lines(string(table)) {
		name, command, ok := strings.Cut(strings.TrimSpace(line), " ")
		if ok && name != "#" {
			names = append(names, name)
			s.Files = append(s.Files, fakedebian.File{Path: "records/" + name, Body: command})
		}
	}
	source := w.WriteSource(t, s)
	o := w.Run(t, "repro", "-d", "bookworm", "--vary", "all", source)
	e2e.Refusal{Status: 4, Says: []string{"varies 1.0 is not the same when it is built again",
		"1 file differs"}, Hint: "--bisect finds the variation that does it"}.Check(t, o)
	for _, name := range names {
		if !strings.Contains(o.Stdout, "data.tar /usr/share/varies/"+name+": content") {
			t.Errorf("%s is not varied:\n%s", name, o.Stdout)
		}
	}
	if n := strings.Count(o.Stdout, "data.tar "); n != len(names) {
		t.Errorf("%d differences, of %d:\n%s", n, len(names), o.Stdout)
	}
	o = w.Run(t, "repro", "-d", "bookworm", "--bisect", "--vary=order,umask", source)
	for _, name := range []string{"order", "umask"} {
		want := fmt.Sprintf("cause: %s\n    varies_1.0_all.deb: differs\n"+
			"        data.tar /usr/share/varies/%[1]s: content", name)
		if o.Status != 4 || strings.Count(o.Stdout, want) != 1 {
			t.Errorf("%d, not %q:\n%s", o.Status, want, o.Stdout)
		}
	}
}
