package bootstrap

import (
	"slices"
	"strings"
	"testing"

	"nsbuild/internal/archive"
	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/index"
	"nsbuild/internal/archive/suites"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/fault"
)

// offer is a small suite.
func offer(t *testing.T) universe {
	t.Helper()
	u := universe{}
	for _, o := range []*index.Offer{
		{Package: "base-files", Version: "1", Essential: true, Priority: "required",
			Depends: "awk"},
		{Package: "base-passwd", Version: "1", Essential: true, Priority: "required",
			Depends: "libc6"},
		{Package: "dpkg", Version: "1", Essential: true, Priority: "required",
			Depends: "tar (>= 1.28), libc6"},
		{Package: "tar", Version: "1", Essential: true, Priority: "required"},
		{Package: "mawk", Version: "1", Priority: "required", Provides: "awk"},
		{Package: "libc6", Version: "2", Priority: "optional", Depends: "libgcc-s1:any, usrmerge"},
		{Package: "libgcc-s1", Version: "1", Priority: "optional"},
		{Package: "usrmerge", Version: "1", Priority: "optional", Depends: "perl"},
		{Package: "usr-is-merged", Version: "1", Priority: "optional"},
		{Package: "perl", Version: "1", Priority: "standard"},
		{Package: "passwd", Version: "1", Priority: "required"},
		{Package: "nano", Version: "1", Priority: "important"},
		{Package: "apt", Version: "1", Priority: "important", Depends: "gnupg-none | perl, libc6"},
		{Package: "build-essential", Version: "1", Priority: "optional",
			Depends: "gcc | c-compiler, dpkg"},
		{Package: "sbuild", Version: "1", Priority: "optional",
			Depends: "ssl-abi-3, awk, mta | exim"},
		{Package: "exim", Version: "1", Priority: "optional", Depends: "logger"},
		{Package: "b-logger", Version: "1", Priority: "extra", Provides: "logger (= 1)"},
		{Package: "c-logger", Version: "1", Priority: "optional", Provides: "logger, d"},
		{Package: "d-logger", Version: "1", Priority: "optional", Provides: "logger"},
		{Package: "ssl", Version: "1", Priority: "optional", Provides: "x, ssl-abi-3",
			Depends: "perl"},
		{Package: "gcc", Version: "1", Priority: "optional", Depends: "libc6 (>= 2)"},
	} {
		if err := u.add(o); err != nil {
			t.Fatal(err)
		}
	}
	return u
}

func TestChoose(t *testing.T) {
	old := suites.Suite{Name: "bookworm", IncludeRequired: true, UsrIsMerged: true}
	modern := suites.Suite{Name: "trixie", MergedUsr: true}
	for _, tc := range []struct {
		name           string
		suite          suites.Suite
		variant        string
		include        []string
		exclude        []string
		required, base string
	}{
		{"buildd with required", old, VariantBuildd, nil, nil,
			"base-files base-passwd dpkg libc6 libgcc-s1 mawk passwd tar usr-is-merged",
			"apt build-essential gcc"},
		{"buildd, essential only", modern, VariantBuildd, nil, nil,
			"base-files base-passwd dpkg libc6 libgcc-s1 mawk tar", "apt build-essential gcc"},
		{"minbase", modern, VariantMinbase, nil, nil,
			"base-files base-passwd dpkg libc6 libgcc-s1 mawk passwd tar", "apt"},
		{"default", modern, VariantDefault, nil, nil,
			"base-files base-passwd dpkg libc6 libgcc-s1 mawk passwd tar", "apt nano"},
		{"standard", modern, VariantStandard, nil, nil,
			"base-files base-passwd dpkg libc6 libgcc-s1 mawk passwd tar", "apt nano perl"},
		{"essential", modern, VariantEssential, nil, nil,
			"base-files base-passwd dpkg libc6 libgcc-s1 mawk tar", "apt"},
		{"exclude", modern, VariantDefault, nil, []string{"nano", "passwd"},
			"base-files base-passwd dpkg libc6 libgcc-s1 mawk tar", "apt"},
		{"include", modern, VariantMinbase, []string{"usrmerge", "perl"}, nil,
			"base-files base-passwd dpkg libc6 libgcc-s1 mawk passwd tar", "apt perl"},
		{"include with others' names", modern, VariantMinbase, []string{"sbuild"}, nil,
			"base-files base-passwd dpkg libc6 libgcc-s1 mawk passwd tar",
			"apt c-logger exim perl sbuild ssl"},
		{"include with one that is given", modern, VariantMinbase, []string{"sbuild", "d-logger"},
			nil, "base-files base-passwd dpkg libc6 libgcc-s1 mawk passwd tar",
			"apt d-logger exim perl sbuild ssl"},
		{"usrmerge where nothing replaces it",
			suites.Suite{Name: "bullseye", IncludeRequired: true}, VariantMinbase, nil, nil,
			"base-files base-passwd dpkg libc6 libgcc-s1 mawk passwd perl tar usrmerge", "apt"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := choose(offer(t), tc.suite, tc.variant, tc.include, tc.exclude)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(c.required, " "); got != tc.required {
				t.Errorf("required: %s\nwant: %s", got, tc.required)
			}
			if got := strings.Join(c.base, " "); got != tc.base {
				t.Errorf("base: %s\nwant: %s", got, tc.base)
			}
		})
	}
}

