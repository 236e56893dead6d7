package dsc

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"nsbuild/internal/fault"
)

func sums(content string) (md, sha, sha2 string) {
	return fmt.Sprintf("%x", md5.Sum([]byte(content))),
		fmt.Sprintf("%x", sha1.Sum([]byte(content))),
		fmt.Sprintf("%x", sha256.Sum256([]byte(content)))
}

// changesText is a small .changes that lists one package with the content "deb".
func changesText(replace ...string) string {
	md, sha, sha2 := sums("deb")
	text := "Format: 1.8\nDate: Wed, 05 Apr 2023 06:07:08 +0000\nSource: hello " +
		"(1:1.0-1)\nBinary: hello\nArchitecture: amd64\nVersion: 1:1.0-1+b1\nDistribution: " +
		"unstable\n" +
		"Urgency: low\nMaintainer: A B <a@example.org>\nDescription:\n hello      - says " +
		"it\nChanges:\n hello (1:1.0-1+b1) sid; urgency=low, binary-only=yes\n .\n   * Rebuild.\n" +
		"Checksums-Sha1:\n " + sha + " 3 hello_1.0-1+b1_amd64.deb\nChecksums-Sha256:\n " + sha2 +
		" 3 hello_1.0-1+b1_amd64.deb\n" +
		"Files:\n " + md + " 3 devel optional hello_1.0-1+b1_amd64.deb\n"
	return strings.NewReplacer(replace...).Replace(text)
}

func TestParseChanges(t *testing.T) {
	c, err := ParseChanges("hello.changes", strings.NewReader(changesText()), nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Source != "hello" || c.SourceVersion.String() != "1:1.0-1" ||
		c.Version.String() != "1:1.0-1+b1" || c.Distribution != "unstable" ||
		strings.Join(c.Architecture, " ") != "amd64" {
		t.Errorf("%+v", c)
	}
	f, ok := c.Listed("hello_1.0-1+b1_amd64.deb")
	if !ok || f.Size != 3 || f.Section != "devel" || f.Priority != "optional" || f.SHA256 == "" {
		t.Errorf("%+v", f)
	}
	if _, ok := c.Listed("other"); ok {
		t.Error("other is listed")
	}
	if err := c.Verify(opener(map[string]string{f.Name: "deb"})); err != nil {
		t.Error(err)
	}
	err = c.Verify(opener(map[string]string{f.Name: "bed"}))
	if err == nil ||
		!strings.Contains(err.Error(),
			"hello.changes:21: field Files: hello_1.0-1+b1_amd64.deb: expected MD5") ||
		fault.KindOf(err) != fault.Attempted {
		t.Error(err)
	}
}

func TestParseChangesErrors(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"no Distribution", changesText("Distribution: unstable\n", ""),
			"field Distribution: is missing, but mandatory"},
		{"slash", changesText("hello_1.0-1+b1_amd64.deb", "../../etc/x.deb"), "has a slash"},
		{"control character", changesText("hello_1.0-1+b1_amd64.deb", "x\x1b[2J.deb"),
			`has the character '\x1b'`},
		{"newline by CR", changesText("hello_1.0-1+b1_amd64.deb", "x\ry.deb"),
			"a line must have 5 columns, this has 6"},
		{"lists a .changes",
			changesText("hello_1.0-1+b1_amd64.deb", "hello_1.0-1+b1_amd64.changes"),
			"a .changes lists none"},
		{"no section", changesText("devel optional ", ""),
			"a line must have 5 columns, this has 3"},
		{"bad source version", changesText("(1:1.0-1)", "(x)"), `field Source: version "x"`},
		{"bad source", changesText("Source: hello", "Source: he/llo"),
			`field Source: "he/llo" is not the name of a package`},
	} {
		_, err := ParseChanges("x.changes", strings.NewReader(tt.text), nil)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v\nwant …%s", tt.name, err, tt.want)
		}
		if fault.KindOf(err) != fault.Attempted {
			t.Errorf("%s: kind %v", tt.name, fault.KindOf(err))
		}
	}
}

