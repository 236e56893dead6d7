package docs

import (
	"path/filepath"
	"strings"
	"testing"

	"nsbuild/internal/e2e"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/testenv"
)

func TestMain(m *testing.M) { e2e.Main(m) }

// TestTutorial is somebody's first quarter of an hour, from nothing. As that of TestHowtos, its
// reader is an ordinary user.
func TestTutorial(t *testing.T) {
	e2e.AsUserOnly(t, "the pages are for ordinary users")
	e2e.RealWorld(t) // has the packages fetched
	testenv.HostState(t)
	w := e2e.NewWorld(t)
	w.Cache = e2e.SharedCache()
	try(t, w, "tutorial.md")
}

// TestHowtos runs the how-tos that need all of the archive.
func TestHowtos(t *testing.T) { TryHowtos(t, false) }

// TestCross builds a program for another architecture, plans one that needs libraries of it, and
// has a source that is not for it. The tools are 96 MB. TestHowtos has had them installed for its
// page about architectures, and what is built here needs the same and nothing else.
func TestCross(t *testing.T) {
	e2e.AsUserOnly(t, "cross compiling happens in jails, which are the same to root and to others")
	w := e2e.RealWorld(t)
	testenv.HostState(t)
	source := e2e.Small("crossed")
	source.Packages = source.Packages[:1]
	source.Fields = []fakedebian.Field{{Name: "Rules-Requires-Root", Value: "binary-targets"}}
	source.BuildDepends = "debhelper-compat (= 13), no-such-package <!nocheck>, " +
		"no-such-package <!cross>"
	source.Files = []fakedebian.File{
		{Path: "main.c", Body: "#include <unistd.h>\nint main(void) { return getpid() == 0; }\n"}}
	source.Rules = "#!/usr/bin/make -f\ninclude /usr/share/dpkg/architecture.mk\nclean build:\n" +
		"binary:\n" +
		"\t$(DEB_HOST_GNU_TYPE)-gcc -o crossed main.c\n\tLC_ALL=C readelf -h crossed | " +
		"grep Machine\n\techo $(DEB_BUILD_OPTIONS), $(DEB_BUILD_PROFILES), $$CONFIG_SITE\n" +
		"\tmkdir -p debian/made/DEBIAN\n\tdpkg-gencontrol -pcrossed -Pdebian/made\n\tdpkg-deb " +
		"--root-owner-group --build debian/made ..\n"
	o := w.Must(t, "build", "-q", "-d", "bookworm", "--host=arm64", "-j2", w.WriteSource(t, source))
	if !strings.Contains(o.Stdout, "crossed_1.0_arm64.deb") {
		t.Error(o)
	}
	e2e.WantIn(t, "log", e2e.Read(t, filepath.Join(w.Dir, "crossed_1.0_arm64.build")),
		"^Host Architecture: arm64$", "^Build Architecture: amd64$",
		"^Build Profiles: cross nocheck$", "Machine: +AArch64",
		"^parallel=2 nocheck, cross nocheck, /etc/dpkg-cross/cross-config.arm64$",
		"^Command: dpkg-buildpackage .* -aarm64 -b$")

	source.Name, source.Packages[0].Name = "linked", "linked"
	source.BuildDepends += ", libacl1-dev, bc, libattr1-dev:native"
	plan := filepath.Join(w.Dir, "linked.plan.json")
	w.Must(t, "build", "-d", "bookworm", "--host=arm64", "--plan="+plan, w.WriteSource(t, source))
	e2e.WantIn(t, "plan", e2e.Read(t, plan), `/libacl1-dev_[^/]*_arm64\.deb"`,
		`/libattr1-dev_[^/]*_amd64\.deb"`, `/libattr1-dev_[^/]*_arm64\.deb"`, `/bc_[^/]*_amd64\.deb"`,
		`/fakeroot_[^/]*_amd64\.deb"`, `/g\+\+-aarch64-linux-gnu_[^/]*_amd64\.deb"`)

	foreign := w.WriteSource(t,
		fakedebian.Source{Name: "foreign", Version: "1.0", Packages: []fakedebian.Package{
			{Name: "foreign", Architecture: "amd64"}}})
	if o := w.Must(t, "build", "-q", "-d", "bookworm", "--host=arm64", foreign); o.Stdout != "" {
		t.Error(o)
	}
}
