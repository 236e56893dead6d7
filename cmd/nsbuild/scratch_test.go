package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

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
	w := realWorld(t)
	testenv.HostState(t)
	w.must(t, "build", "-q", "-d", "bookworm", "--scratch=tmpfs",
		w.writeSource(t, greedy("1.0", 1)))
	larger := w.writeSource(t, greedy("2.0", 400))
	log := func() string { return read(t, filepath.Join(w.dir, "greedy_2.0_amd64.build")) }

	t.Run("tmpfs asked for", func(t *testing.T) {
		o := w.run(t, "build", "-q", "-d", "bookworm", "--scratch=tmpfs", "--scratch-size=300M",
			larger)
		refusal{3, []string{"the scratch is full: the tmpfs of 300 MiB"},
			"use --scratch auto or --scratch disk, or a larger --scratch-size"}.check(t, o)
		if !strings.Contains(log(), "Status: given-back") {
			t.Errorf("the log blames the package:\n%s", log())
		}
	})
	t.Run("again on disk", func(t *testing.T) {
		// What 1.0 has needed lets expect that it fits.
		o := w.must(t, "build", "-d", "bookworm", "--scratch-size=300M", larger)
		const told = "the tmpfs of 300 MiB that the build wrote to is full; it is built again, on disk"
		if !strings.Contains(o.stderr, told) || !strings.Contains(log(), told) ||
			!strings.Contains(log(), "Status: successful") {
			t.Errorf("%s\n%s", o, log())
		}
	})
	t.Run("on disk at once", func(t *testing.T) {
		o := w.must(t, "build", "-d", "bookworm", "--scratch-size=300M", larger)
		if strings.Contains(o.stderr, "is full") || !strings.Contains(log(), "\nScratch: disk\n") {
			t.Errorf("%s\n%s", o, log())
		}
	})
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{"": 0, "1": 1, "800M": 800 << 20, "4g": 4 << 30,
		"2T": 2 << 40, "3k": 3 << 10} {
		if got, err := parseSize("--size", text); got != want || err != nil {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	for _, bad := range []string{"0", "-1G", "G", "1.5G", "1P", "99999999999T", "M1"} {
		if got, err := parseSize("--size", bad); err == nil {
			t.Errorf("%q is %d", bad, got)
		}
	}
}
