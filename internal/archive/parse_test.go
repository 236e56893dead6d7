package archive

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/hashes"
	"nsbuild/internal/deb822"
)

func TestParsePackage(t *testing.T) {
	const good = "Package: x\nVersion: 1:2~3-4+b1\nArchitecture: all\nFilename: " +
		"./pool/x/x.deb\nSize: 10\nSHA256: " + sum64 +
		"\nDepends: a (>= 1),\n b\nDescription: y\n z\nInstalled-Size: 7\nEssential: yes\n"
	parse := func(text string) (*Package, error) {
		s := scanIndex(strings.NewReader(text))
		if !s.Next() {
			return nil, failure.Malformed(s.Err())
		}
		return parsePackage(s)
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
		s := scanIndex(strings.NewReader(text))
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

func TestParseRelease(t *testing.T) {
	const good = "Suite: stable\nCodename: trixie\nDate: Sat, 21 Nov 2026 09:15:44 " +
		"UTC\nMD5Sum:\n 0123456789abcdef0123456789abcdef 3 main/x\nSHA256:\n " + sum64 +
		"   3 main/x\n"
	st, err := parseRelease([]byte(good), false)
	if err != nil || st.files["main/x"].size != 3 ||
		st.files["main/x"].hashes != (hashes.Set{SHA256: sum64}) {
		t.Fatalf("%+v %v", st, err)
	}
	if st, err = parseRelease([]byte(good), true); err != nil ||
		st.files["main/x"].hashes.MD5 == "" {
		t.Errorf("%+v %v", st, err)
	}
	other := strings.Repeat("f", 64)
	for _, bad := range [][2]string{
		{"   3 main/x\n", " 3 main/../x\n"}, {"   3 main/x", " 3 main/x 4"},
		{"   3 main/x\n", " -3 main/x\n"},
		{"   3 main/x\n", " 3 main/x\n " + sum64 + " 4 main/x\n"},
		{"   3 main/x\n", " 3 main/x\n " + other + " 3 main/x\n"},
		{"Suite: stable", "Suite: a\nSuite: b"}, {"09:15:44 UTC", "09:15:44 CET"},
		{"Date: Sat, 21 Nov", "Date: yesterday"},
		{"Codename: trixie", "Codename: trixie\n\nSuite: x"}, {sum64, "00"},
		{"Date: Sat, 21 Nov 2026 09:15:44 UTC\n", ""}, {good, ""},
		{"Codename: trixie", "Valid-Until: x"},
	} {
		if st, err := parseRelease([]byte(strings.Replace(good, bad[0], bad[1], 1)),
			false); !errors.Is(err, failure.ErrSyntax) {
			t.Errorf("%q: %+v, %v", bad[1], st, err)
		}
	}
}

func TestParseDate(t *testing.T) {
	want := time.Date(2025, 10, 9, 9, 25, 38, 0, time.UTC)
	for _, s := range []string{"Thu, 09 Oct 2025  9:25:38 UTC", "Thu, 09 Oct 2025 09:25:38 UTC",
		"Thu, 9 Oct 2025 09:25:38 +0000", "Thu, 09 Oct 2025 09:25:38 GMT",
		"Thu, 09 Oct 2025 11:25:38 +0200"} {
		if got, err := parseDate(s); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v %v", s, got, err)
		}
	}
}

func TestCheckName(t *testing.T) {
	for _, test := range []struct {
		repo, suite, codename string
		ok                    bool
	}{
		{"bookworm", "oldstable", "bookworm", true}, {"stable", "stable", "trixie", true},
		{"trixie", "oldstable", "bookworm", false},
		{"bookworm-security", "oldstable-security", "bookworm-security", true},
		{"bookworm", "oldstable-security", "bookworm-security", false},
		{"buster/updates", "oldoldstable", "buster", true}, {"noble", "noble", "noble", true},
		{"noble", "noble-updates", "noble", false},
		{"noble-updates", "noble-updates", "noble", true},
		{"experimental", "experimental", "rc-buggy", true}, {"x", "", "", true},
		{"./", "any", "thing", true},
	} {
		st := &releaseState{
			fields: map[string]string{"suite": test.suite, "codename": test.codename}}
		if err := st.checkName(aptconf.Repo{Suite: test.repo}); (err == nil) != test.ok {
			t.Errorf("%+v: %v", test, err)
		}
	}
}

// TestListName: as apt 2.6 prints them (apt-get --print-uris update).
func TestListName(t *testing.T) {
	for _, test := range []struct{ uri, suite, want string }{
		{"https://mirror.example/debian", "sid", "mirror.example_debian_dists_sid_InRelease"},
		{"http://[::1]:99/debian", "sid", "::1:99_debian_dists_sid_InRelease"},
		{"copy:/srv/q", "sub/dir/", "_srv_q_sub_dir_InRelease"},
		{"file:/srv/m%20x/y", "bookworm/updates", "_srv_m%20x_y_dists_bookworm_updates_InRelease"},
		{"file:///srv/q", "./", "_srv_q_._InRelease"},
		{"http://joe:pw@mirror.example:8080/deb~ian+x_y=z/%7Ea/b@c", "bookworm",
			"mirror.example:8080_deb%7eian+x%5fy%3dz_%7ea_b%40c_dists_bookworm_InRelease"},
	} {
		if got := listName(aptconf.Repo{URI: test.uri, Suite: test.suite}.AptDist() +
			"InRelease"); got != test.want {
			t.Errorf("%s %s: %s, want %s", test.uri, test.suite, got, test.want)
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
			if p, err := parsePackage(s); err == nil {
				if !localName(p.Filename) || p.Size < 0 ||
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

func FuzzRelease(f *testing.F) {
	f.Add([]byte("Suite: stable\nDate: Sat, 21 Nov 2026 09:15:44 UTC\nSHA256:\n " + sum64 +
		" 3 main/x\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		st, err := parseRelease(data, true)
		if err != nil {
			return
		}
		for name, file := range st.files {
			if !localName(name) || file.size < 0 || !file.hashes.WellFormed() {
				t.Errorf("%q %+v", name, file)
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
		s := scanIndex(bytes.NewReader(text.Bytes()))
		for s.Next() {
			if _, err := parsePackage(s); err != nil {
				b.Fatal(err)
			}
		}
		if s.Err() != nil {
			b.Fatal(s.Err())
		}
	}
}
