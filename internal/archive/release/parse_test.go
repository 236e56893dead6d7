package release

import (
	"errors"
	"strings"
	"testing"
	"time"

	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/hashes"
)

const sum64 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestParseRelease(t *testing.T) {
	const good = "Suite: stable\nCodename: trixie\nDate: Sat, 21 Nov 2026 09:15:44 " +
		"UTC\nMD5Sum:\n 0123456789abcdef0123456789abcdef 3 main/x\nSHA256:\n " + sum64 +
		"   3 main/x\n"
	st, err := Parse([]byte(good), false)
	if err != nil || st.files["main/x"].Size != 3 ||
		st.files["main/x"].Hashes != (hashes.Set{SHA256: sum64}) {
		t.Fatalf("%+v %v", st, err)
	}
	if st, err = Parse([]byte(good), true); err != nil ||
		st.files["main/x"].Hashes.MD5 == "" {
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
		if st, err := Parse([]byte(strings.Replace(good, bad[0], bad[1], 1)),
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
		st := &State{
			fields: map[string]string{"suite": test.suite, "codename": test.codename}}
		if err := st.checkName(aptconf.Repo{Suite: test.repo}); (err == nil) != test.ok {
			t.Errorf("%+v: %v", test, err)
		}
	}
}

func FuzzRelease(f *testing.F) {
	f.Add([]byte("Suite: stable\nDate: Sat, 21 Nov 2026 09:15:44 UTC\nSHA256:\n " + sum64 +
		" 3 main/x\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		st, err := Parse(data, true)
		if err != nil {
			return
		}
		for name, file := range st.files {
			if !LocalName(name) || file.Size < 0 || !file.Hashes.WellFormed() {
				t.Errorf("%q %+v", name, file)
			}
		}
	})
}
