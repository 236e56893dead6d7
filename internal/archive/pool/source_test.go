package pool_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nsbuild/internal/archive/archivetest"
	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/release"
	"nsbuild/internal/fault"
)

func TestSource(t *testing.T) {
	m := archivetest.New(t, nil)
	c := m.Client()
	r, err := c.Release(t.Context(), m.Repo)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		spec, version string
		err           error
		hint          string
	}{
		{"alpha", "1.0-2~rc1", nil, ""},
		{"alpha=1.0-1", "1.0-1", nil, ""},
		{"alpha=2", "", failure.ErrNoVersion, "1.0-1, 1.0-2~rc1"},
		{"alpa", "", failure.ErrNoPackage, "alpha"},
		{"zzz", "", failure.ErrNoPackage, "binary"},
		{"../x", "", failure.ErrNoPackage, "NAME"},
	} {
		src, err := c.FindSource(t.Context(), []*release.File{r}, test.spec)
		if !errors.Is(err, test.err) || !strings.Contains(fault.HintOf(err), test.hint) {
			t.Errorf("%s: %v, hint %q", test.spec, err, fault.HintOf(err))
		}
		if err != nil {
			continue
		}
		if src.Version != test.version {
			t.Errorf("%s: version %s", test.spec, src.Version)
		}
		dsc, err := c.FetchSource(t.Context(), src, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(dsc)
		if err != nil || !bytes.Contains(text, []byte("Version: "+test.version)) {
			t.Errorf("%s: %v %s", test.spec, err, text)
		}
		again, err := c.Get(t.Context(), src.URL(filepath.Base(dsc)), 1<<20)
		if err != nil || !bytes.Equal(again, text) {
			t.Errorf("Get: %v", err)
		}
		if _, err := c.Get(t.Context(), src.URL(filepath.Base(dsc)), 10); !errors.Is(err,
			failure.ErrSize) {
			t.Errorf("Get of too much: %v", err)
		}
	}
}