func buildinfoText(replace ...string) string {
	md, sha, sha2 := sums("deb")
	text := "Format: 1.0\nSource: hello\nBinary: hello\nArchitecture: amd64\nVersion: " +
		"1.0-1\nChecksums-Md5:\n " + md + " 3 hello_1.0-1_amd64.deb\nChecksums-Sha1:\n " + sha +
		" 3 hello_1.0-1_amd64.deb\nChecksums-Sha256:\n " + sha2 +
		" 3 hello_1.0-1_amd64.deb\nBuild-Origin: Debian\nBuild-Architecture: amd64\nBuild-Date: " +
		"Wed, 05 Apr 2023 06:07:08 +0000\n" +
		"Build-Path: /build/reproducible-path/hello-1.0\nBuild-Tainted-By:\n " +
		"merged-usr-via-aliased-dirs\nInstalled-Build-Depends:\n autoconf (= 2.71-3),\n gcc-12 " +
		"(= 12.2.0-14),\n libc6:i386 (= 2.36-9)\n" +
		"Environment:\n DEB_BUILD_OPTIONS=\"parallel=2\"\n LC_ALL=\"C.UTF-8\"\n"
	return strings.NewReplacer(replace...).Replace(text)
}

func TestParseBuildinfo(t *testing.T) {
	b, err := ParseBuildinfo("hello.buildinfo", strings.NewReader(buildinfoText()), nil)
	if err != nil {
		t.Fatal(err)
	}
	if b.Source != "hello" || b.BuildArch != "amd64" ||
		b.BuildPath != "/build/reproducible-path/hello-1.0" ||
		strings.Join(b.BuildTainted, " ") != "merged-usr-via-aliased-dirs" {
		t.Errorf("%+v", b)
	}
	if got := b.Installed.String(); got != "autoconf (= 2.71-3), gcc-12 (= 12.2.0-14), libc6:i386 (= 2.36-9)" {
		t.Errorf("Installed-Build-Depends: %s", got)
	}
	if len(b.Environment) != 2 || b.Environment[0] != `DEB_BUILD_OPTIONS=parallel=2` ||
		b.Environment[1] != "LC_ALL=C.UTF-8" {
		t.Errorf("Environment: %q", b.Environment)
	}
	if err := b.Verify(opener(map[string]string{"hello_1.0-1_amd64.deb": "deb"})); err != nil {
		t.Error(err)
	}
	if err := b.Verify(opener(nil)); err == nil ||
		!strings.Contains(err.Error(), "hello_1.0-1_amd64.deb is listed, but not there") {
		t.Error(err)
	}
	for _, tt := range []struct{ text, want string }{
		{buildinfoText("Build-Architecture: amd64\n", ""), "field Build-Architecture: is missing"},
		{buildinfoText("(= 2.71-3)", "(2.71-3)"), "x.buildinfo:19: field Installed-Build-Depends"},
		{buildinfoText("hello_1.0-1_amd64.deb", "hello.buildinfo"), "a .buildinfo lists none"},
		{buildinfoText(`"C.UTF-8"`, `C.UTF-8`),
			`x.buildinfo:24: field Environment: expected NAME="value", found "LC_ALL=C.UTF-8"`},
	} {
		_, err := ParseBuildinfo("x.buildinfo", strings.NewReader(tt.text), nil)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v\nwant …%s", err, tt.want)
		}
	}
}

func FuzzParseChanges(f *testing.F) {
	f.Add([]byte(changesText()))
	f.Fuzz(func(t *testing.T, doc []byte) {
		c, err := ParseChanges("x", bytes.NewReader(doc), nil)
		if err != nil {
			return
		}
		for _, file := range c.Files {
			if checkFileName(file.Name) != nil {
				t.Fatalf("file %q", file.Name)
			}
		}
	})
}

func FuzzParseBuildinfo(f *testing.F) {
	f.Add([]byte(buildinfoText()))
	f.Fuzz(func(t *testing.T, doc []byte) {
		b, err := ParseBuildinfo("x", bytes.NewReader(doc), nil)
		if err != nil {
			return
		}
		for _, file := range b.Files {
			if checkFileName(file.Name) != nil {
				t.Fatalf("file %q", file.Name)
			}
		}
	})
}

func FuzzScanKeyring(f *testing.F) {
	f.Add([]byte{0x98, 1, 4, 0xc6, 1, 4, 0xce, 0xc0, 0, 4})
	f.Add([]byte("\x00\x00\x00\x10\x01\x01\x00\x00KBXf\x00\x00\x00\x00"))
	f.Add([]byte(
		"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmAE=\n-----END PGP PUBLIC KEY BLOCK-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		id, ok := keyID(data)
		ids := map[uint64]bool{0: true, id: ok}
		_ = scanKeyring(bytes.NewReader(data), ids, func(cert []byte) error {
			if len(cert) == 0 || len(cert) > len(data) {
				t.Fatalf("a certificate of %d bytes in %d", len(cert), len(data))
			}
			return nil
		})
	})
}
