package builds

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"nsbuild/internal/e2e"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/testenv"
)

// greedy is a source whose build writes so many MiB, and whose compiler, as compilers do, deletes
// what it could not complete.
func greedy(version string, mib int) fakedebian.Source {
	return fakedebian.Source{Name: "greedy", Version: version, Architecture: "all",
		Rules: fmt.Sprintf(`#!/usr/bin/make -f
build build-arch build-indep:
	dd if=/dev/zero of=blob bs=1M count=%d status=none || { rm -f blob; exit 1; }
	rm -f blob
	touch $@
binary-arch:
binary binary-indep: build
	mkdir -p debian/greedy/DEBIAN
	dpkg-gencontrol -pgreedy -Pdebian/greedy
	dpkg-deb --root-owner-group -b debian/greedy ..
clean:
	rm -rf blob build* debian/greedy debian/files
`, mib)}
}

// TestScratchFull builds what does not fit into its tmpfs.
func TestScratchFull(t *testing.T) {
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	w.Must(t, "build", "-q", "-d", "bookworm", "--scratch=tmpfs",
		w.WriteSource(t, greedy("1.0", 1)))
	larger := w.WriteSource(t, greedy("2.0", 400))
	log := func() string { return e2e.Read(t, filepath.Join(w.Dir, "greedy_2.0_amd64.build")) }

	t.Run("tmpfs asked for", func(t *testing.T) {
		o := w.Run(t, "build", "-q", "-d", "bookworm", "--scratch=tmpfs", "--scratch-size=300M",
			larger)
		e2e.Refusal{Status: 3, Says: []string{"the scratch is full: the tmpfs of 300 MiB"},
			Hint: "use --scratch auto or --scratch disk, or a larger --scratch-size"}.Check(t, o)
		if !strings.Contains(log(), "Status: given-back") {
			t.Errorf("the log blames the package:\n%s", log())
		}
	})
	t.Run("again on disk", func(t *testing.T) {
		// What 1.0 has needed lets expect that it fits.
		o := w.Must(t, "build", "-d", "bookworm", "--scratch-size=300M", larger)
		const told = "the tmpfs of 300 MiB that the build wrote to is full; it is built again, on disk"
		if !strings.Contains(o.Stderr, told) || !strings.Contains(log(), told) ||
			!strings.Contains(log(), "Status: successful") {
			t.Errorf("%s\n%s", o, log())
		}
	})
	t.Run("on disk at once", func(t *testing.T) {
		o := w.Must(t, "build", "-d", "bookworm", "--scratch-size=300M", larger)
		if strings.Contains(o.Stderr, "is full") || !strings.Contains(log(), "\nScratch: disk\n") {
			t.Errorf("%s\n%s", o, log())
		}
	})
}
