package pool_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nsbuild/internal/archive/archivetest"
	"nsbuild/internal/archive/index"
	"nsbuild/internal/archive/pool"
	"nsbuild/internal/deb"
	"nsbuild/internal/fakedebian"
)

func TestCopyFormFor(t *testing.T) {
	for dpkg, want := range map[string]pool.CopyForm{
		"1.21.22": pool.CopyZstd, "1.21.18": pool.CopyZstd, "1.20.13": pool.CopyPlain,
		"1.21.18~x": pool.CopyPlain, "1.17.5": pool.CopyOld, "1.15.11": pool.CopyOld} {
		if got, err := pool.CopyFormFor(dpkg); got != want || err != nil {
			t.Errorf("%s: %q, %v", dpkg, got, err)
		}
	}
	if _, err := pool.CopyFormFor("one"); err == nil {
		t.Error("a version that is none was accepted")
	}
}

// TestCopies: a copy is handed out while it is what it was made as, also without its original; a
// damaged one is made again from the original, a damaged original fetched again.
func TestCopies(t *testing.T) {
	m := archivetest.New(t, func(s *fakedebian.Suite) {
		s.Add(fakedebian.Package{Name: "quick", DataCompression: fakedebian.Zstd})
	})
	c := m.Client()
	_, debs, err := m.All(c)
	if err != nil {
		t.Fatal(err)
	}
	var packages []*index.Package
	for p := range debs {
		packages = append(packages, p)
	}
	original := map[string]string{}
	for p, path := range debs {
		original[p.Package] = contentOf(t, path)
	}
	missing := c.Copies.Missing(packages, pool.CopyZstd)
	all, err := c.Copies.AllMissing(pool.CopyZstd)
	// nothing is gained by one of "quick"
	if err != nil || len(missing) != len(packages)-1 || len(all) != len(missing) {
		t.Fatalf("%q %q %v", missing, all, err)
	}
	for _, digest := range missing {
		if err := c.Copies.Make(t.Context(), digest, pool.CopyZstd); err != nil {
			t.Errorf("%s: %v", digest, err)
		}
	}
	// used are the files that a client which knows nothing yet hands out.
	used := func() map[string]string {
		t.Helper()
		out := map[string]string{}
		err := m.Client().EachCopy(t.Context(), packages, pool.CopyZstd,
			func(p *index.Package, path string) error {
				out[p.Package] = path
				return nil
			})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	first := used()
	for name, path := range first {
		if strings.Contains(path, "/"+"copies"+"/") == (name == "quick") {
			t.Errorf("%s: %s", name, path)
		}
		if got := contentOf(t, path); got != original[name] {
			t.Errorf("%s: its copy holds\n%s\ninstead of\n%s", name, got, original[name])
		}
	}

	// A flipped bit in a copy: the original is used, and the copy can be made again.
	archivetest.Flip(t, first["alpha"])
	if path := used()["alpha"]; !strings.Contains(path, "/"+"debs"+"/") {
		t.Errorf("a damaged copy was used, or something else: %s", path)
	}
	if _, err := os.Stat(first["alpha"]); err == nil {
		t.Error("the damaged copy is still there")
	}
	var alpha, beta *index.Package
	for _, p := range packages {
		switch p.Package {
		case "alpha":
			alpha = p
		case "beta":
			beta = p
		}
	}
	if err := c.Copies.Make(t.Context(), alpha.Hashes.SHA256, pool.CopyZstd); err != nil ||
		used()["alpha"] != first["alpha"] {
		t.Errorf("%v", err)
	}

	// A flipped bit in an original makes no copy, and has it fetched again.
	if err := os.Remove(first["beta"]); err != nil {
		t.Fatal(err)
	}
	archivetest.Flip(t, debs[beta])
	if err := c.Copies.Make(t.Context(), beta.Hashes.SHA256, pool.CopyZstd); err == nil {
		t.Error("a copy of a damaged package was made")
	}
	if c.Copies.Has(beta.Hashes.SHA256, pool.CopyZstd) {
		t.Error("there is a copy of a damaged package")
	}
	if path := used()["beta"]; contentOf(t, path) != original["beta"] {
		t.Error("the damaged original was not fetched again")
	}

	// An original that was evicted is not fetched while there is its copy.
	if err := os.Remove(debs[alpha]); err != nil {
		t.Fatal(err)
	}
	m.Server.Fault(`\.deb$`, fakedebian.Fault{Status: 500})
	if path := used()["alpha"]; path != first["alpha"] {
		t.Error(path)
	}

	// No half copies.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Copies.Make(ctx, beta.Hashes.SHA256,
		pool.CopyZstd); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	left, err := filepath.Glob(filepath.Join(m.Options.CacheDir, "partial", "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("%q %v", left, err)
	}
	if err := c.Copies.Make(t.Context(), "../x", pool.CopyZstd); err == nil {
		t.Error("a path was accepted as a digest")
	}
}

// content lists what a package's data hold.
func contentOf(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := deb.NewReader(f, deb.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	tr, err := r.Data()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for {
		h, err := tr.Next()
		if err != nil {
			break
		}
		out = append(out, h.Name+" "+h.ModTime.String())
	}
	for _, c := range r.Control() {
		out = append(out, string(c.Body))
	}
	return strings.Join(out, "\n")
}
