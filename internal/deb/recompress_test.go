package deb

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What a copy holds is what its original holds.
func TestRecompress(t *testing.T) {
	for _, fixture := range []string{"xz", "gzip", "bzip2", "lzma"} {
		for _, form := range []Form{{"", ".zst"}, {"", ""}, {".gz", ""}} {
			t.Run(fixture+" to "+form.Data, func(t *testing.T) {
				original := openFixture(t, fixture)
				name := filepath.Join(t.TempDir(), "copy.deb")
				out, err := os.Create(name)
				if err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(Recompress(out, original, form, Limits{}), out.Close()); err != nil {
					t.Fatal(err)
				}
				_, want, err := list(openFixture(t, fixture), Limits{})
				if err != nil {
					t.Fatal(err)
				}
				copied, err := os.Open(name)
				if err != nil {
					t.Fatal(err)
				}
				defer copied.Close()
				_, got, err := list(copied, Limits{})
				if err != nil || strings.Join(got, "\n") != strings.Join(want, "\n") {
					t.Errorf("got\n%s\n(%v), want\n%s", strings.Join(got, "\n"), err, strings.Join(want, "\n"))
				}
				if dpkg, err := exec.LookPath("dpkg-deb"); err == nil {
					if out, err := exec.Command(dpkg, "--info", name).CombinedOutput(); err != nil {
						t.Errorf("dpkg-deb: %v\n%s", err, out)
					}
				}
			})
		}
	}
	out, err := os.Create(filepath.Join(t.TempDir(), "none.deb"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := Recompress(out, openFixture(t, "zstd"), Form{"", ".zst"}, Limits{}); !errors.Is(err, ErrNothingToGain) {
		t.Errorf("zstd: %v", err)
	}
}

func openFixture(t *testing.T, name string) *os.File {
	t.Helper()
	f, err := os.Open("testdata/fixture-" + name + ".deb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}
