package dsc

import (
	"errors"
	"os/exec"
	"strings"
	"testing"

	"nsbuild/internal/testenv"
)

func TestParseRelations(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"", ""},
		{" , a ,, b,", "a, b"},
		{"a|b|  c", "a | b | c"},
		{"a(>=1)", "a (>= 1)"},
		{"a\n ( >= 1:2~3 )\t[ amd64   !i386 ]<!nocheck><cross  stage1>",
			"a (>= 1:2~3) [amd64 !i386] <!nocheck> <cross stage1>"},
		{"a:any (<< 2)[linux-any]", "a:any (<< 2) [linux-any]"},
		{"python3:native, gcc:armhf", "python3:native, gcc:armhf"},
		{"a (< 1), b (> 2)", "a (<= 1), b (>= 2)"},
		{"libstdc++-dev, 0ad", "libstdc++-dev, 0ad"},
		{"a <!NoCheck> [AMD64]", ""},
	} {
		r, err := ParseRelations(tt.text)
		if tt.want == "" && tt.text != "" {
			if err == nil {
				t.Errorf("%q is taken as %s", tt.text, r)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", tt.text, err)
		} else if got := r.String(); got != tt.want {
			t.Errorf("%q is %q, want %q", tt.text, got, tt.want)
		}
	}
}

func TestParseRelationsErrors(t *testing.T) {
	for _, tt := range []struct {
		text string
		pos  int
		want string
	}{
		{"a, ${misc:Depends}", 3,
			`"${misc:Depends}": substitution variables do not hold in build relations`},
		{"a (>= ${binary:Version})", 6,
			`"${binary:Version}": substitution variables do not hold in build relations`},
		{"a b", 2,
			`"b" after the relation to a: expected a comma, a version in ( ), architectures in [ ] or profiles in < >`},
		{"| a", 0, `"| a": expected the name of a package`},
		{"a | | b", 4, `"| b": expected the name of a package`},
		{"-a", 0, `"-a": expected the name of a package`},
		{"a:", 2, "nothing after the colon of a:"},
		{"a (1)", 3, `"(1)": expected one of << <= = >= >> before the version`},
		{"a (== 1)", 3, `"(== 1)": expected one of << <= = >= >> before the version`},
		{"a (>= 1", 2, `"(>= 1": the ) is missing`},
		{"a (>= )", 6, "relation to a: the version is empty"},
		{"a (>= 1 2)", 2, `"(>= 1 2)": the ) is missing`},
		{"a [amd64", 2, `"[amd64": the ] is missing`},
		{"a []", 2, "relation to a: the architecture list [] is empty"},
		{"a [x/y]", 2, `relation to a: "x/y" is no architecture`},
		{"a <!nocheck", 2, `"<!nocheck": the > is missing`},
		{"a <>", 2, "relation to a: the profile list <> is empty"},
		{"a <!>", 2, `relation to a: "!" is no build profile`},
		{"a (= 1) (= 2)", 8,
			`"(= 2)" after the relation to a: expected a comma, a version in ( ), architectures in [ ] or profiles in < >`},
	} {
		_, err := ParseRelations(tt.text)
		var at *RelationError
		if !errors.As(err, &at) {
			t.Errorf("%q: %v", tt.text, err)
			continue
		}
		if at.Pos != tt.pos || at.Reason != tt.want {
			t.Errorf("%q: at %d: %s\nwant at %d: %s", tt.text, at.Pos, at.Reason, tt.pos, tt.want)
		}
	}
}

// reduceCases are relations with what is left of them; build and host architecture stand first,
// then the profiles.
var reduceCases = []struct{ build, host, profiles, text, want string }{
	{"amd64", "amd64", "", "a, b [i386], c [!i386], d [linux-any], e [hurd-any] | f", "a, c, d, f"},
	{"amd64", "amd64", "", "a <!nocheck>, b <cross>, c <!cross !nocheck>, d <cross> <!nodoc>",
		"a, c, d"},
	{"amd64", "amd64", "nocheck",
		"a <!nocheck>, b <cross>, c <!cross !nocheck>, d <cross> <!nodoc>", "d"},
	{"amd64", "amd64", "nocheck nodoc",
		"a <nocheck nodoc>, b <nocheck> <cross>, d <cross> <!nodoc>", "a, b"},
	{"amd64", "arm64", "cross nocheck",
		"a <cross>, b <!nocheck>, c [amd64], d [arm64], e [any-arm64] | f", "a, d, e | f"},
	{"amd64", "amd64", "", "python3:native, g++:any (>= 4:12)", "python3, g++:any (>= 4:12)"},
	{"amd64", "armhf", "", "python3:native, g++:any, gcc:armhf",
		"python3:amd64, g++:any, gcc:armhf"},
	{"amd64", "amd64", "", "a [i386] | b [hurd-any], c", "c"},
	{"amd64", "kfreebsd-amd64", "", "a [linux-any], b [any-amd64], c [!linux-any]", "b, c"},
	{"amd64", "amd64", "pkg.a.b", "a <pkg.a.b>, b <!pkg.a.b>", "a"},
}

