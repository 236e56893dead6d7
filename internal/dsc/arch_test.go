package dsc

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"nsbuild/internal/testenv"
)

func TestMatchArch(t *testing.T) {
	for _, tt := range []struct {
		arch, pattern string
		want          bool
	}{
		{"amd64", "any", true}, {"amd64", "amd64", true}, {"amd64", "i386", false},
		{"amd64", "linux-any", true}, {"amd64", "any-amd64", true},
		{"hurd-amd64", "any-amd64", true}, {"hurd-amd64", "linux-any", false},
		{"hurd-i386", "hurd-any", true}, {"amd64", "hurd-any", false},
		{"kfreebsd-amd64", "any-amd64", true}, {"kfreebsd-amd64", "kfreebsd-any", true},
		{"x32", "any-amd64", true}, {"x32", "amd64", false},
		{"armhf", "any-arm", true}, {"armel", "any-arm", true}, {"armhf", "any-armhf", false},
		{"armhf", "eabihf-any-any-arm", true}, {"armel", "eabihf-any-any-arm", false},
		{"musl-linux-amd64", "musl-any-any", true}, {"amd64", "musl-any-any", false},
		{"amd64", "gnu-any-any", true}, {"amd64", "gnu-linux-any", true},
		{"amd64", "any-any", true}, {"amd64", "linux-amd64", true}, {"amd64", "linux-i386", false},
		{"hurd-amd64", "linux-amd64", false}, {"amd64", "all", false}, {"all", "all", true},
		{"all", "any", true}, {"all", "linux-any", false},
		{"s390x", "s390x", true}, {"s390x", "s390", false}, {"loong64", "any-loong64", true},
		{"notanarch", "linux-any", false}, {"notanarch", "notanarch", true},
		{"amd64", "any-notacpu", false}, {"mint-m68k", "mint-any", true}, {"amd64", "", false},
		{"amd64", "any-any-any-any-any", false},
	} {
		if got := MatchArch(tt.arch, tt.pattern); got != tt.want {
			t.Errorf("MatchArch(%q, %q) is %v", tt.arch, tt.pattern, got)
		}
	}
	for arch, want := range map[string]bool{"amd64": true, "kfreebsd-i386": true, "any": false,
		"all": false, "linux-any": false, "amd65": false, "": false} {
		if KnownArch(arch) != want {
			t.Errorf("KnownArch(%q) is not %v", arch, want)
		}
	}
}

// What matches is what Dpkg::Arch of the host's dpkg-dev says, for every architecture that it
// knows.
func TestMatchArchAsDpkg(t *testing.T) {
	testenv.RequireTool(t, "dpkg-architecture", "perl")
	out, err := exec.Command("dpkg-architecture", "-L").Output()
	if err != nil {
		t.Fatal(err)
	}
	archs := strings.Fields(string(out))
	for _, a := range archs {
		if !KnownArch(a) {
			t.Errorf("%s is not known", a)
		}
	}
	patterns := []string{"any", "linux-any", "hurd-any", "kfreebsd-any", "any-amd64", "any-i386",
		"any-arm", "any-arm64", "any-mips64el", "musl-any-any", "gnu-any-any", "gnu-linux-any",
		"musl-linux-any", "uclibc-any-any", "eabihf-any-any-any", "eabi-any-any-arm",
		"any-any-linux-any", "abi64-gnu-linux-any", "bsd-any-any", "amd64", "armhf", "x32",
		"linux-amd64", "linux-armhf"}
	program := `use Dpkg::Arch qw(debarch_is); while (<STDIN>) { chomp; my ($a, $p) = split / /; print debarch_is($a, $p) ? "1\n" : "0\n" }`
	var in strings.Builder
	for _, a := range archs {
		for _, p := range patterns {
			in.WriteString(a + " " + p + "\n")
		}
	}
	cmd := exec.Command("perl", "-e", program)
	cmd.Stdin = strings.NewReader(in.String())
	if out, err = cmd.Output(); err != nil {
		t.Fatal(err)
	}
	want := strings.Fields(string(out))
	if len(want) != len(archs)*len(patterns) {
		t.Fatalf("%d answers", len(want))
	}
	for i, a := range archs {
		for j, p := range patterns {
			if got := MatchArch(a, p); got != (want[i*len(patterns)+j] == "1") {
				t.Errorf("MatchArch(%q, %q) is %v, dpkg says otherwise", a, p, got)
			}
		}
	}
}

func TestArchHolds(t *testing.T) {
	for _, tt := range []struct {
		list, arch string
		want       bool
	}{
		{"", "amd64", true}, {"amd64", "amd64", true}, {"i386 amd64", "amd64", true},
		{"i386", "amd64", false}, {"!i386", "amd64", true}, {"!amd64", "amd64", false},
		{"!i386 !amd64", "amd64", false}, {"linux-any", "amd64", true},
		{"!linux-any", "amd64", false}, {"!hurd-any", "amd64", true}, {"any", "amd64", true},
	} {
		if got := ArchHolds(strings.Fields(tt.list), tt.arch); got != tt.want {
			t.Errorf("[%s] holds on %s: %v", tt.list, tt.arch, got)
		}
	}
}

func TestTableIsWhole(t *testing.T) {
	var names []string
	for name, tuple := range architectures() {
		names = append(names, name)
		if slices.Contains(tuple[:], "") || strings.ContainsAny(name, "<> ") {
			t.Errorf("%s is %v", name, tuple)
		}
	}
	if len(names) < 500 {
		t.Errorf("%d architectures only", len(names))
	}
}
