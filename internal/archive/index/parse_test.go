package index

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/release"
	"nsbuild/internal/deb822"
)

func TestParsePackage(t *testing.T) {
	const good = "Package: x\nVersion: 1:2~3-4+b1\nArchitecture: all\nFilename: " +
		"./pool/x/x.deb\nSize: 10\nSHA256: " + sum64 +
		"\nDepends: a (>= 1),\n b\nDescription: y\n z\nInstalled-Size: 7\nEssential: yes\n"
	parse := func(text string) (*Package, error) {
		s := Scan(strings.NewReader(text))
		if !s.Next() {
			return nil, failure.Malformed(s.Err())
		}
		return ParsePackage(s)
	}
	p, err := parse(good)
	if err != nil {
		t.Fatal(err)
	}
	if p.Filename != "pool/x/x.deb" || p.Size != 10 || p.InstalledSize != 7 || !p.Essential ||
		p.Depends != "a (>= 1), b" || p.Hashes.SHA256 != sum64 || p.String() != "x_1:2~3-4+b1_all" {
		t.Errorf("%+v", *p)
	}
	for _, bad := range [][2]string{
		{"Package: x", "Package: ../x"}, {"Package: x", "Package: x:y"}, {"Package: x", "Package:"},
		{"Package: x\n", ""}, {"Version: 1", "Version: 1/"}, {"Size: 10", "Size: -1"},
		{"Size: 10", "Size: 1\nSize: 2"}, {"Size: 10\n", ""},
		{"Size: 10", "Size: 99999999999999999999"}, {"pool/x", "../x"}, {"./pool", "/pool"},
		{"Filename: ./pool/x/x.deb\n", ""},
		{sum64, sum64[1:]}, {sum64, strings.Repeat("g", 64)}, {sum64, strings.ToUpper(sum64)},
		{"Installed-Size: 7", "Installed-Size: x"}, {"Depends: a", "Depends: z\nDepends: a"},
		{"x.deb", "x y.deb"}, {"x.deb", "x?y.deb"}, {"Architecture: all", "Architecture: a b"},
	} {
		if p, err := parse(strings.Replace(good, bad[0], bad[1], 1)); !errors.Is(err,
			failure.ErrSyntax) {
			t.Errorf("%q: %+v, %v", bad[1], p, err)
		}
	}
}

const sum64 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestParseSource(t *testing.T) {
	const good = "Package: x\nVersion: 1-2\nDirectory: pool/x\nFiles:\n " +
		"0123456789abcdef0123456789abcdef 5 x_1-2.dsc\nChecksums-Sha256:\n " + sum64 +
		" 5 x_1-2.dsc\n " + sum64 + " 6 x_1.orig.tar.gz\n"
	parse := func(text string) (*SourcePackage, error) {
		s := Scan(strings.NewReader(text))
		if !s.Next() {
			return nil, failure.Malformed(s.Err())
		}
		return parseSource(s)
	}
	src, err := parse(good)
	if err != nil || len(src.Files) != 2 || src.Files[0].Hashes.MD5 == "" ||
		src.Files[0].Hashes.SHA256 != sum64 {
		t.Fatalf("%+v %v", src, err)
	}
	src.Repo = &aptconf.Repo{URI: "http://mirror.example/debian"}
	if u := src.URL("x_1+2~3.dsc"); u != "http://mirror.example/debian/pool/x/x_1+2~3.dsc" {
		t.Error(u)
	}
	for _, bad := range [][2]string{
		{"5 x_1-2.dsc", "5 ../x_1-2.dsc"}, {"5 x_1-2.dsc", "5 a/x_1-2.dsc"},
		{"5 x_1-2.dsc", "-5 x_1-2.dsc"}, {"5 x_1-2.dsc", "7 x_1-2.dsc"},
		{"5 x_1-2.dsc", "x_1-2.dsc"},
		{"Directory: pool/x", "Directory: ../x"}, {"Package: x", "Package: x\nPackage: y"},
		{sum64 + " 5", "zz 5"}, {"Version: 1-2", "Version: 1 2"},
	} {
		if src, err := parse(strings.Replace(good, bad[0], bad[1], 1)); !errors.Is(err,
			failure.ErrSyntax) {
			t.Errorf("%q: %+v, %v", bad[1], src, err)
		}
	}
}

func FuzzIndices(f *testing.F) {
	f.Add([]byte(
		"Package: x\nVersion: 1\nArchitecture: all\nFilename: pool/x.deb\nSize: 1\nSHA256: " +
			sum64 + "\n"))
	f.Add([]byte("Package: x\nVersion: 1\nDirectory: pool/x\nChecksums-Sha256:\n " + sum64 +
		" 1 x.dsc\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := deb822.NewText(data, deb822.Syntax{Limit: 1 << 16})
		for s.Next() {
			if p, err := ParsePackage(s); err == nil {
				if !release.LocalName(p.Filename) || p.Size < 0 ||
					strings.ContainsAny(p.String(), "/ \n\x00") {
					t.Errorf("%+v", *p)
				}
			}
			if src, err := parseSource(s); err == nil {
				for _, file := range src.Files {
					if strings.ContainsAny(file.Name, "/\x00\n") || file.Size < 0 ||
						!file.Hashes.WellFormed() {
						t.Errorf("%+v", file)
					}
				}
			}
		}
	})
}

// BenchmarkPackages reads an index of about 10 MB. 50 MB, the size of bookworm's, are to take less
// than a second.
func BenchmarkPackages(b *testing.B) {
	var text bytes.Buffer
	for i := range 13000 {
		fmt.Fprintf(&text, "Package: lib%d\nVersion: 1.%d-1\nInstalled-Size: 100\nMaintainer: "+
			"Somebody <somebody@mirror.example>\nArchitecture: amd64\nDepends: libc6 (>= 2.34), "+
			"libgcc-s1 (>= 3.0), lib%d\n"+
			"Description: %s\nDescription-md5: 0123456789abcdef0123456789abcdef\nHomepage: "+
			"https://mirror.example/\nTag: %s\nSection: libs\nPriority: optional\n"+
			"Filename: pool/main/l/lib%d/lib%d_1.0-1_amd64.deb\nSize: 12345\nMD5sum: "+
			"0123456789abcdef0123456789abcdef\nSHA256: %s\n\n", i, i, i+1,
			strings.Repeat("word ", 10), strings.Repeat("a::b, ", 30), i, i, sum64)
	}
	b.SetBytes(int64(text.Len()))
	b.ReportAllocs()
	for b.Loop() {
		s := Scan(bytes.NewReader(text.Bytes()))
		for s.Next() {
			if _, err := ParsePackage(s); err != nil {
				b.Fatal(err)
			}
		}
		if s.Err() != nil {
			b.Fatal(s.Err())
		}
	}
}
