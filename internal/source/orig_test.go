package source

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"

	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
)

// TestBringOrig finds an upstream tarball that does not lie beside its source directory.
func TestBringOrig(t *testing.T) {
	e := gitEnv(t)
	const name = "gbpped_1.0~rc1.orig.tar."
	for title, test := range map[string]struct {
		change  func(t *testing.T, top string)
		options []string
		want    string // beginning of the one that is taken, below the top; "": none
		how     string
		err     string
	}{
		"beside": {change: func(t *testing.T, top string) {
			tarballOf(t, filepath.Join(top, name+"gz"), "x\n")
		}},
		"in ../tarballs": {change: func(t *testing.T, top string) {
			tarballOf(t, filepath.Join(top, "tarballs", name+"gz"), "x\n")
		}, want: "tarballs/" + name + "gz", how: "tarballs/" + name + "gz"},
		"in the tarball-dir": {change: func(t *testing.T, top string) {
			tarballOf(t, filepath.Join(top, "kept", name+"xz"), "x\n")
			write(t, filepath.Join(top, "pkg/debian/gbp.conf"),
				"[buildpackage]\ntarball-dir = ../kept\n", 0o644)
		}, want: "kept/" + name + "xz", how: "kept/" + name + "xz"},
		"of the tag": {change: func(*testing.T, string) {}, want: name + "gz",
			how: "git archive upstream/1.0_rc1"},
		"nowhere": {change: func(t *testing.T, top string) {
			hostGitOf(t, filepath.Join(top, "pkg"), "tag", "-d", "upstream/1.0_rc1")
		}, err: "the repository has no upstream/1.0_rc1 to make it of"},
		"without git": {change: func(t *testing.T, top string) {
			check(t, os.RemoveAll(filepath.Join(top, "pkg/.git")))
		}, err: "there is no gbpped_1.0~rc1.orig.tar.*"},
		"a link to another file": {change: func(t *testing.T, top string) {
			check(t, os.MkdirAll(filepath.Join(top, "tarballs"), 0o755))
			check(t, os.Symlink("/etc/hostname", filepath.Join(top, "tarballs", name+"gz")))
		}, err: "which is not a compressed tar archive"},
		"an empty one": {change: func(t *testing.T, top string) {
			check(t, os.RemoveAll(filepath.Join(top, "pkg/.git")))
			write(t, filepath.Join(top, "pkg/debian/source/options"), "create-empty-orig\n", 0o644)
		}},
		"another format": {change: func(t *testing.T, top string) {
			check(t, os.RemoveAll(filepath.Join(top, "pkg/.git")))
		}, options: []string{"--format=1.0"}},
		"native": {change: func(t *testing.T, top string) {
			check(t, os.RemoveAll(filepath.Join(top, "pkg/.git")))
			write(t, filepath.Join(top, "pkg/debian/source/format"), "3.0 (native)\n", 0o644)
		}},
	} {
		t.Run(title, func(t *testing.T) {
			top := packaged(t)
			test.change(t, top)
			log, said := logtest.NewNullLogger()
			o := *e
			o.Log = log
			dir := filepath.Join(top, "pkg")
			in := &Source{Spec: "pkg", From: dir}
			var err error
			in.Tree, err = dsc.OpenTree(dir)
			check(t, err)
			err = o.BringOrig(t.Context(), in, test.options)
			defer func() { check(t, in.Close()) }()
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("%v, want %s", err, test.err)
				}
				if strings.Contains(err.Error(), "tar.*") &&
					!strings.Contains(fault.HintOf(err), "origtargz") {
					t.Errorf("hint: %s", fault.HintOf(err))
				}
				return
			}
			check(t, err)
			if test.want == "" {
				if in.origs != nil {
					t.Errorf("%q", in.origs)
				}
				return
			}
			if len(in.origs) != 1 || !strings.HasSuffix(in.origs[0], "/"+test.want) {
				t.Errorf("%q, want %s", in.origs, test.want)
			}
			if !slices.ContainsFunc(said.AllEntries(), func(e *logrus.Entry) bool {
				return strings.HasPrefix(e.Message, "pkg: the upstream tarball is not beside it; ") &&
					strings.HasSuffix(e.Message, test.how)
			}) {
				t.Errorf("it says nothing of %s", test.how)
			}
		})
	}
}
