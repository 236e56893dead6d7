package sources

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nsbuild/internal/e2e"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/testenv"
)

// TestFormats builds a source of each format, from its .dsc and from its directory.
func TestFormats(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	testenv.RequireTool(t, "dpkg-source")
	for _, c := range []struct{ name, format, version string }{
		{"quilted", fakedebian.FormatQuilt, "1.0-1"}, {"native", fakedebian.FormatNative, "1.0"},
		{"old", fakedebian.Format1, "1:1.0-1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			here := *w
			here.Dir = t.TempDir()
			dsc := here.WriteSource(t,
				fakedebian.Source{Name: c.name, Version: c.version, Format: c.format,
					Files: []fakedebian.File{{Path: "README", Body: "x\n"}}})
			_, file, _ := strings.Cut(":"+c.version, ":")
			deb := c.name + "_" + strings.TrimPrefix(file, "1:") + "_amd64.deb"
			if o := here.Must(t, "build", "-q", "-d", "bookworm", dsc); !strings.Contains(o.Stdout,
				deb) {
				t.Error(o)
			}
			if out, err := exec.Command("dpkg-source", "-x", filepath.Join(here.Dir, dsc),
				filepath.Join(here.Dir, "tree")).CombinedOutput(); err != nil {
				t.Fatalf("dpkg-source: %v\n%s", err, out)
			}
			if o := here.Must(t, "build", "-q", "-d", "bookworm", "tree"); !strings.Contains(
				o.Stdout, deb) {
				t.Error(o)
			}
		})
	}
}

// TestComponents builds a directory whose upstream comes in two tarballs, one of them signed.
func TestComponents(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	testenv.RequireTool(t, "dpkg-source")
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	dsc := w.WriteSource(t,
		fakedebian.Source{Name: "parts", Version: "1.0-1",
			Rules: "#!/usr/bin/make -f\nclean build:\nbinary:\n\tcat extra/part\n" +
				"\tmkdir -p debian/made/DEBIAN\n\tdpkg-gencontrol -pparts " +
				"-Pdebian/made\n\tdpkg-deb --root-owner-group --build debian/made ..\n"})
	for _, c := range [][]string{{"dpkg-source", "-x", dsc, "tree"},
		{"mkdir", "-p", "c/part", "tree/extra"},
		{"sh", "-c", "echo the second part >c/part/part; cp c/part/part tree/extra/"},
		{"tar", "-C", "c", "-czf", "parts_1.0.orig-extra.tar.gz", "part"},
		{"sh", "-c", "echo sig >parts_1.0.orig-extra.tar.gz.asc; echo other >parts_1.0.original"}} {
		cmd := exec.Command(c[0], c[1:]...)
		cmd.Dir = w.Dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", c, err, out)
		}
	}
	o := w.Must(t, "build", "-q", "-d", "bookworm", "-s", "tree")
	e2e.WantIn(t, "log", e2e.Read(t, filepath.Join(w.Dir, "parts_1.0-1_amd64.build")),
		"^the second part$")
	if !strings.Contains(o.Stdout, "parts_1.0.orig-extra.tar.gz\n") ||
		!strings.Contains(o.Stdout, "parts_1.0.orig-extra.tar.gz.asc\n") {
		t.Error(o)
	}
}

