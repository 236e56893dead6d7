package dsc

import (
	_ "embed"
	"strings"
	"sync"
)

// tupleTable maps Debian architecture names to their tuples and back; the CPU column of cpuTable
// fills its <cpu>. They hold the facts of deb-tupletable and dpkg-architecture(1).
//
//go:embed tables/tuples
var tupleTable string

//go:embed tables/cpus
var cpuTable string

// tuple is ABI, libc, kernel, CPU: what an architecture's name stands for. "any" is a wildcard.
type tuple [4]string

// architectures is the table of every architecture that dpkg knows, by its Debian name.
var architectures = sync.OnceValue(func() map[string]tuple {
	out := map[string]tuple{}
	cpus := strings.Fields(cpuTable)
	add := func(name, long string) {
		var t tuple
		copy(t[:], strings.SplitN(long, "-", 4))
		if _, known := out[name]; !known { // the first line that fits is the right one
			out[name] = t
		}
	}
	for line := range strings.Lines(tupleTable) {
		cols := strings.Fields(line)
		if len(cols) != 2 || strings.HasPrefix(line, "#") {
			continue
		}
		if !strings.Contains(line, "<cpu>") {
			add(cols[1], cols[0])
			continue
		}
		for _, cpu := range cpus {
			add(strings.ReplaceAll(cols[1], "<cpu>", cpu),
				strings.ReplaceAll(cols[0], "<cpu>", cpu))
		}
	}
	return out
})

// KnownArch tells whether name is an architecture that dpkg knows ("amd64", "hurd-i386"); wildcards
// and "all" are none.
func KnownArch(name string) bool {
	_, ok := architectures()[name]
	return ok
}

// wildcardTuple is the tuple of an architecture or of a wildcard: "any-amd64", "linux-any",
// "gnu-any-any".
func wildcardTuple(name string) (tuple, bool) {
	parts := strings.SplitN(name, "-", 4)
	wild := false
	for _, p := range parts {
		wild = wild || p == "any"
	}
	if !wild {
		// dpkg still reads "linux-amd64" as "amd64"; mesa and fio write it so.
		if len(parts) == 2 && parts[0] == "linux" {
			name = parts[1]
		}
		t, ok := architectures()[name]
		return t, ok
	}
	t := tuple{"any", "any", "any", "any"}
	copy(t[4-len(parts):], parts)
	return t, true
}

// MatchArch tells whether an architecture is, or is covered by, pattern: an architecture, a
// wildcard (Policy 11.1.1) or "any". "all" is matched by "all" and by "any" only.
func MatchArch(arch, pattern string) bool {
	if arch == pattern || pattern == "any" {
		return true
	}
	a, ok := architectures()[arch]
	if !ok {
		return false
	}
	w, ok := wildcardTuple(pattern)
	if !ok {
		return false
	}
	for i := range a {
		if w[i] != "any" && w[i] != a[i] {
			return false
		}
	}
	return true
}
