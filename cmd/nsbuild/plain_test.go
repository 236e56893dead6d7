package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
	w := realWorld(t)
	testenv.HostState(t)
	const line = "rename: Invalid cross-device link"
	dsc := w.writeSource(t, particular(line))
	log := func() string { return read(t, filepath.Join(w.dir, "particular_1.0_amd64.build")) }
	build := func(args ...string) outcome {
		return w.run(t, append([]string{"build", "-d", "bookworm"}, append(args, dsc)...)...)
	}

	t.Run("asked for", func(t *testing.T) {
		o := build("--scratch=copy")
		if o.status != 0 || !strings.Contains(log(), "\nScratch: copy\n") ||
			!strings.Contains(log(), "built on tmpfs") {
			t.Errorf("%s\n%s", o, log())
		}
	})
	t.Run("not wanted", func(t *testing.T) {
		o := build("--scratch=tmpfs")
		if o.status != 2 || !strings.Contains(o.stderr, "--scratch copy") {
			t.Errorf("%s\n%s", o, log())
		}
	})
	t.Run("after a failure", func(t *testing.T) {
		o := build()
		told := `the build failed as over an overlay ("` + line +
			`"); it is built again, in a plain copy`
		if o.status != 0 || strings.Count(o.stderr, told) != 1 || !strings.Contains(log(), told) ||
			!strings.Contains(log(), "Status: successful") {
			t.Errorf("%s\n%s", o, log())
		}
	})
	t.Run("on a list", func(t *testing.T) {
		hide(t, w, false)
		defer hide(t, w, true)
		o := build("--plain-source=other", "--plain-source=particular")
		const told = "particular is known to see overlays"
		if o.status != 0 || strings.Count(o.stderr, told) != 1 ||
			strings.Contains(log(), "overlayfs") {
			t.Errorf("%s\n%s", o, log())
		}
	})
	t.Run("no name", func(t *testing.T) {
		refusal{2, []string{`--plain-source "A b" is no name of a source package`},
			"as in debian/control"}.
			check(t, build("--plain-source=A b"))
	})
}

// hide has nsbuild remember that this kernel can hide an overlay, or that it cannot.
func hide(t *testing.T, w *world, can bool) {
	t.Helper()
	file := filepath.Join(w.state, "kernel.json")
	text := read(t, file)
	for _, was := range []string{"true", "false"} {
		now := map[bool]string{true: "true", false: "false"}[can]
		text = strings.ReplaceAll(text, `numbers files itself":`+was, `numbers files itself":`+now)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