// TestGit builds what git has of a source directory, and says what it leaves out.
func TestGit(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	testenv.RequireTool(t, "git", "dpkg-source")
	dsc := w.WriteSource(t,
		fakedebian.Source{Name: "gitted", Version: "1.0-1",
			Files: []fakedebian.File{{Path: "README", Body: "upstream\n"}},
			Rules: "#!/usr/bin/make -f\nclean build:\nbinary:\n\tcat debian/NOTE\n" +
				"\tmkdir -p debian/made/DEBIAN\n\tdpkg-gencontrol -pgitted " +
				"-Pdebian/made\n\tdpkg-deb --root-owner-group --build debian/made ..\n",
			Debian: []fakedebian.File{{Path: "NOTE", Body: "committed\n"}}})
	tree := filepath.Join(w.Dir, "tree")
	git := gitIn(t, tree)
	if out, err := exec.Command("dpkg-source", "-x", filepath.Join(w.Dir, dsc),
		tree).CombinedOutput(); err != nil {
		t.Fatalf("dpkg-source: %v\n%s", err, out)
	}
	e2e.Check(t, os.Remove(filepath.Join(w.Dir, "gitted_1.0.orig.tar.xz"))) // which git has
	git("init", "-q")
	git("add", "README")
	git("commit", "-q", "-m", "upstream")
	git("tag", "v1.0")
	e2e.Check(t, os.WriteFile(filepath.Join(tree, "debian/gbp.conf"),
		[]byte("[DEFAULT]\nupstream-tag = v%(version)s\n"), 0o644))
	git("add", "debian")
	git("commit", "-q", "-m", "debian")
	note := func(text string) {
		e2e.Check(t, os.WriteFile(filepath.Join(tree, "debian/NOTE"), []byte(text+"\n"), 0o644))
	}
	note("indexed")
	git("add", "debian/NOTE")
	note("changed")
	fell := filepath.Join(w.Dir, "canary")
	git("config", "core.fsmonitor", "touch "+fell)
	git("config", "filter.x.clean", "touch "+fell+"; cat")
	e2e.Check(t, os.WriteFile(filepath.Join(tree, ".git/info/attributes"),
		[]byte("debian export-ignore\nNOTE filter=x\n"), 0o644))
	log := filepath.Join(w.Dir, "gitted_1.0-1_amd64.build")
	o := w.Must(t, "build", "-q", "-d", "bookworm", "--git", "tree")
	e2e.WantIn(t, "log", e2e.Read(t, log), "^committed$",
		"^Exported the source of commit [0-9a-f]{12} \\(head\\)$",
		"^Upstream tarball: git archive v1.0$",
		`uncommitted changes \(MM debian/NOTE.*\) are not built: HEAD is$`)
	if !strings.Contains(o.Stdout, filepath.Join(w.Dir, "gitted_1.0-1_amd64.changes")) {
		t.Error(o)
	}
	w.Must(t, "build", "-q", "-d", "bookworm", "--git=index", "tree")
	e2e.WantIn(t, "log of the index", e2e.Read(t, log), "^indexed$")
	git("tag", "-d", "v1.0")
	e2e.Refusal{Status: 3, Says: []string{"no upstream tarball for version 1.0", "no v1.0"},
		Hint: "git fetch --tags"}.Check(t,
		w.Run(t, "build", "-q", "-d", "bookworm", "--git", "tree"))
	e2e.Check(t, exec.Command("tar", "-C", w.Dir, "-caf",
		filepath.Join(w.Dir, "gitted_1.0.orig.tar.xz"), "tree/README").Run())
	w.Must(t, "build", "-q", "-d", "bookworm", "tree")
	e2e.WantIn(t, "log of the directory", e2e.Read(t, log), "^changed$",
		`uncommitted changes \(MM debian/NOTE.*\) are built as they lie there`)
	if _, err := os.Lstat(fell); err == nil {
		t.Error("what the repository configures was run on the host")
	}
	e2e.Refusal{Status: 64, Says: []string{"--git: hello is none"},
		Hint: "give a source directory"}.Check(t, w.Run(t, "build", "-q", "--git", "hello"))
}

// TestGitWithoutPackage names the directory that the user gave where a commit is no source package.
func TestGitWithoutPackage(t *testing.T) {
	w := e2e.NewWorld(t)
	testenv.RequireUserns(t)
	testenv.RequireTool(t, "git")
	tree := filepath.Join(w.Dir, "tree")
	for name, text := range map[string]string{
		"README": "x\n",
		"debian/control": "Source: foo\nMaintainer: A B <a@mirror.example>\n\nPackage: " +
			"foo\nArchitecture: all\nDescription: x\n y\n",
		"debian/changelog": "foo (1.0) bookworm; urgency=low\n\n  * x\n\n -- A B " +
			"<a@mirror.example>  Mon, 01 Jan 2024 00:00:00 +0000\n",
	} {
		file := filepath.Join(tree, name)
		e2e.Check(t, os.MkdirAll(filepath.Dir(file), 0o755))
		e2e.Check(t, os.WriteFile(file, []byte(text), 0o644))
	}
	git := gitIn(t, tree)
	git("init", "-q")
	e2e.Refusal{Status: 3, Says: []string{"has no commit yet"}, Hint: "--git=index"}.Check(t,
		w.Run(t, "build", "-q", "--git", "tree"))
	git("add", "README")
	git("commit", "-q", "-m", "x")
	e2e.Refusal{Status: 3, Says: []string{"what git has of it", "tree is not a source package"},
		Hint: "git add"}.Check(t, w.Run(t, "build", "-q", "--git", "tree"))
}

