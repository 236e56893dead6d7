package source

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nsbuild/internal/deb"
	"nsbuild/internal/dsc"
	"nsbuild/internal/gitsrc"
	"nsbuild/internal/testenv"
)

// packaged is a directory with a repository in pkg/ that has upstream's tags and branches,
// pristine-tar's branch, a submodule, and tarballs elsewhere.
func packaged(t *testing.T) string {
	t.Helper()
	top := t.TempDir()
	dir, sub := filepath.Join(top, "pkg"), filepath.Join(top, "sub")
	for _, d := range []string{dir, sub} {
		check(t, os.Mkdir(d, 0o755))
		hostGitOf(t, d, "init", "-q")
	}
	git := func(args ...string) {
		t.Helper()
		hostGitOf(t, dir,
			append(
				[]string{"-c", "protocol.file.allow=always", "-c", "commit.gpgSign=false"},
				args...)...)
	}
	write(t, filepath.Join(sub, "inner"), "inner\n", 0o644)
	hostGitOf(t, sub, "add", ".")
	hostGitOf(t, sub, "commit", "-q", "-m", "sub")
	write(t, filepath.Join(dir, "README"), "upstream\n", 0o644)
	write(t, filepath.Join(dir, "run"), "#!/bin/sh\n", 0o755)
	write(t, filepath.Join(dir, "data/table"), "1\n", 0o644)
	write(t, filepath.Join(dir, ".gitattributes"), "hidden export-ignore\n", 0o644)
	write(t, filepath.Join(dir, "hidden"), "x\n", 0o644)
	check(t, os.Symlink("README", filepath.Join(dir, "link")))
	git("submodule", "add", "-q", sub, "sub")
	git("add", ".")
	git("commit", "-q", "-m", "upstream")
	git("tag", "upstream/1.0_rc1")
	git("tag", "REL_1_0")
	git("branch", "up")
	write(t, filepath.Join(dir, "debian/changelog"), "gbpped (1.0~rc1-1) bookworm; "+
		"urgency=low\n\n  * x\n\n -- A B <a@mirror.example>  Mon, 01 Jan 2024 00:00:00 +0000\n",
		0o644)
	write(t, filepath.Join(dir, "debian/control"), "Source: gbpped\nMaintainer: A B "+
		"<a@mirror.example>\n\nPackage: gbpped\nArchitecture: all\nDescription: x\n y\n", 0o644)
	write(t, filepath.Join(dir, "debian/source/format"), "3.0 (quilt)\n", 0o644)
	git("add", ".")
	git("commit", "-q", "-m", "debian")
	return top
}

// tarballOf makes a tarball that is not one of the repository's.
func tarballOf(t *testing.T, file, text string) {
	t.Helper()
	check(t, os.MkdirAll(filepath.Dir(file), 0o755))
	tree := t.TempDir()
	write(t, filepath.Join(tree, "gbpped-1.0~rc1/README"), text, 0o644)
	if out, err := exec.Command("tar", "-C", tree, "-caf", file,
		"gbpped-1.0~rc1").CombinedOutput(); err != nil {
		t.Fatalf("tar: %v: %s", err, out)
	}
}

// unpackedOrigs describes what tarballs have, and signatures as they are. Times are left out: gbp
// gives some tarballs the time of now.
func unpackedOrigs(t *testing.T, files []string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		check(t, err)
		ext := strings.TrimPrefix(filepath.Ext(file), ".")
		if ext == "asc" {
			out[filepath.Base(file)] = string(data)
			continue
		}
		z, err := deb.Decompress(bytes.NewReader(data), "."+ext, 1<<27)
		check(t, err)
		var lines []string
		for tr := tar.NewReader(z); ; {
			h, err := tr.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			check(t, err)
			if h.Typeflag == tar.TypeXGlobalHeader {
				continue
			}
			sum := sha256.New()
			_, err = io.Copy(sum, tr)
			check(t, err)
			lines = append(lines, fmt.Sprintf("%c %o %s %s %x", h.Typeflag, h.Mode, h.Name,
				h.Linkname, sum.Sum(nil)[:4]))
		}
		slices.Sort(lines)
		out[filepath.Base(file)] = strings.Join(lines, "\n")
	}
	return out
}

