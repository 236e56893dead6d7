package gitsrc

import (
	"path/filepath"

	"nsbuild/internal/fault"
)

// submodule opens the repository of a submodule, which has to be checked out: nothing is fetched.
func (r *Repository) submodule(e entry) (*Repository, error) {
	dir := filepath.Join(r.Dir, filepath.FromSlash(e.path))
	l, err := Locate(dir)
	if err != nil || l == nil || l.Top != dir {
		return nil, fault.New(fault.GivenBack, "git submodule update --init --recursive",
			"the commit has the submodule %s, whose files are not here", e.path)
	}
	return open(l, r.outer, r.jail)
}
