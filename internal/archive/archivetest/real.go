package archivetest

import (
	"regexp"
	"testing"

	"nsbuild/internal/archive"
	"nsbuild/internal/archive/index"
	"nsbuild/internal/archive/release"
)

// WithDependencies chooses from the main component of a real suite, for amd64, those packages that
// belong to a base, and some that are named, with all that these depend on: the first of
// alternatives.
func WithDependencies(t testing.TB, client *archive.Client, suite *release.File,
	base func(*index.Package) bool, names ...string) []*index.Package {
	t.Helper()
	all := map[string]*index.Package{}
	todo := names
	err := client.Packages(t.Context(), suite, "main", "amd64", func(p *index.Package) error {
		all[p.Package] = p
		if base(p) {
			todo = append(todo, p.Package)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	var chosen []*index.Package
	first := regexp.MustCompile(`(?:^|,)\s*([^\s,|(:]+)`)
	for len(todo) > 0 {
		p := all[todo[0]]
		if todo = todo[1:]; p == nil || seen[p.Package] {
			continue
		}
		seen[p.Package] = true
		chosen = append(chosen, p)
		for _, m := range first.FindAllStringSubmatch(p.PreDepends+","+p.Depends, -1) {
			todo = append(todo, m[1])
		}
	}
	return chosen
}
