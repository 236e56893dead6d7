package unpack

import (
	"slices"
	"strings"
	"testing"

	"nsbuild/internal/deb"
)

const sample = `Package: sample
Version: 1:2.0-3
Architecture: amd64
Multi-Arch: same
Depends: libc6 (>= 2.36),
 other | third
Description: a sample
 of more than one line
`

func TestParseControl(t *testing.T) {
	p, err := parseControl(sample + "\n")
	if err != nil {
		t.Fatal(err)
	}
	for field, want := range map[string]string{"package": "sample", "VERSION": "1:2.0-3",
		"Depends": "libc6 (>= 2.36),\n other | third", "None": ""} {
		if got := p.get(field); got != want {
			t.Errorf("%s: %q, want %q", field, got, want)
		}
	}
	if got := p.infoName(); got != "sample:amd64" {
		t.Errorf("info name %q", got)
	}
	for name, text := range map[string]string{
		"empty":           "",
		"two paragraphs":  sample + "\n" + sample,
		"two fields":      "Package: aa\nPackage: bb\nVersion: 1\nArchitecture: all\n",
		"no field":        "Package: aa\nnonsense\nVersion: 1\nArchitecture: all\n",
		"continuation":    " Package: aa\n",
		"no version":      "Package: aa\nArchitecture: all\n",
		"no architecture": "Package: aa\nVersion: 1\n",
		"climbing name":   "Package: ../aa\nVersion: 1\nArchitecture: all\n",
		"climbing arch":   "Package: aa\nVersion: 1\nArchitecture: ../all\n",
		"long version":    "Package: aa\nVersion: 1 2\nArchitecture: all\n",
	} {
		if _, err := parseControl(text); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzParseControl(f *testing.F) {
	f.Add(sample)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parseControl(text)
		if err == nil && strings.ContainsAny(p.infoName(), "/\n") {
			t.Errorf("info name %q", p.infoName())
		}
	})
}

func body(text string) *deb.ControlFile { return &deb.ControlFile{Body: []byte(text)} }

func TestReadConffiles(t *testing.T) {
	got, err := readConffiles(body("/etc/a\n\nremove-on-upgrade /etc/b\n  /etc/c  \n"))
	want := []conffile{{"/etc/a", false}, {"/etc/b", true}, {"/etc/c", false}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"etc/a", "/etc/../a", "other-flag /etc/a", "/etc/a/"} {
		if _, err := readConffiles(body(bad)); err == nil {
			t.Errorf("%q: accepted", bad)
		}
	}
}

func FuzzReadConffiles(f *testing.F) {
	f.Add("/etc/a\nremove-on-upgrade /etc/b\n")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := readConffiles(body(text))
		for _, c := range list {
			if err == nil && (c.path[0] != '/' || strings.Contains(c.path, "\n")) {
				t.Errorf("%q", c.path)
			}
		}
	})
}

func TestReadInterests(t *testing.T) {
	got, err := readInterests(body("# a comment\ninterest ldconfig\ninterest-noawait " +
		"/usr/share/x # why\nactivate other\ninterest-await aa\n"))
	want := []interest{{"ldconfig", false}, {"/usr/share/x", true}, {"aa", false}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"interest", "interest a b", "frobnicate x",
		"interest ../../etc/passwd"} {
		if _, err := readInterests(body(bad)); err == nil {
			t.Errorf("%q: accepted", bad)
		}
	}
}

func FuzzReadInterests(f *testing.F) {
	f.Add("interest ldconfig\n")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := readInterests(body(text))
		for _, i := range list {
			if err == nil && i.name[0] != '/' && strings.Contains(i.name, "/") {
				t.Errorf("%q", i.name)
			}
		}
	})
}

func TestStanza(t *testing.T) {
	u := &unpacked{
		item: Item{Name: "sample"}, control: paragraph{"package": "sample"},
		text: "Package: sample\nStatus: purge ok not-installed\nVersion: 1\nConffiles:\n " +
			"/etc/forged 0\nDescription: x\n y\n\n",
		conffiles: []conffile{{"/etc/a", false}, {"/etc/gone", true}},
		entries:   []entry{{path: "/."}, {path: "/etc/a", md5: "0123"}},
	}
	var b strings.Builder
	if err := writeStanza(&b, u); err != nil {
		t.Fatal(err)
	}
	want := "Package: sample\nStatus: install ok unpacked\nVersion: 1\nDescription: x\n " +
		"y\nConffiles:\n /etc/a 0123\n /etc/gone newconffile remove-on-upgrade\n\n"
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	u.conffiles = append(u.conffiles, conffile{"/etc/missing", false})
	if err := writeStanza(&b, u); err == nil {
		t.Error("a conffile that is not in the package was accepted")
	}
}
