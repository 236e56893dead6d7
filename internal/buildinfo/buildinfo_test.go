package buildinfo

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nsbuild/internal/fault"
)

// plain is what dpkg of bookworm writes.
const plain = `Format: 1.0
Source: crane
Binary: crane
Architecture: amd64
Version: 1.0-1
Checksums-Md5:
 d41d8cd98f00b204e9800998ecf8427e 0 crane_1.0-1_amd64.deb
Checksums-Sha256:
 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 0 crane_1.0-1_amd64.deb
Build-Origin: Debian
Build-Architecture: amd64
Build-Date: Tue, 01 Sep 2026 10:00:00 +0000
Build-Kernel-Version: #1 SMP
Build-Path: /build/crane-1.0
Build-Tainted-By:
 merged-usr-via-aliased-dirs
 usr-local-has-programs
Installed-Build-Depends:
 gcc-12 (= 12.2.0-14),
 base-files (= 12.4),
 libc6:amd64 (= 2.36-9)
Environment:
 DEB_BUILD_OPTIONS="parallel=4"
 LC_ALL="C.UTF-8"
 HOME="/root"
 SOURCE_DATE_EPOCH="1"
`

// binNMU changes it into what sid's dpkg writes of a binary-only upload.
func binNMU() string {
	text := strings.NewReplacer("Source: crane\n", "Source: crane (1.0-1)\n",
		"Version: 1.0-1\n", "Version: 1.0-1+b2\n", "1.0-1_", "1.0-1+b2_").Replace(plain)
	return strings.Replace(text, "Build-Origin", "Binary-Only-Changes:\n"+
		" crane (1.0-1+b2) sid; urgency=low, binary-only=yes\n .\n   * Rebuild.\n .\n"+
		"  -- A B <a@example.org>  Tue, 01 Sep 2026 10:00:00 +0000\nBuild-Origin", 1)
}

func TestParse(t *testing.T) {
	b, err := Parse("x.buildinfo", []byte(plain), nil)
	if err != nil {
		t.Fatal(err)
	}
	got := []any{b.HostArch, b.Any, b.All, b.WithSource, b.BuildPath, b.BuildTainted, b.Packages,
		b.Variables, b.Date.Unix(), b.Changelog}
	want := []any{"amd64", true, false, false, "/build/crane-1.0",
		[]string{"merged-usr-via-aliased-dirs", "usr-local-has-programs"},
		[]Package{{"base-files", "12.4", ""}, {"gcc-12", "12.2.0-14", ""}, {"libc6", "2.36-9", ""}},
		[]string{"DEB_BUILD_OPTIONS=parallel=4", "LC_ALL=C.UTF-8", "SOURCE_DATE_EPOCH=1"},
		int64(1788256800), ""}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	b, err = Parse("x.buildinfo", []byte(binNMU()), nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := "crane (1.0-1+b2) sid; urgency=low, binary-only=yes\n\n  * Rebuild.\n\n" +
		" -- A B <a@example.org>  Tue, 01 Sep 2026 10:00:00 +0000"; b.Changelog != want {
		t.Error(cmp.Diff(want, b.Changelog))
	}
	if b.SourceVersion.String() != "1.0-1" || b.Version.String() != "1.0-1+b2" {
		t.Errorf("%s, %s", b.SourceVersion, b.Version)
	}
}

// What nothing can be decided by is refused, and is no failure of the package.
func TestUndecidable(t *testing.T) {
	for name, change := range map[string][2]string{
		"two paragraphs":    {"Build-Origin", "\nBuild-Origin"},
		"source alone":      {"Architecture: amd64\nV", "Architecture: source\nV"},
		"two architectures": {"Architecture: amd64\nV", "Architecture: amd64 arm64\nV"},
		"no packages":       {"Installed-Build-Depends", "Former"},
		"no version":        {"base-files (= 12.4)", "base-files"},
		"two versions":      {"base-files (= 12.4)", "gcc-12 (= 1)"},
		"a choice":          {"base-files (= 12.4)", "a (= 1) | b (= 1)"},
		"path in /proc":     {"/build/crane-1.0", "/proc/1/x"},
		"path with dots":    {"/build/crane-1.0", "/build/../x"},
		"path at the top":   {"/build/crane-1.0", "/crane"},
		"no date":           {"Tue, 01 Sep 2026 10:00:00 +0000", "yesterday"},
		"unknown machine":   {"Build-Architecture: amd64", "Build-Architecture: pdp11"},
		"variable":          {"LC_ALL=", "LC-ALL="},
		"variable twice":    {"LC_ALL=", "SOURCE_DATE_EPOCH="},
		"no environment":    {`LC_ALL="C.UTF-8"`, `LC_ALL`},
		"signature cut":     {"Format", "-----BEGIN PGP SIGNED MESSAGE-----\n\nFormat"},
	} {
		text := strings.Replace(plain, change[0], change[1], 1)
		if text == plain {
			t.Fatal(name)
		}
		_, err := Parse("x.buildinfo", []byte(text), nil)
		if err == nil || fault.KindOf(err) != fault.GivenBack {
			t.Errorf("%s: %v (kind %v)", name, err, fault.KindOf(err))
		}
	}
}

func TestRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.buildinfo")
	if _, err := Read(file, nil); fault.KindOf(err) != fault.Usage {
		t.Error(err)
	}
	if err := os.WriteFile(file, []byte(plain), 0o644); err != nil {
		t.Fatal(err)
	}
	b, err := Read(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	if results, left := b.Results(); len(results) != 1 || len(left) != 0 {
		t.Error(results, left)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(plain))
	f.Add([]byte(binNMU()))
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := Parse("x.buildinfo", text, nil)
		if err != nil {
			return
		}
		if len(b.Packages) == 0 || !b.Any && !b.All {
			t.Errorf("%q: nothing to build, or with nothing", text)
		}
	})
}
