package sources

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"nsbuild/internal/e2e"
	"nsbuild/internal/testenv"
)

// oddSource makes a source directory whose format takes anything, and what dpkg builds with a
// warning.
func oddSource(t *testing.T, w *e2e.World, dir, name string) {
	t.Helper()
	for file, text := range map[string]string{
		"debian/changelog": "$Id: changelog,v 1.1 2003/01/01 x Exp $\n# by hand\n" +
			name + " (1.0) bookworm; urgency=low\n\nText at column 0\n  * A.\n\n" +
			"  -- A B <a@mirror.example>  Wed, 05 Apr 2023 06:07:08 +0200\n" +
			" -- A B <a@mirror.example> Wed, 05 Apr 2023 06:07:08 +0200\n\n" +
			name + " (0.9) bookworm; urgency=low\n\n  * B.\n",
		"debian/control": "Source : " + name + "\nMaintainer: A B <a@mirror.example>\n" +
			"Build-Depends: libc6-dev ,\fmake |,, libc6 (>= ${never}) [hurd-any],\nXS-Odd: " +
			"a\x01b\n\f\nPackage: " + name + "\nArchitecture: all\nDescription: x\n y\n",
		"debian/source/format": "3.0 (native)\n",
		"debian/rules": "#!/usr/bin/make -f\nclean build:\nbinary:\n\tmkdir -p debian/made/DEBIAN\n" +
			"\tdpkg-gencontrol -p" + name +
			" -Pdebian/made\n\tdpkg-deb --root-owner-group --build debian/made ..\n",
		"README": "old\n",
	} {
		file = filepath.Join(w.Dir, dir, file)
		e2e.Check(t, os.MkdirAll(filepath.Dir(file), 0o755))
		e2e.Check(t, os.WriteFile(file, []byte(text), 0o644))
	}
	e2e.Check(t, os.Chmod(filepath.Join(w.Dir, dir, "debian/rules"), 0o755))
}

// TestOddSource packs a source directory as dpkg-source itself does: kinds of files and times, also
// through a link to the directory; and builds what dpkg-buildpackage builds with a warning.
func TestOddSource(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	testenv.RequireTool(t, "dpkg-source", "python3")
	oddSource(t, w, "real", "oddone")
	shell(t, w, `cd real
		mkfifo -m 640 pipe; ln -s README link; ln -s /nowhere gone; mkdir -m 555 closed
		printf x >`+"\"$(printf 'latin-\\351')\""+`
		python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("talk")'
		chmod 600 README; touch -d '1999-12-31 12:00 UTC' README
		touch -h -d '2001-01-01 12:00 UTC' link pipe; touch -d '2002-02-02 12:00 UTC' closed
		cd ..; ln -s real linked`)
	o := w.Must(t, "build", "-d", "bookworm", "-s", "linked")
	if !strings.Contains(o.Stderr,
		"/real/talk is a socket, which no source package has: it is left out") {
		t.Error(o)
	}
	log := e2e.Read(t, filepath.Join(w.Dir, "oddone_1.0_amd64.build"))
	e2e.WantIn(t, "log", log, `^dpkg-source: warning: .*badly formatted heading line`,
		"^Status: successful$")
	list := func(dir string) string {
		out, err := exec.Command("tar", "-tvf", filepath.Join(dir, "oddone_1.0.tar.xz"),
			"--full-time").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		// dpkg-source takes the directory's own name; the package was packed after dpkg-source -x,
		// which gives modes that everybody can read.
		text := regexp.MustCompile(`(?m) (oddone-1\.0|real)/`).ReplaceAllString(string(out),
			" TOP/")
		return regexp.MustCompile(`(?m)^(.)\S{9}`).ReplaceAllString(text, "$1")
	}
	host := t.TempDir()
	shell(t, w, "cp -a real "+host+"/; cd "+host+"; dpkg-source -b real")
	if ours, theirs := list(w.Dir), list(host); ours != theirs {
		t.Errorf("nsbuild packs\n%s\ndpkg-source packs\n%s", ours, theirs)
	}
	w.Must(t, "build", "-q", "-d", "bookworm", "oddone_1.0.dsc")
	const control = "Source: oddone\nMaintainer: A B <a@mirror.example>\nBuild-Depends: libc6 " +
		"(>= ${never})\n\n" +
		"Package: oddone\nArchitecture: all\nDescription: x\n"
	e2e.Check(t, os.WriteFile(filepath.Join(w.Dir, "real/debian/control"), []byte(control), 0o644))
	said := e2e.Refusal{Status: 3, Says: []string{"the build dependencies: libc6 (>= ${never}): version"},
		Hint: "correct debian/control"}
	said.Check(t, w.Run(t, "build", "-d", "bookworm", "real"))
}