// gbpOracle has gbp bring the upstream tarballs of each directory that it is told of.
const gbpOracle = `
import contextlib, io, json, os, sys
sys.dont_write_bytecode = True
answers = os.fdopen(os.dup(1), "w")
nothing = os.open("/dev/null", os.O_WRONLY)
os.dup2(nothing, 1), os.dup2(nothing, 2) # its commands' own
from gbp.scripts import buildpackage
for line in sys.stdin:
    os.chdir(json.loads(line))
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            status = buildpackage.main(["buildpackage", "--git-ignore-new", "--git-ignore-branch", "--git-builder=true",
                "--git-cleaner=true", "--git-notify=off", "--git-color=off"])
        except BaseException as e:
            status = str(e) or 1
    json.dump({"failed": bool(status), "said": said.getvalue()}, answers)
`

// TestOrigLikeGBP brings upstream tarballs by many configurations, and has gbp itself do the same.
func TestOrigLikeGBP(t *testing.T) {
	testenv.RequireTool(t, "git", "gbp", "pristine-tar", "xz", "bzip2")
	e := gitEnv(t)
	const orig = "gbpped_1.0~rc1.orig"
	pristine := func(t *testing.T, top string, components ...string) {
		dir := filepath.Join(top, "pkg")
		commit := func(tree string, args ...string) {
			c := exec.Command("pristine-tar",
				append([]string{"commit", args[0], tree}, args[1:]...)...)
			c.Dir = dir
			c.Env = append(os.Environ(), "GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@mirror.example",
				"GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@mirror.example")
			if out, err := c.CombinedOutput(); err != nil {
				t.Fatalf("pristine-tar: %v: %s", err, out)
			}
		}
		main := "upstream/1.0_rc1"
		file := filepath.Join(top, "kept", orig+".tar.xz")
		check(t, os.MkdirAll(filepath.Dir(file), 0o755))
		for _, component := range components {
			part := filepath.Join(top, "kept", orig+"-"+component+".tar.xz")
			hostGitOf(t, dir, "-c", "tar.tar.xz.command=xz -c", "archive", "--prefix=gbpped-1.0/",
				"-o", part, main+":"+component)
			commit(strings.TrimSpace(hostGitOf(t, dir, "rev-parse", main+":"+component)), part)
		}
		if len(components) > 0 {
			index := filepath.Join(t.TempDir(), "index")
			c := exec.Command("sh", "-c", `git read-tree upstream/1.0_rc1 && git rm -rq --cached `+
				strings.Join(components, " ")+` && git write-tree`)
			c.Dir, c.Env = dir, append(os.Environ(), "GIT_INDEX_FILE="+index)
			out, err := c.Output()
			check(t, err)
			main = strings.TrimSpace(string(out))
		}
		hostGitOf(t, dir, "-c", "tar.tar.xz.command=xz -c", "archive", "--prefix=gbpped-1.0/", "-o",
			file, main)
		write(t, file+".asc",
			"-----BEGIN PGP SIGNATURE-----\n\nkept\n-----END PGP SIGNATURE-----\n", 0o644)
		commit(main, file, "-s", file+".asc")
	}
	type layer func(t *testing.T, top string)
	kept := func(components ...string) layer {
		return func(t *testing.T, top string) { pristine(t, top, components...) }
	}
	tarball := func(name string) layer {
		return func(t *testing.T, top string) { tarballOf(t, filepath.Join(top, name), name+"\n") }
	}
	cases := []struct {
		name, conf string
		lay        []layer
		want       []string // files; none: it is refused
	}{
		{"the tag", "", nil, []string{".tar.gz"}},
		{"mangled tag", "upstream-tag = REL_%(version%.%_)s\n", nil, nil},
		{"mangled tag with an escape", "upstream-tag = upstream/%(version%~%_)s\n", nil,
			[]string{".tar.gz"}},
		{"branch", "upstream-tree = BrAnCh\nupstream-branch = up\n", nil, []string{".tar.gz"}},
		{"no such branch", "upstream-tree = branch\nupstream-branch = nothing\n", nil, nil},
		{"sloppy", "upstream-tree = sloppy\ndebian-branch = HEAD\n", nil, []string{".tar.gz"}},
		{"a commit", "upstream-tree = HEAD~1\n", nil, []string{".tar.gz"}},
		{"no such tree", "upstream-tree = nothing\n", nil, nil},
		{"no such tag", "upstream-tag = v%(version)s\n", nil, nil},
		{"xz", "compression = xz\n", nil, []string{".tar.xz"}},
		{"bzip2 by its short name, with a level", "compression = bz2\ncompression-level = 1\n", nil,
			[]string{".tar.bz2"}},
		{"pristine-tar", "pristine-tar = True\n", []layer{kept()},
			[]string{".tar.xz", ".tar.xz.asc"}},
		{"pristine-tar without signatures", "pristine-tar = True\nupstream-signatures = off\n",
			[]layer{kept()}, []string{".tar.xz"}},
		{"pristine-tar with signatures", "pristine-tar = True\nupstream-signatures = on\n",
			[]layer{kept()}, []string{".tar.xz", ".tar.xz.asc"}},
		{"pristine-tar of another compression", "pristine-tar = True\ncompression = gzip\n",
			[]layer{kept()}, nil},
		{"pristine-tar without its branch", "pristine-tar = True\n", nil, nil},
		{"pristine-tar-commit",
			"pristine-tar = True\npristine-tar-commit = True\ncompression = gzip\n",
			[]layer{kept()}, []string{".tar.gz"}},
		{"no pristine-tar", "pristine-tar = False\n", []layer{kept()}, []string{".tar.xz"}},
		{"tarball-dir", "tarball-dir = ../tarballs/\n",
			[]layer{tarball("tarballs/" + orig + ".tar.xz")}, []string{".tar.xz"}},
		{"tarball-dir of the version", "tarball-dir = ../tarballs/%(version)s\n",
			[]layer{tarball("tarballs/1.0~rc1/" + orig + ".tar.gz")}, []string{".tar.gz"}},
		{"tarball-dir over what lies beside", "tarball-dir = ../tarballs\n",
			[]layer{tarball("tarballs/" + orig + ".tar.gz"), tarball(orig + ".tar.gz")},
			[]string{".tar.gz"}},
		{"empty tarball-dir", "tarball-dir = ../nothing\n", nil, []string{".tar.gz"}},
		{"export-dir", "export-dir = ../area\n", []layer{tarball("area/" + orig + ".tar.gz")},
			[]string{".tar.gz"}},
		{"export-dir and tarball-dir", "export-dir = ../area/\ntarball-dir = ../tarballs\n",
			[]layer{tarball("tarballs/" + orig + ".tar.bz2")}, []string{".tar.bz2"}},
		{"beside", "", []layer{tarball(orig + ".tar.xz")}, []string{".tar.xz"}},
		{"beside, but of another compression", "compression = gzip\n",
			[]layer{tarball(orig + ".tar.xz")}, []string{".tar.gz"}},
		{"force-create", "force-create = True\n", []layer{tarball(orig + ".tar.gz")},
			[]string{".tar.gz"}},
		{"component", "component = data\n", nil, []string{".tar.gz", "-data.tar.gz"}},
		{"components that are not there", "component = ['data', 'docs']\n", nil, nil},
		{"components of pristine-tar", "pristine-tar = True\ncomponents = ['data']\n",
			[]layer{kept("data")}, []string{".tar.xz", ".tar.xz.asc", "-data.tar.xz"}},
		{"components beside", "component = ['data']\n",
			[]layer{tarball(orig + ".tar.xz"), tarball(orig + "-data.tar.xz")},
			[]string{".tar.xz", "-data.tar.xz"}},
		{"submodules", "submodules = True\n", nil, []string{".tar.gz"}},
	}
	var asked bytes.Buffer
	tops, template := make([]string, len(cases)), packaged(t)
	for i, c := range cases {
		tops[i] = filepath.Join(t.TempDir(), "top")
		if out, err := exec.Command("cp", "-a", template, tops[i]).CombinedOutput(); err != nil {
			t.Fatalf("cp: %v: %s", err, out)
		}
		write(t, filepath.Join(tops[i], "pkg/debian/gbp.conf"), "[DEFAULT]\n"+c.conf, 0o644)
		for _, lay := range c.lay {
			lay(t, tops[i])
		}
		into := t.TempDir()
		err := bringOrigOf(t, e, filepath.Join(tops[i], "pkg"), into)
		ours, globErr := filepath.Glob(filepath.Join(into, orig+"*"))
		check(t, globErr)
		if (err != nil) != (c.want == nil) {
			t.Errorf("%s: %v", c.name, err)
		}
		if err != nil {
			ours = nil
		}
		var names []string
		for _, file := range ours {
			names = append(names, strings.TrimPrefix(filepath.Base(file), orig))
		}
		if want := slices.Sorted(slices.Values(c.want)); !slices.Equal(
			slices.Sorted(slices.Values(names)), want) {
			t.Errorf("%s: %q, want %q", c.name, names, want)
		}
		t.Cleanup(func() { compareWithGBP(t, c.name, tops[i], unpackedOrigs(t, ours)) })
		check(t, json.NewEncoder(&asked).Encode(filepath.Join(tops[i], "pkg")))
	}
	python := exec.Command("/usr/bin/python3", "-c", gbpOracle)
	python.Stdin, python.Env = &asked,
		append(os.Environ(), "HOME="+t.TempDir(), "GIT_AUTHOR_NAME=A",
			"GIT_AUTHOR_EMAIL=a@mirror.example",
			"GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@mirror.example")
	out, err := python.Output()
	check(t, err)
	answers := json.NewDecoder(bytes.NewReader(out))
	for i, c := range cases {
		var a struct {
			Failed bool
			Said   string
		}
		check(t, answers.Decode(&a))
		if a.Failed != (c.want == nil) {
			t.Errorf("%s: gbp: %+v", c.name, a)
		}
		if a.Failed {
			check(t, os.RemoveAll(tops[i]))
		}
	}
}

