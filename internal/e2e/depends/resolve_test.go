package depends

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nsbuild/internal/e2e"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/testenv"
)

// TestAptitude needs a package in a version that only a suite has from which nothing is taken by
// itself, as with backports.
func TestAptitude(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	a := fakedebian.New(t)
	usual, later := a.Suite("usual"), a.Suite("later")
	tool := func(version string) fakedebian.Package {
		return fakedebian.Package{Name: "tool-fromelsewhere", Version: version,
			Files: []fakedebian.File{{Path: "opt/fromelsewhere/v" + version}}}
	}
	usual.Add(tool("1.0"), fakedebian.Package{Name: "second-fromelsewhere",
		Files: []fakedebian.File{{Path: "opt/fromelsewhere/second"}}})
	later.Add(tool("2.0"))
	later.Fields = append(later.Fields, fakedebian.Field{Name: "NotAutomatic", Value: "yes"},
		fakedebian.Field{Name: "ButAutomaticUpgrades", Value: "yes"})
	srv := fakedebian.Serve(t, fakedebian.Mounts{"debian": a.Tree()}).URL("debian")
	dsc := w.WriteSource(t,
		needy("later", "tool-fromelsewhere (>= 2), no-such-package | second-fromelsewhere"))
	args := []string{"build", "-q", "-d", "bookworm", "--extra-repository-key",
		fakedebian.Keyring(t, fakedebian.KeyArchive), "--extra-repository",
		"deb " + srv + " usual main", "--extra-repository", "deb " + srv + " later main", dsc}
	if o := w.Run(t, args...); o.Status != 3 || !strings.Contains(o.Stderr, "no-such-package") {
		t.Errorf("apt took another than the first alternative: %s", o)
	}
	either := w.WriteSource(t, needy("either", "no-such-package | second-fromelsewhere"))
	w.Must(t, append(slices.Clone(args[:len(args)-1]), either, "--resolve-alternatives")...)
	e2e.WantIn(t, "log of alternatives with apt",
		e2e.Read(t, filepath.Join(w.Dir, "either_1.0_amd64.build")),
		`^Install main build dependencies \(apt-based resolver\)$`, "^second$")
	args = append(args, "--build-dep-resolver=aptitude")
	e2e.Refusal{Status: 3, Says: []string{"no-such-package"}}.Check(t,
		w.Run(t, append(slices.Clone(args), "--resolve-alternatives=no")...))
	e2e.Refusal{Status: 64, Says: []string{"--resolve-alternatives=maybe"}, Hint: "yes or no"}.
		Check(t, w.Run(t, append(slices.Clone(args), "--resolve-alternatives=maybe")...))
	w.Must(t, args...)
	log := filepath.Join(w.Dir, "later_1.0_amd64.build")
	e2e.WantIn(t, "log", e2e.Read(t, log), `^Install main build dependencies \(aptitude-based resolver\)$`,
		`^v2\.0$`, "^second$")
	w.Must(t, args...)
	e2e.WantIn(t, "second log", e2e.Read(t, log), "^Dependency layer .* has what is needed", `^v2\.0$`)
	impossible := w.WriteSource(t, needy("impossible", "tool-fromelsewhere (>= 3)"))
	args[len(args)-2] = impossible
	e2e.Refusal{Status: 3, Says: []string{"installing the build dependencies", "aptitude"}}.Check(t,
		w.Run(t, args...))
}
