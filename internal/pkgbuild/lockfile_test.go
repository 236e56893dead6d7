package pkgbuild

import (
	"path/filepath"
	"slices"
	"testing"

	"nsbuild/internal/fault"
	"nsbuild/internal/plan"
)

// A lock has every package of the root with its hash, be the dependencies installed now or found in
// a layer.
func TestLock(t *testing.T) {
	w := newWorld(t)
	source := w.source(crane())
	for _, layer := range []string{"made", "found"} {
		file := filepath.Join(w.dir, layer+plan.Suffix)
		w.must(source, func(r *Request) { r.LockTo = file })
		p, err := plan.Read(file)
		w.check(err)
		var names []string
		for _, one := range slices.Concat(p.Base.Packages, p.Dependencies.Packages) {
			if len(one.SHA256) != 64 || one.Size == 0 || one.URI == "" {
				t.Errorf("%s: %+v", layer, one)
			}
			names = append(names, one.Name)
		}
		for _, want := range []string{"dpkg", "base-files", "libcrane-dev", "libcrane1", "gcc-12"} {
			if !slices.Contains(names, want) {
				t.Errorf("%s: %s is not in the lock: %q", layer, want, names)
			}
		}
		if len(p.Base.Packages) != len(w.basePackages()) || p.Repositories[0].SHA256 == "" {
			t.Errorf("%s: %+v, %+v", layer, p.Base.Packages, p.Repositories)
		}
	}
	b := w.must(source, func(r *Request) { r.KeepLock = true })
	p, err := plan.Read(filepath.Join(b.dir, "hello_2.10-3_"+w.arch+plan.Suffix))
	w.check(err)
	if len(p.Base.Packages) == 0 || p.Dependencies.Packages[0].Release == "" {
		t.Errorf("beside the results is %+v", p)
	}
	s := Several{Sources: []string{"a", "b"}}
	s.LockTo = "x" + plan.Suffix
	if err := s.Validate(); fault.KindOf(err) != fault.Usage {
		t.Errorf("of two sources: %v", err)
	}
	s = Several{Sources: []string{"a"}}
	if s.LockTo = "x.json"; fault.KindOf(s.Validate()) != fault.Usage {
		t.Error("a name that no plan has is taken")
	}
}