// bringOrigOf brings the upstream tarballs of a repository.
func bringOrigOf(t *testing.T, e *Opener, dir, into string) error {
	t.Helper()
	tree, err := dsc.OpenTree(dir)
	check(t, err)
	l, err := gitsrc.Locate(dir)
	check(t, err)
	conf, err := gitsrc.ReadConfig(l, func(string) string { return "" })
	check(t, err)
	x := &export{Opener: e, in: &Source{Spec: dir, Tree: tree, From: dir}}
	return x.inRepository(t.Context(), l, func(r *gitsrc.Repository) error {
		return x.bringOrig(t.Context(), r, conf, tree, into)
	})
}

// compareWithGBP compares with what gbp has left in its output directory; it has failed where there
// is none.
func compareWithGBP(t *testing.T, name, top string, ours map[string]string) {
	t.Helper()
	if _, err := os.Stat(top); err != nil {
		return
	}
	theirs, err := filepath.Glob(filepath.Join(top, "area/*.orig*"))
	check(t, err)
	if len(theirs) == 0 {
		theirs, err = filepath.Glob(filepath.Join(top, "*.orig*"))
		check(t, err)
	}
	want := unpackedOrigs(t, theirs)
	for file := range want {
		if _, ok := ours[file]; !ok && len(ours) > 0 { // what lay beside, and gbp did not take
			delete(want, file)
		}
	}
	if !maps.Equal(ours, want) {
		t.Errorf("%s:\n%v\ngbp:\n%v", name, ours, want)
	}
}