func TestChooseFails(t *testing.T) {
	if _, err := choose(offer(t), suites.Suite{}, "tiny", nil, nil); fault.KindOf(
		err) != fault.Usage {
		t.Errorf("unknown variant: %v", err)
	}
	if _, err := choose(offer(t), suites.Suite{Name: "trixie"}, VariantMinbase,
		[]string{"nothing"}, nil); fault.KindOf(err) != fault.Usage ||
		!strings.Contains(err.Error(), "no package nothing to include") ||
		!strings.Contains(fault.HintOf(err), "--components") {
		t.Errorf("unknown package: %v, hint %q", err, fault.HintOf(err))
	}
	for exclude, want := range map[string]string{"tar": "no base works without it",
		"libgcc-s1": "libc6 depends on it", "gcc": "build-essential depends on it"} {
		_, err := choose(offer(t), suites.Suite{Name: "trixie"}, VariantBuildd, nil,
			[]string{exclude})
		if fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), want) ||
			strings.Contains(fault.HintOf(err), ", too") != (exclude == "gcc") {
			t.Errorf("%s: %v, hint %q", exclude, err, fault.HintOf(err))
		}
	}
	if err := offer(t).add(&index.Offer{Package: "tar", Version: "not a version"}); err == nil {
		t.Error("a malformed version was accepted")
	}
}

func TestHighestVersion(t *testing.T) {
	u := universe{}
	for _, v := range []string{"1.9", "1.10", "1.10~rc1", "1:0.1", "2"} {
		if err := u.add(&index.Offer{Package: "a", Version: v}); err != nil {
			t.Fatal(err)
		}
	}
	if u["a"].Version != "1:0.1" {
		t.Errorf("chose %s", u["a"].Version)
	}
}

func TestOrder(t *testing.T) {
	c := choice{required: []string{"base-files", "base-passwd", "bash", "dpkg", "libc6", "mawk"},
		base: []string{"apt", "gcc"}}
	want := []string{"base-passwd", "base-files", "dpkg", "libc6", "mawk", "bash", "apt", "gcc"}
	if got := c.order("amd64"); !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

func TestPreinsts(t *testing.T) {
	j := &job{order: []string{"base-passwd", "bash", "zlib", "libdep"}, info: map[string]control{
		"base-passwd": {text: "Package: base-passwd\nArchitecture: amd64\n", preinst: true},
		"bash": {
			text: "Package: bash\nArchitecture: amd64\nPre-Depends: libdep (>= 1), missing | other\n", preinst: true},
		"zlib": {text: "Package: zlib\nArchitecture: amd64\n"},
		"libdep": {
			text:    "Package: libdep\nArchitecture: amd64\nMulti-Arch: same\nPre-Depends: bash\n",
			preinst: true},
	}}
	var got []string
	for _, p := range j.preinsts() {
		got = append(got, p.Info)
	}
	if want := []string{"base-passwd", "libdep:amd64", "bash"}; !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

func FuzzFirstNames(f *testing.F) {
	f.Add("libc6 (>= 2.36), a:any | b [amd64] <!nocheck>,,")
	f.Fuzz(func(t *testing.T, text string) {
		for _, n := range firstNames(text) {
			if n == "" || strings.ContainsAny(n, " ,|(") {
				t.Errorf("%q", n)
			}
		}
	})
}

func TestFetchOrder(t *testing.T) {
	var packages []*index.Package
	for name, size := range map[string]int64{"gcc": 20, "base-files": 1, "dash": 2, "perl": 9} {
		packages = append(packages, &index.Package{Package: name, Size: size})
	}
	for first, want := range map[string]string{"base-files": "base-files gcc perl dash",
		"": "gcc perl dash base-files"} {
		var names []string
		for _, p := range fetchOrder(packages, first) {
			names = append(names, p.Package)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("with %q first: %s, want %s", first, got, want)
		}
	}
}

// TestComponents: a component that no repository has is a slip of the user's, and is named.
func TestComponents(t *testing.T) {
	a := fakedebian.New(t)
	s := a.Suite("crane")
	s.Components = []string{"main", "toys"}
	security := a.Suite("crane-security")
	security.Components = []string{"updates/main", "birds"}
	flat := a.Suite("silent")
	flat.Components = nil
	srv := fakedebian.Serve(t, fakedebian.Mounts{"crane": a.Tree()})
	client, err := archive.NewClient(archive.Options{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	repo := func(suite string, components ...string) aptconf.Repo {
		return aptconf.Repo{URI: srv.URL("crane"), Suite: suite, Components: components,
			Keyrings: []string{fakedebian.Keyring(t, fakedebian.KeyArchive)}}
	}
	for _, test := range []struct {
		repos []aptconf.Repo
		bad   string
	}{
		{[]aptconf.Repo{repo("crane", "main", "toys"), repo("crane-security", "main", "toys")}, ""},
		{[]aptconf.Repo{repo("crane", "main", "birds"), repo("crane-security", "main", "birds")},
			""},
		{[]aptconf.Repo{repo("crane", "updates/main")}, ""},
		{[]aptconf.Repo{repo("crane", "main", "mian")}, "mian"},
		{[]aptconf.Repo{repo("crane", "toy"), repo("crane-security", "main")}, "toy"},
		// it does not say what it has
		{[]aptconf.Repo{repo("crane", "mian"), repo("silent", "mian")}, ""},
	} {
		releases, err := client.Releases(t.Context(), test.repos)
		if err != nil {
			t.Fatal(err)
		}
		err = (&job{o: Options{Releases: releases, Suite: suites.Suite{Name: "crane"}}}).
			checkComponents()
		switch {
		case test.bad == "" && err == nil:
		case test.bad != "" && fault.KindOf(err) == fault.Usage &&
			strings.Contains(err.Error(), "no component "+test.bad) &&
			strings.Contains(fault.HintOf(err), "main, toys"):
		default:
			t.Errorf("%v: %v, hint %q", test.repos, err, fault.HintOf(err))
		}
	}
}