func TestReduce(t *testing.T) {
	for _, tt := range reduceCases {
		r, err := ParseRelations(tt.text)
		if err != nil {
			t.Fatalf("%q: %v", tt.text, err)
		}
		c := Context{BuildArch: tt.build, HostArch: tt.host, Profiles: strings.Fields(tt.profiles)}
		got := BuildRelations{Depends: r}.Reduce(c).Depends.String()
		if got != tt.want {
			t.Errorf("%q on %s for %s <%s>: %q, want %q", tt.text, tt.build, tt.host, tt.profiles,
				got, tt.want)
		}
	}
}

// What is left is what Dpkg::Deps leaves, but for :native, which sbuild handles after it.
func TestReduceAsDpkg(t *testing.T) {
	testenv.RequireTool(t, "dpkg-architecture", "perl")
	const program = `use Dpkg::Deps; my ($b, $h, $p, $t) = @ARGV;
		print deps_parse($t, reduce_arch => 1, host_arch => $h, build_arch => $b, build_dep => 1, reduce_profiles => 1, build_profiles => [split / /, $p])`
	for _, tt := range reduceCases {
		if strings.Contains(tt.text, ":native") {
			continue
		}
		out, err := exec.Command("perl", "-e", program, tt.build, tt.host, tt.profiles,
			tt.text).Output()
		if err != nil {
			t.Fatal(err)
		}
		if string(out) != tt.want {
			t.Errorf("%q on %s for %s <%s>: dpkg leaves %q, we %q", tt.text, tt.build, tt.host,
				tt.profiles, out, tt.want)
		}
	}
}

func TestReduceByKindOfBuild(t *testing.T) {
	p := paragraphOf(t, "Build-Depends: a\nBuild-Depends-Arch: b\nBuild-Depends-Indep: "+
		"c\nBuild-Conflicts: x\nBuild-Conflicts-Arch: y\nBuild-Conflicts-Indep: z (<< 1)\n")
	rel, err := p.buildRelations()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		any, all           bool
		depends, conflicts string
	}{
		{true, true, "a, b, c, build-essential:any", "x, y, z (<< 1)"},
		{true, false, "a, b, build-essential:any", "x, y"},
		{false, true, "a, c, build-essential:any", "x, z (<< 1)"},
		{false, false, "a, build-essential:any", "x"},
	} {
		extra, err := ParseRelations("build-essential:any <!none>")
		if err != nil {
			t.Fatal(err)
		}
		got := rel.Reduce(Context{BuildArch: "amd64", HostArch: "amd64", ArchAny: tt.any,
			ArchAll: tt.all}, extra)
		if got.Depends.String() != tt.depends || got.Conflicts.String() != tt.conflicts {
			t.Errorf("any %v, all %v: %s / %s", tt.any, tt.all, got.Depends, got.Conflicts)
		}
	}
}

func TestFirstAlternatives(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"a | b, c", "a, c"},
		{"a (<< 1) | a (>= 2), b", "a (<< 1) | a (>= 2), b"},
		{"a (<< 1) | a (>= 2) | b | a (= 3)", "a (<< 1) | a (>= 2)"},
		{"b | a | b", "b"},
	} {
		r, err := ParseRelations(tt.text)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.FirstAlternatives().String(); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.text, got, tt.want)
		}
	}
}

func TestQualifiers(t *testing.T) {
	r, err := ParseRelations("a:any, b:native, gcc:armhf | g:arm64, c:armhf")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(r.Qualifiers(), " "); got != "armhf arm64" {
		t.Error(got)
	}
}

func paragraphOf(t *testing.T, text string) *Paragraph {
	t.Helper()
	paras, err := ParseControl("x", strings.NewReader(text))
	if err != nil || len(paras) != 1 {
		t.Fatalf("%d paragraphs: %v", len(paras), err)
	}
	return paras[0]
}

func FuzzParseRelations(f *testing.F) {
	f.Add("a:any (>= 1) [amd64 !i386] <!nocheck> <a b> | b, c (<< 2),")
	f.Add("a(>>1)[b]<c>|d")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRelations(text)
		if err != nil {
			var at *RelationError
			if !errors.As(err, &at) || at.Pos < 0 || at.Pos > len(text) {
				t.Fatalf("%q: %#v", text, err)
			}
			return
		}
		again, err := ParseRelations(r.String())
		if err != nil || again.String() != r.String() {
			t.Fatalf("%q is written as %q, read again as %q: %v", text, r, again, err)
		}
		r.reduce(Context{BuildArch: "amd64", HostArch: "arm64", Profiles: []string{"cross"}})
		r.FirstAlternatives()
	})
}
