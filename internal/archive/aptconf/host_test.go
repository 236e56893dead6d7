package aptconf

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/suites"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/fault"
)

// hostRoot writes files below a directory, as a host's root.
func hostRoot(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func hostOf(t *testing.T, env map[string]string, files map[string]string) *Host {
	t.Helper()
	h, err := readHost(hostRoot(t, files), nil, func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestAptConf(t *testing.T) {
	text := `
# a comment
Acquire::http::Proxy "http://proxy.example:3128"; // another
Acquire { /* and
  one of several lines */
  Retries "5";
  Check-Valid-Until no;
  http { Timeout 7; Proxy { local.example "DIRECT"; }; };
  Languages { "de"; "en"; };
  Languages:: "fr";
  Max-ValidTime 86400
    ;
}
apt::NeverAutoRemove { "^linux-.*$"; };
Dir::Cache::pkgcache "";
DPkg::Post-Invoke {"rm -f /x || true; # not a comment";};
Gone::Away "1"; Gone::List { "a"; };
#clear Gone;
#include "/nowhere";
Gone::Again "2";
#clear Gone::Away
`
	c := newAptConf()
	if err := c.parse(text); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"Acquire::HTTP::proxy": "http://proxy.example:3128", "Acquire::Retries": "5",
		"Acquire::Check-Valid-Until": "no", "Acquire::http::Timeout": "7",
		"Acquire::http::Proxy::local.example": "DIRECT", "Gone::Away": "", "Gone::Again": "2",
		"Acquire::Max-ValidTime": "86400",
	} {
		if got := c.get(key); got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
	for key, want := range map[string]string{
		"acquire::languages": "de en fr", "apt::neverautoremove": "^linux-.*$",
		"dpkg::post-invoke": "rm -f /x || true; # not a comment", "gone::list": "",
	} {
		if got := strings.Join(c.lists[key], " "); got != want {
			t.Errorf("list %s: %q, want %q", key, got, want)
		}
	}
	if c.flag("Acquire::Check-Valid-Until", true) || !c.flag("Acquire::Check-Date", true) {
		t.Error("flags")
	}
	for _, bad := range []string{"A {", "A::B \"x", "A }", "/* no end", "A \"b\" \"c\";",
		strings.Repeat("a{", 1000)} {
		if err := newAptConf().parse(bad); !errors.Is(err, failure.ErrSyntax) {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
}

func TestPartName(t *testing.T) {
	for name, want := range map[string]bool{
		"debian.sources": true, "a.list": true, "a.list.save": false, "a.list~": false,
		".a.list": false, "README": false, "a b.list": false, "google.list.disabled": false,
		"A-1_x.list": true,
	} {
		if got := partName(name, "list", "sources"); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if !partName("70debconf", "", "conf") || !partName("x.conf", "", "conf") ||
		partName("x.conf.dpkg-old", "", "conf") {
		t.Error("apt.conf.d")
	}
}

func TestSources(t *testing.T) {
	got, err := parseOneLine(`
# deb http://old.example/debian sid main
deb http://mirror.example/debian bookworm main contrib # comment
deb [arch=amd64,i386 signed-by=/k.gpg trusted=yes check-valid-until=no valid-until-max=60] https://mirror.example/debian/ ./
deb-src	http://mirror.example/debian	bookworm	main
deb cdrom:[Debian GNU/Linux 12 - amd64 DVD]/ bookworm main
deb [lang=none] file:/srv/m stable main
`, "sources.list", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 5 || got[0].uri != "http://mirror.example/debian" ||
		!slices.Equal(got[0].components, []string{"main", "contrib"}) || got[2].binary ||
		!strings.HasPrefix(got[3].uri, "cdrom:") || got[3].suite != "bookworm" ||
		got[4].uri != "file:/srv/m" {
		t.Errorf("%+v", got)
	}
	o := got[1].options
	if !slices.Equal(o.signedBy, []string{"/k.gpg"}) || !*o.trusted || *o.checkValidUntil ||
		*o.validMax != time.Minute || !slices.Equal(o.architectures, []string{"amd64", "i386"}) {
		t.Errorf("%+v", o)
	}
	kept, err := parseOneLine("deb http://mirror.example/debian\nrpm x y z\ndeb [arch=x http://a "+
		"b c\ndeb http://mirror.example/debian sid main\n", "f", "amd64")
	if !errors.Is(err, failure.ErrSyntax) || len(kept) != 1 {
		t.Errorf("%v %+v", err, kept)
	}

	got, err = parseSources(strings.ReplaceAll(`# the host's
Types: deb deb-src
URIs: http://mirror.example/debian
 http://two.example/debian
Suites: bookworm bookworm-updates
Components: main
# why not
 contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
Check-Date: no

Types: deb
URIs: http://off.example/
Suites: sid
Components: main
Enabled: no

Types: deb
URIs: http://vendor.example/
Suites: ./
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abcd
 -----END PGP PUBLIC KEY BLOCK-----
`, "\n", "\r\n"), "x.sources", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 9 || got[0].uri != "http://mirror.example/debian" || got[8].suite != "./" ||
		!slices.Equal(got[0].components, []string{"main", "contrib"}) || *got[0].options.checkDate {
		t.Errorf("%d %+v", len(got), got)
	}
	if key := got[8].options.keyData; key != "\n-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nabcd\n-----END PGP PUBLIC KEY BLOCK-----\n" && !strings.HasPrefix(key, "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nabcd\n") {
		t.Errorf("%q", key)
	}
	if _, err := parseSources("Types: deb\nURIs: http://x\n", "f", "amd64"); !errors.Is(err,
		failure.ErrSyntax) {
		t.Error(err)
	}
}

func TestProxy(t *testing.T) {
	conf := `Acquire::http::Proxy "http://proxy.example:3128"; Acquire::http::Proxy::direct.example "DIRECT"; Acquire::https::Proxy::s.example "socks5h://s:1";`
	for _, test := range []struct{ conf, env, url, want string }{
		{conf, "", "http://mirror.example/debian", "http://proxy.example:3128"},
		{conf, "", "https://mirror.example/debian", "http://proxy.example:3128"},
		{conf, "", "http://direct.example/debian", ""},
		{conf, "", "https://s.example/debian", "socks5h://s:1"},
		{conf, "no_proxy=.example", "http://mirror.example/debian", ""},
		{conf, "no_proxy=rror.example", "http://mirror.example/debian",
			"http://proxy.example:3128"},
		{"", "http_proxy=env.example:80", "http://mirror.example/debian", "http://env.example:80"},
		{"", "http_proxy=http://env.example:80", "https://mirror.example/debian", ""},
		{"", "https_proxy=http://env.example:80", "https://mirror.example/debian",
			"http://env.example:80"},
		{conf, "http_proxy=http://env.example:80", "http://mirror.example/",
			"http://proxy.example:3128"},
		{"", "", "http://mirror.example/debian", ""},
	} {
		name, value, _ := strings.Cut(test.env, "=")
		h := hostOf(t, map[string]string{name: value},
			map[string]string{"etc/apt/apt.conf.d/70proxy": test.conf})
		u, err := url.Parse(test.url)
		if err != nil {
			t.Fatal(err)
		}
		got, err := h.Proxy(u)
		if err != nil || got == nil && test.want != "" || got != nil && got.String() != test.want {
			t.Errorf("%s with %q: %v %v, want %q", test.url, test.env, got, err, test.want)
		}
	}
}

func TestAuth(t *testing.T) {
	h := hostOf(t, nil, map[string]string{
		"etc/apt/auth.conf": "machine secure.example login joe password s3cret\n# " +
			"machine x login y\nmachine http://plain.example:8080/deb login jane\n password word\n",
		"etc/apt/auth.conf.d/x.conf":    "machine late.example/private login l password p",
		"etc/apt/auth.conf.d/x.dpkgold": "machine never.example login l password p",
	})
	for uri, want := range map[string]string{
		"https://secure.example/debian": "joe:s3cret", "http://secure.example/debian": "",
		"http://plain.example:8080/deb/dists": "jane:word", "http://plain.example:8080/other": "",
		"https://late.example/private/x": "l:p", "https://late.example/": "",
		"http://u:v@any.example/": "u:v", "https://never.example/": "",
	} {
		u, err := url.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		login, password, ok := h.Credentials(u)
		if got := login + ":" + password; ok != (want != "") || ok && got != want {
			t.Errorf("%s: %q %v", uri, got, ok)
		}
	}
}

func TestRepos(t *testing.T) {
	const debian = "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm " +
		"bookworm-updates\nComponents: main\nSigned-By: " +
		"/usr/share/keyrings/debian-archive-keyring.gpg\n\n" +
		"Types: deb\nURIs: http://sec.example/debian-security/\nSuites: " +
		"bookworm-security\nComponents: main\n"
	for _, test := range []struct {
		name, sources, suite, mirror string
		want                         []string
	}{
		{"the host's", debian, "bookworm", "", []string{
			"deb http://mirror.example/debian bookworm main",
			"deb http://mirror.example/debian bookworm-updates main",
			"deb http://sec.example/debian-security bookworm-security main"}},
		{"the host's for another suite", debian, "sid", "",
			[]string{"deb http://mirror.example/debian sid main"}},
		{"over a base", debian, "experimental", "",
			[]string{"deb http://mirror.example/debian sid main",
				"deb http://mirror.example/debian experimental main"}},
		{"an old suite", debian, "squeeze", "",
			[]string{"deb http://archive.debian.org/debian squeeze main",
				"deb http://archive.debian.org/debian-security squeeze/updates main"}},
		{"vendors", "Types: deb\nURIs: https://vendor.example/linux/chrome/deb\nSuites: " +
			"stable\nComponents: main\n\n" +
			"Types: deb\nURIs: https://docker.example/linux/debian\nSuites: " +
			"bookworm\nComponents: stable\nSigned-By: /k.asc\n\n" +
			"Types: deb\nURIs: https://ci.example/runner/debian\nSuites: bookworm\nComponents: " +
			"main\nSigned-By: /k.asc\n\n" +
			"Types: deb\nURIs: https://plain.example/x/debian\nSuites: bookworm\nComponents: " +
			"main\n\n" + debian, "bookworm", "", []string{
			"deb http://mirror.example/debian bookworm main",
			"deb http://mirror.example/debian bookworm-updates main",
			"deb http://sec.example/debian-security bookworm-security main"}},
		{"only a vendor", "Types: deb\nURIs: https://ci.example/runner/debian\nSuites: " +
			"bookworm\nComponents: main\nSigned-By: /k.asc\n", "sid", "",
			[]string{"deb http://ftp.debian.org/debian sid main"}},
		{"signed again by its owner", "Types: deb\nURIs: https://corp.example/debian\nSuites: " +
			"bookworm bookworm-updates\nComponents: main\nSigned-By: /k.asc\n", "sid", "", []string{
			"deb https://corp.example/debian sid main"}},
		{"no apt", "", "sid", "", []string{"deb http://ftp.debian.org/debian sid main"}},
		{"another distribution", debian, "noble", "", []string{
			"deb http://archive.ubuntu.com/ubuntu noble main universe",
			"deb http://archive.ubuntu.com/ubuntu noble-updates main universe",
			"deb http://security.ubuntu.com/ubuntu noble-security main universe"}},
		{"Ubuntu's host", "Types: deb\nURIs: http://ub.example/ubuntu\nSuites: noble " +
			"noble-security\nComponents: main\n", "bookworm", "", []string{
			"deb http://ftp.debian.org/debian bookworm main",
			"deb http://ftp.debian.org/debian bookworm-updates main",
			"deb http://security.debian.org/debian-security bookworm-security main"}},
		{"given", debian, "trixie", "http://given.example/debian/",
			[]string{"deb http://given.example/debian trixie main",
				"deb http://given.example/debian trixie-updates main"}},
		{"lines", debian, "trixie",
			"deb http://a.example/d trixie main\ndeb [trusted=yes] file:/srv/x ./\n",
			[]string{"deb http://a.example/d trixie main", "deb file:/srv/x ./"}},
		{"only sources",
			"Types: deb-src\nURIs: http://src.example/debian\nSuites: sid\nComponents: main\n",
			"sid", "", []string{"deb http://ftp.debian.org/debian sid main"}},
		{"a scheme we do not speak",
			"Types: deb\nURIs: tor+http://x.onion/debian\nSuites: sid\nComponents: main\n", "sid",
			"", []string{"deb http://ftp.debian.org/debian sid main"}},
		{"a login stays out",
			"Types: deb\nURIs: http://joe:pw@m.example/debian\nSuites: sid\nComponents: main\n",
			"sid", "", []string{"deb http://m.example/debian sid main"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := hostOf(t, nil, map[string]string{"etc/apt/sources.list.d/x.sources": test.sources})
			suite, err := suites.New().Lookup(test.suite)
			if err != nil {
				t.Fatal(err)
			}
			repos, err := h.Repos(suite, test.mirror, "")
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range repos {
				got = append(got, r.SourcesLine())
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("%q", got)
			}
		})
	}
	for _, bad := range []string{"ftp://x/debian", "/nonexistent", "deb x", "tor+http://x/y"} {
		if _, err := (&Host{}).Repos(suites.Custom("x"), bad,
			""); fault.KindOf(err) != fault.Usage || fault.HintOf(err) == "" {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if _, err := (&Host{}).Repos(suites.Custom("x"), "", ""); fault.KindOf(err) != fault.Usage {
		t.Error(err)
	}
}

// TestKeyring: which keys count for which repository.
func TestKeyring(t *testing.T) {
	vendor := string(fakedebian.KeyOf(t, fakedebian.KeyOther).Armored(t))
	own := string(fakedebian.KeyOf(t, fakedebian.KeySecond).Public(t))
	embedded, err := suites.Keyring("debian-archive-keyring.gpg")
	if err != nil {
		t.Fatal(err)
	}
	fingerprint := fakedebian.KeyOf(t, fakedebian.KeyOther).Fingerprint()
	for _, test := range []struct {
		name  string
		files map[string]string
		repo  Repo
		want  string // where from
		keys  int
	}{
		{"nothing on the host", nil, Repo{Keyrings: []string{"debian-archive-keyring.gpg"},
			hostKeys: true}, "debian-archive-keyring.gpg (embedded)", 9},
		{"the host's is not older",
			map[string]string{"usr/share/keyrings/debian-archive-keyring.gpg": string(embedded) +
				string(fakedebian.KeyOf(t, fakedebian.KeyArchive).Public(t))},
			Repo{Keyrings: []string{"debian-archive-keyring.gpg"}},
			"ROOT/usr/share/keyrings/debian-archive-keyring.gpg", 10},
		{"the host's is older",
			map[string]string{"usr/share/keyrings/debian-archive-keyring.gpg": own},
			Repo{Keyrings: []string{"debian-archive-keyring.gpg"}},
			"debian-archive-keyring.gpg (embedded)", 9},
		{"another keyring", map[string]string{"etc/apt/keyrings/own.gpg": own,
			"etc/apt/trusted.gpg.d/v.asc": vendor},
			Repo{Keyrings: []string{"ROOT/etc/apt/keyrings/own.gpg"}, hostKeys: true},
			"ROOT/etc/apt/keyrings/own.gpg", 1},
		{"trusted.gpg.d too", map[string]string{"etc/apt/trusted.gpg.d/v.asc": vendor,
			"etc/apt/trusted.gpg.d/broken.gpg": "x"},
			Repo{Keyrings: []string{"debian-archive-keyring.gpg"}, hostKeys: true},
			"debian-archive-keyring.gpg (embedded), ROOT/etc/apt/trusted.gpg.d/v.asc", 10},
		{"not for the primary", map[string]string{"etc/apt/trusted.gpg.d/v.asc": vendor},
			Repo{Keyrings: []string{"debian-archive-keyring.gpg"}},
			"debian-archive-keyring.gpg (embedded)", 9},
		{"a fingerprint", map[string]string{"etc/apt/trusted.gpg.d/v.asc": vendor,
			"etc/apt/trusted.gpg.d/o.gpg": own},
			Repo{Keyrings: []string{fingerprint}},
			"ROOT/etc/apt/trusted.gpg.d/o.gpg, ROOT/etc/apt/trusted.gpg.d/v.asc", 1},
		{"in the source itself", nil, Repo{options: sourceOptions{keyData: vendor + vendor},
			origin: "x.sources", Keyrings: []string{"debian-archive-keyring.gpg"}},
			"the key in x.sources", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := hostOf(t, nil, test.files)
			for i, name := range test.repo.Keyrings {
				test.repo.Keyrings[i] = strings.ReplaceAll(name, "ROOT", h.root)
			}
			k, err := h.Keyring(test.repo)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.ReplaceAll(k.String(), h.root, "ROOT"); got != test.want ||
				len(k.EntityList) != test.keys {
				t.Errorf("%d keys from %s", len(k.EntityList), got)
			}
		})
	}
}

// TestMirrorOfTheTable: a mirror that a user's table names comes before the distribution's own.
func TestMirrorOfTheTable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "suites")
	table := "Suite: bookworm\nMirror: http://mirror.example/debian\n"
	if err := os.WriteFile(file, []byte(table), 0o644); err != nil {
		t.Fatal(err)
	}
	suite, err := suites.New(file).Lookup("bookworm")
	if err != nil {
		t.Fatal(err)
	}
	repos, err := (&Host{}).Repos(suite, "", "")
	if err != nil || repos[0].URI != "http://mirror.example/debian" {
		t.Errorf("%v %v", repos, err)
	}
}

// TestEmbeddedKeyrings: all of them can be read, and hold the keys that the suites of the table
// need.
func TestEmbeddedKeyrings(t *testing.T) {
	all, err := suites.New().All()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		k, err := (&Host{root: t.TempDir()}).Keyring(Repo{Keyrings: s.Keyrings})
		if err != nil || len(k.EntityList) == 0 {
			t.Errorf("%s: %v", s.Name, err)
		}
	}
}

// TestValidity: the options of the source, of the label, of the host, in this order.
func TestValidity(t *testing.T) {
	h := hostOf(t, nil,
		map[string]string{
			"etc/apt/apt.conf": `Acquire { Max-ValidTime 100; Max-ValidTime::Own "50"; Min-ValidTime 10; };`})
	date := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	no, yes, sec := false, true, 20*time.Second
	for _, test := range []struct {
		name    string
		options sourceOptions
		label   string
		until   time.Duration // 0: none
		age     time.Duration
		want    error
	}{
		{"no Valid-Until, young", sourceOptions{}, "", 0, 99 * time.Second, nil},
		{"no Valid-Until, old", sourceOptions{}, "", 0, 101 * time.Second, failure.ErrExpired},
		{"the label's", sourceOptions{}, "Own", 0, 60 * time.Second, failure.ErrExpired},
		{"the source's", sourceOptions{validMax: &sec}, "Own", 0, 30 * time.Second,
			failure.ErrExpired},
		{"at least", sourceOptions{}, "", time.Second, 9 * time.Second, nil},
		{"past", sourceOptions{}, "", 30 * time.Second, 31 * time.Second, failure.ErrExpired},
		{"not checked", sourceOptions{checkValidUntil: &no}, "", time.Second, time.Hour, nil},
		{"no clock", sourceOptions{checkDate: &no, checkValidUntil: &yes}, "", time.Second,
			time.Hour, nil},
		{"the future", sourceOptions{}, "", 0, -11 * time.Second, failure.ErrFuture},
		{"nearly", sourceOptions{}, "", 0, -9 * time.Second, nil},
		{"the future, no clock", sourceOptions{checkDate: &no}, "", 0, -time.Hour, nil},
	} {
		var until time.Time
		if test.until > 0 {
			until = date.Add(test.until)
		}
		if err := h.Validity(Repo{options: test.options}, test.label).Check(date, until,
			date.Add(test.age)); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func TestWarnings(t *testing.T) {
	h := hostOf(t, nil, map[string]string{
		"etc/apt/apt.conf":              "A {",
		"etc/apt/sources.list":          "nonsense\ndeb http://mirror.example/debian sid main\n",
		"etc/apt/apt.conf.d/99autodet":  `Acquire::http::Proxy-Auto-Detect "/usr/bin/find-proxy";`,
		"etc/apt/sources.list.d/x.list": "deb [",
	})
	if len(h.Warnings) != 4 || len(h.sources) != 1 {
		t.Errorf("%q %+v", h.Warnings, h.sources)
	}
}

// TestForJail has what the apt of a jail is told: what counts for fetching, the logins, and nothing
// that names files or programs of the host.
func TestForJail(t *testing.T) {
	h := hostOf(t, nil, map[string]string{
		"etc/apt/apt.conf.d/50": `Acquire::http::Proxy "http://proxy.example:3128";
Acquire::http::Proxy::local.example "DIRECT";
Acquire::Max-ValidTime::Own "86400"; Acquire::https::CaInfo "/etc/ssl/own.pem";
Acquire::https::odd.example::Verify-Peer "false"; Acquire::Languages "none";
Acquire::http::Proxy-Auto-Detect "/usr/bin/detect"; Dir::Cache "/c"; DPkg::Post-Invoke {"x";};
`,
		"etc/apt/auth.conf": "machine a.example/x login me password pw\nmachine open.example\n",
		"etc/apt/sources.list": "deb [check-valid-until=no] http://you:secret@b.example/d/ sid main\n" +
			"deb [check-valid-until=no] http://c.example/d sid main\n",
	})
	conf, auth := h.ForJail()
	const wantConf = `acquire::check-valid-until "false";
acquire::http::proxy "http://proxy.example:3128";
acquire::http::proxy::local.example "DIRECT";
acquire::https::odd.example::verify-peer "false";
acquire::max-validtime::own "86400";
`
	const wantAuth = "machine a.example/x login me password pw\n" +
		"machine http://b.example/d login you password secret\n"
	if conf != wantConf {
		t.Errorf("configuration:\n%s\nwant\n%s", conf, wantConf)
	}
	if auth != wantAuth {
		t.Errorf("logins:\n%s\nwant\n%s", auth, wantAuth)
	}
	h = hostOf(t, nil, map[string]string{"etc/apt/sources.list": "deb http://c.example/d sid main\n" +
		"deb [check-valid-until=no] http://b.example/d sid main\n"})
	if conf, auth := h.ForJail(); conf != "" || auth != "" {
		t.Errorf("where nothing is said: %q, %q", conf, auth)
	}
}