// TestGitOverlay puts a repository that has debian/ only over its upstream tarballs.
func TestGitOverlay(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	testenv.RequireTool(t, "git", "xz")
	tree := filepath.Join(w.Dir, "tree")
	for name, text := range map[string]string{
		"tree/debian/control": "Source: laid\nMaintainer: A B " +
			"<a@mirror.example>\nRules-Requires-Root: no\n\nPackage: laid\nArchitecture: " +
			"all\nDescription: x\n y\n",
		"tree/debian/changelog": "laid (1.0-1) bookworm; urgency=low\n\n  * x\n\n -- A B " +
			"<a@mirror.example>  Mon, 01 Jan 2024 00:00:00 +0000\n",
		"tree/debian/source/format":  "3.0 (quilt)\n",
		"tree/debian/patches/p":      "--- a/README\n+++ b/README\n@@ -1 +1 @@\n-upstream\n+patched\n",
		"tree/debian/patches/series": "p\n",
		"tree/debian/gbp.conf": "[DEFAULT]\noverlay = True\nexport-dir = " +
			"../build-area\ntarball-dir = ../tarballs/%(version)s\ncomponent = ['data']\n",
		"laid-1.0/README": "upstream\n", "laid-1.0/debian/upstreams": "",
		"parts/table": "of data\n",
		"tree/debian/rules": "#!/usr/bin/make -f\nclean build:\nbinary:\n\tcat README " +
			"data/table\n\ttest ! -e debian/upstreams\n" +
			"\tmkdir -p debian/made/DEBIAN\n\tdpkg-gencontrol -plaid -Pdebian/made\n\tdpkg-deb " +
			"--root-owner-group --build debian/made ..\n",
	} {
		file := filepath.Join(w.Dir, name)
		e2e.Check(t, os.MkdirAll(filepath.Dir(file), 0o755))
		e2e.Check(t, os.WriteFile(file, []byte(text), 0o755))
	}
	e2e.Check(t, os.MkdirAll(filepath.Join(w.Dir, "tarballs/1.0"), 0o755))
	for _, c := range [][]string{
		{"tar", "-caf", "tarballs/1.0/laid_1.0.orig.tar.xz", "laid-1.0"},
		{"tar", "-caf", "tarballs/1.0/laid_1.0.orig-data.tar.gz", "parts"},
		{"git", "init", "-q", tree}, {"git", "-C", tree, "add", "."},
		{"git", "-C", tree, "-c", "user.name=A B", "-c", "user.email=a@mirror.example", "commit",
			"-q", "-m", "debian"},
	} {
		cmd := exec.Command(c[0], c[1:]...)
		cmd.Dir = w.Dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", c, err, out)
		}
	}
	w.Must(t, "build", "-q", "-d", "bookworm", "--git", "tree")
	log := filepath.Join(w.Dir, "laid_1.0-1_amd64.build")
	e2e.WantIn(t, "log", e2e.Read(t, log), "^patched$", "^of data$",
		"^Upstream tarball: .*/laid_1.0.orig-data.tar.gz, .*/laid_1.0.orig.tar.xz$")
	e2e.Check(t, os.Remove(filepath.Join(w.Dir, "tarballs/1.0/laid_1.0.orig.tar.xz")))
	e2e.Refusal{Status: 3, Says: []string{"no upstream tarball for version 1.0"},
		Hint: "git fetch --tags"}.Check(t,
		w.Run(t, "build", "-q", "-d", "bookworm", "--git", "tree"))
}

// TestPristineTar builds with the upstream tarball that pristine-tar has kept, byte for byte.
func TestPristineTar(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	testenv.RequireTool(t, "git", "dpkg-source", "pristine-tar")
	dsc := w.WriteSource(t,
		fakedebian.Source{Name: "kept", Version: "1.0-1",
			Files: []fakedebian.File{{Path: "README", Body: "upstream\n"}}})
	const tarball = "kept_1.0.orig.tar.gz" // of gzip's own, which pristine-tar can make again
	tree := filepath.Join(w.Dir, "tree")
	for _, c := range [][]string{
		{"dpkg-source", "-x", dsc, tree}, {"mkdir", "kept-1.0"}, {"cp", "tree/README", "kept-1.0/"},
		{"tar", "-czf", tarball, "kept-1.0"}, {"rm", "kept_1.0.orig.tar.xz"},
		{"git", "init", "-q", tree}, {"git", "-C", tree, "add", "README"},
		{"git", "-C", tree, "commit", "-q", "-m", "upstream"},
		{"git", "-C", tree, "tag", "upstream/1.0"},
		{"sh", "-c", "cd tree && pristine-tar commit ../" + tarball + " upstream/1.0"},
		{"git", "-C", tree, "add", "debian"}, {"git", "-C", tree, "commit", "-q", "-m", "debian"},
	} {
		cmd := exec.Command(c[0], c[1:]...)
		cmd.Dir = w.Dir
		cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=A B", "GIT_AUTHOR_EMAIL=a@mirror.example",
			"GIT_COMMITTER_NAME=A B", "GIT_COMMITTER_EMAIL=a@mirror.example")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", c, err, out)
		}
	}
	before := e2e.Read(t, filepath.Join(w.Dir, tarball))
	e2e.Check(t, os.Remove(filepath.Join(w.Dir, tarball)))
	w.Must(t, "build", "-q", "-d", "bookworm", "-s", "--git", "tree")
	e2e.WantIn(t, "log", e2e.Read(t, filepath.Join(w.Dir, "kept_1.0-1_amd64.build")),
		"^Upstream tarball: pristine-tar$")
	if after := e2e.Read(t, filepath.Join(w.Dir, tarball)); after != before {
		t.Errorf("the tarball has %d bytes instead of %d, or other ones", len(after), len(before))
	}
}

// gitIn runs git in a tree, as somebody who may commit.
func gitIn(t *testing.T, tree string) func(args ...string) {
	who := []string{"-C", tree, "-c", "user.name=A B", "-c", "user.email=a@mirror.example"}
	return func(args ...string) {
		t.Helper()
		if out, err := exec.Command(
			"git", slices.Concat(who, args)...).CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}
