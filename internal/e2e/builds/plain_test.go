package builds

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nsbuild/internal/e2e"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/testenv"
)

// particular is a source that builds in a plain tree only: over an overlay it fails with this line.
func particular(line string) fakedebian.Source {
	return fakedebian.Source{Name: "particular", Version: "1.0", Architecture: "all",
		Rules: fmt.Sprintf(`#!/usr/bin/make -f
build build-arch build-indep:
	stat -f -c 'built on %%T' .
	@test $$(stat -f -c %%T .) != overlayfs || { echo '%s'; exit 1; }
	touch $@
binary-arch:
binary binary-indep: build
	mkdir -p debian/particular/DEBIAN
	dpkg-gencontrol -pparticular -Pdebian/particular
	dpkg-deb --root-owner-group -b debian/particular ..
clean:
	rm -rf build* debian/particular debian/files
`, line)}
}

// TestPlainTree builds what fails over an overlay in a plain copy of its tree: when that is asked
// for, after a failure that looks like it, and at once where the source is on a list.
func TestPlainTree(t *testing.T) {
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	const line = "rename: Invalid cross-device link"
	dsc := w.WriteSource(t, particular(line))
	log := func() string { return e2e.Read(t, filepath.Join(w.Dir, "particular_1.0_amd64.build")) }
	build := func(args ...string) e2e.Outcome {
		return w.Run(t, append([]string{"build", "-d", "bookworm"}, append(args, dsc)...)...)
	}

	t.Run("asked for", func(t *testing.T) {
		o := build("--scratch=copy")
		if o.Status != 0 || !strings.Contains(log(), "\nScratch: copy\n") ||
			!strings.Contains(log(), "built on tmpfs") {
			t.Errorf("%s\n%s", o, log())
		}
	})
	t.Run("not wanted", func(t *testing.T) {
		o := build("--scratch=tmpfs")
		if o.Status != 2 || !strings.Contains(o.Stderr, "--scratch copy") {
			t.Errorf("%s\n%s", o, log())
		}
	})
	t.Run("after a failure", func(t *testing.T) {
		o := build()
		told := `the build failed as over an overlay ("` + line +
			`"); it is built again, in a plain copy`
		if o.Status != 0 || strings.Count(o.Stderr, told) != 1 || !strings.Contains(log(), told) ||
			!strings.Contains(log(), "Status: successful") {
			t.Errorf("%s\n%s", o, log())
		}
	})
	t.Run("on a list", func(t *testing.T) {
		hide(t, w, false)
		defer hide(t, w, true)
		o := build("--plain-source=other", "--plain-source=particular")
		const told = "particular is known to see overlays"
		if o.Status != 0 || strings.Count(o.Stderr, told) != 1 ||
			strings.Contains(log(), "overlayfs") {
			t.Errorf("%s\n%s", o, log())
		}
	})
	t.Run("no name", func(t *testing.T) {
		e2e.Refusal{Status: 64, Says: []string{`--plain-source "A b" is no name of a source package`},
			Hint: "as in debian/control"}.
			Check(t, build("--plain-source=A b"))
	})
}

// hide has nsbuild remember that this kernel can hide an overlay, or that it cannot.
func hide(t *testing.T, w *e2e.World, can bool) {
	t.Helper()
	file := filepath.Join(w.State, "kernel.json")
	text := e2e.Read(t, file)
	for _, was := range []string{"true", "false"} {
		now := map[bool]string{true: "true", false: "false"}[can]
		text = strings.ReplaceAll(text, `numbers files itself":`+was, `numbers files itself":`+now)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
