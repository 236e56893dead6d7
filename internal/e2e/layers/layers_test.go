package layers

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nsbuild/internal/e2e"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/testenv"
)

// inventory is a build that lists its root: every file with its type, mode, owner, link and
// content. dpkg's and apt's lists of packages are compared with their entries sorted: their order
// is that of installing. Left out is what tells of the installing itself, or is a cache in an order
// of its own: logs, the copies that dpkg and debconf keep of what was before, debconf's databases,
// ldconfig's note of what it has seen, man-db's index.
const inventory = `#!/usr/bin/make -f
build build-arch build-indep:
	echo BEGIN INVENTORY
	find / -xdev \( -path /build -o -path /tmp -o -path /var/log -o -path /var/lib/dpkg/status -o -path /var/lib/apt/extended_states -o -path /var/cache/debconf -o -path /var/cache/man -o -path /var/cache/ldconfig/aux-cache -o -path '/var/lib/dpkg/*-old' \) -prune -o -printf '%M %U:%G %p %l\n' | sort | sed 's/^/| /'
	find / -xdev \( -path /build -o -path /tmp -o -path /var/log -o -path /var/lib/dpkg/status -o -path /var/lib/apt/extended_states -o -path /var/cache/debconf -o -path /var/cache/man -o -path /var/cache/ldconfig/aux-cache -o -path '/var/lib/dpkg/*-old' \) -prune -o -type f -readable -print0 | sort -z | xargs -0 cksum | sed 's/^/| /'
	for f in /var/lib/dpkg/status /var/lib/apt/extended_states; do perl -00 -ne 's/\n*$$/\n\n/; push @a, $$_; END { print sort @a }' $$f | sed 's/^/| /'; done
	echo END INVENTORY
	touch $@
binary-arch:
binary binary-indep: build
	mkdir -p debian/inventory/DEBIAN
	dpkg-gencontrol -pinventory -Pdebian/inventory
	dpkg-deb --root-owner-group -b debian/inventory ..
clean:
	rm -rf build* debian/inventory debian/files
`

// listed are the inventory's lines: other commands may speak between them.
func listed(text string) []string {
	return slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool {
		return !strings.HasPrefix(line, "| ")
	})
}

// TestLayerUponLayer installs build dependencies over a smaller layer, and all at once: every file
// must be the same.
func TestLayerUponLayer(t *testing.T) {
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	source := func(name, depends string) string {
		return w.WriteSource(t, fakedebian.Source{Name: name, Version: "1.0", Architecture: "all",
			BuildDepends: depends, Rules: strings.ReplaceAll(inventory, "inventory", name)})
	}
	// the packages of each source must be the same, however its dependencies were installed
	built := map[string]string{}
	list := func(args ...string) (inventory, log string) {
		t.Helper()
		w.Must(t, append([]string{"build", "-q", "-d", "bookworm"}, args...)...)
		deb := e2e.Read(t,
			filepath.Join(w.Dir, strings.TrimSuffix(args[len(args)-1], ".dsc")+"_all.deb"))
		if before, ok := built[args[len(args)-1]]; ok && before != deb {
			t.Errorf("nsbuild build %s: the package is another", strings.Join(args, " "))
		}
		built[args[len(args)-1]] = deb
		log = e2e.Read(t,
			filepath.Join(w.Dir, strings.TrimSuffix(args[len(args)-1], ".dsc")+"_amd64.build"))
		_, rest, _ := strings.Cut(log, "\nBEGIN INVENTORY\n")
		inventory, _, ok := strings.Cut(rest, "\nEND INVENTORY\n")
		if !ok {
			t.Fatalf("no inventory in\n%s", log)
		}
		return inventory, log
	}
	list(source("below", "debhelper"))
	more := source("upon", "debhelper, libtext-unidecode-perl, rename, tree")
	upon, log := list(more)
	if !strings.Contains(log, "the others are installed over it.") {
		t.Errorf("no smaller layer was used:\n%s", log)
	}
	warm, log := list(more)
	if !strings.Contains(log, "has what is needed") {
		t.Errorf("the layer was not used again:\n%s", log)
	}
	once, log := list("--no-layers", more)
	if strings.Contains(log, "\nDependency layer") {
		t.Errorf("a layer was used:\n%s", log)
	}
	for name, got := range map[string]string{"over a smaller layer": upon, "from the layer": warm} {
		have, want := listed(got), listed(once)
		if len(want) < 1000 {
			t.Fatalf("only %d lines of inventory", len(want))
		}
		if slices.Equal(have, want) {
			continue
		}
		for _, line := range without(want, have) {
			t.Errorf("%s lacks: %s", name, line)
		}
		for _, line := range without(have, want) {
			t.Errorf("%s has: %s", name, line)
		}
	}
}

// without are the lines of one list that are not in another.
func without(all, some []string) []string {
	have := map[string]bool{}
	for _, line := range some {
		have[line] = true
	}
	return slices.DeleteFunc(slices.Clone(all), func(line string) bool { return have[line] })
}
