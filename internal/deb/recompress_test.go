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
				if err := errors.Join(Recompress(out, original, form, Limits{}),
					out.Close()); err != nil {
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
					t.Errorf("got\n%s\n(%v), want\n%s", strings.Join(got, "\n"), err,
						strings.Join(want, "\n"))
				}
				if dpkg, err := exec.LookPath("dpkg-deb"); err == nil {
					if out, err := exec.Command(dpkg, "--info", name).CombinedOutput(); err != nil {
						t.Errorf("dpkg-deb: %v\n%s", err, out)
					}
				}
			})
		}
	}
}

func TestQuick(t *testing.T) {
	for name, want := range map[string]bool{"zstd": true, "none": true, "xz": false,
		"gzip": false} {
		if got, err := Quick(openFixture(t, name)); err != nil || got != want {
			t.Errorf("%s: %t, %v", name, got, err)
		}
	}
	if _, err := Quick(strings.NewReader("!<arch>\n")); err == nil {
		t.Error("an archive without members is a package")
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
