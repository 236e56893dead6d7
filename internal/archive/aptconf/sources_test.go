package aptconf

import (
	"cmp"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nsbuild/internal/archive/suites"
	"nsbuild/internal/testenv"
)

// sourceForm is a form of sources.list(5), and which InRelease files apt asks for because of it;
// none where apt takes none of it.
type sourceForm struct{ text, want string }

// lineForms were met in public, or are named in sources.list(5). What they mean, apt 2.6 was asked.
var lineForms = []sourceForm{
	{"deb http://m.example/debian bookworm main",
		"http://m.example/debian/dists/bookworm/InRelease"},
	{"deb\t [\tarch=amd64\t]\thttp://m.example/debian\tbookworm\tmain",
		"http://m.example/debian/dists/bookworm/InRelease"},
	{"deb [arch=amd64 ]http://m.example/debian x main",
		"http://m.example/debian/dists/x/InRelease"},
	{"deb http://m.example bookworm main contrib non-free",
		"http://m.example/dists/bookworm/InRelease"},
	{"deb http://m.example/debian/ bookworm/updates main # security",
		"http://m.example/debian/dists/bookworm/updates/InRelease"},
	{"deb [signed-by=/a#b.gpg] http://m.example/debian x main",
		"http://m.example/debian/dists/x/InRelease"},
	{"deb [trusted=yes] file:/repo ./", "file:/repo/./InRelease"},
	{"deb [trusted=yes] file:/repo /", "file:/repo/InRelease"},
	{"deb [trusted=yes] file:///repo/ ./", "file:/repo/./InRelease"},
	{"deb file:/repo sub/dir/", "file:/repo/sub/dir/InRelease"},
	{"deb copy:/repo ./ # mine", "copy:/repo/./InRelease"},
	{"deb http://m.example/$(ARCH) bookworm/$(ARCH)/",
		"http://m.example/amd64/bookworm/amd64/InRelease"},
	{`deb "http://m.example/a b" bookworm main`, "http://m.example/a b/dists/bookworm/InRelease"},
	{"deb http://m.example/a%20b bookworm main", "http://m.example/a b/dists/bookworm/InRelease"},
	{`deb http://m.example/debian "bookworm" main`,
		"http://m.example/debian/dists/bookworm/InRelease"},
	{"deb http://m.example/debian [bookworm] main",
		"http://m.example/debian/dists/[bookworm]/InRelease"},
	{"deb [inrelease-path=foo/InRelease] http://m.example/debian bookworm main",
		"http://m.example/debian/dists/bookworm/foo/InRelease"},
	{"deb [Signed-By=/x unknown=y lang=none pdiffs=no] http://m.example/debian x main",
		"http://m.example/debian/dists/x/InRelease"},
	{"deb [by-hash=force allow-insecure=yes allow-weak=no allow-downgrade-to-insecure=no] " +
		"http://m.example/d x main", "http://m.example/d/dists/x/InRelease"},
	{"deb [check-valid-until=no valid-until-min=1 valid-until-max=2 check-date=no " +
		"date-max-future=3] http://m.example/d x main", "http://m.example/d/dists/x/InRelease"},
	{"deb [arch=amd64,i386 signed-by=/usr/share/keyrings/a.gpg,/b.asc] " +
		"https://m.example/linux/ubuntu jammy stable",
		"https://m.example/linux/ubuntu/dists/jammy/InRelease"},
	{"deb [arch+=armhf arch-=i386] http://m.example/d x main",
		"http://m.example/d/dists/x/InRelease"},
	{"deb https://user:pass@m.example/d x main", "https://user:pass@m.example/d/dists/x/InRelease"},
	{"deb http://[2001:db8::1]:3142/debian x main",
		"http://[2001:db8::1]:3142/debian/dists/x/InRelease"},
	{"deb tor+http://m.onion/debian x main", "tor+http://m.onion/debian/dists/x/InRelease"},
	{"deb mirror+file:/etc/apt/mirrors.txt x main",
		"mirror+file:/etc/apt/mirrors.txt/dists/x/InRelease"},
	{"deb mirror+file:///etc/apt/mirrors/debian.list x main",
		"mirror+file:/etc/apt/mirrors/debian.list/dists/x/InRelease"},
	{"deb [ arch=amd64,arm64 signed-by=/usr/share/keyrings/s-7.0.gpg ] " +
		"https://m.example/apt/ubuntu jammy/org/7.0 multiverse",
		"https://m.example/apt/ubuntu/dists/jammy/org/7.0/InRelease"},
	{"deb [by-hash=force trusted=yes] http://m.example/snipe/ develop main",
		"http://m.example/snipe/dists/develop/InRelease"},
	{"deb [by-hash=no] http://m.example/compute/ubuntu2004/x86_64 /",
		"http://m.example/compute/ubuntu2004/x86_64/InRelease"},
	{"deb [allow-insecure=yes trusted=yes] https://m.example/debian stable main",
		"https://m.example/debian/dists/stable/InRelease"},
	{"deb [allow-insecure=yes arch=amd64,all] http://192.0.2.7/lenvdi lenvdi main",
		"http://192.0.2.7/lenvdi/dists/lenvdi/InRelease"},
	{"deb http://m.example/ubuntu noble main restricted # https://wiki",
		"http://m.example/ubuntu/dists/noble/InRelease"},
	{"deb     http://m.example/debian/   stable   main   contrib",
		"http://m.example/debian/dists/stable/InRelease"},
	{"deb http://m.example/debian-security stable/updates main",
		"http://m.example/debian-security/dists/stable/updates/InRelease"},
	{"deb-src http://m.example/debian x main", "http://m.example/debian/dists/x/InRelease"},
	{"deb file:/repo ./ main", ""},
	{"deb file:/repo bookworm", ""},
	{"deb /repo ./", ""},
	{"deb [foo] http://m.example/debian x main", ""},
	{"deb [ =x ] http://m.example/debian x main", ""},
	{"deb [arch=] http://m.example/debian x main", ""},
	{"deb [arch=amd64] [trusted=yes] http://m.example/debian x main", ""},
	{"deb [arch=amd64 http://m.example/debian x main", ""},
	{"deb http://m.example/debian", ""},
	{"DEB http://m.example/debian x main", ""},
	{"rpm http://m.example/debian x main", ""},
	{"#deb http://m.example/debian x main", ""},
	{`deb "http://m.example/debian x main`, ""},
}

// paragraphForms are those of the deb822 style.
var paragraphForms = []sourceForm{
	{"Types: deb\nURIs: http://m.example/d\nSuites: x\nComponents: main\n",
		"http://m.example/d/dists/x/InRelease"},
	{"types: deb\nuris: http://m.example/d\nsuites: x\ncomponents: main\n",
		"http://m.example/d/dists/x/InRelease"},
	{"Types: deb\r\nURIs: http://m.example/d\r\nSuites: x\r\nComponents: main\r\n",
		"http://m.example/d/dists/x/InRelease"},
	{"\n\n# why\n\nTypes: deb\nURIs: http://m.example/d\n# not\nSuites: x\nComponents: main\n",
		"http://m.example/d/dists/x/InRelease"},
	{"Types: deb\nURIs: http://m.example/d http://n.example/d\nSuites: x y\nComponents: main\n",
		"http://m.example/d/dists/x/InRelease http://m.example/d/dists/y/InRelease " +
			"http://n.example/d/dists/x/InRelease http://n.example/d/dists/y/InRelease"},
	{"Types: deb\nURIs: http://m.example/d\nSuites:\n x\n y\nComponents:\n main\n",
		"http://m.example/d/dists/x/InRelease http://m.example/d/dists/y/InRelease"},
	{"Types: deb\nURIs: file:/repo\nSuites: ./\nTrusted: yes\n", "file:/repo/./InRelease"},
	{"Types: deb\nURIs: file:/repo\nSuites: /\nTrusted: yes\n", "file:/repo/InRelease"},
	{"Types: deb\nURIs: http://m.example/$(ARCH)\nSuites: x-$(ARCH)/\n",
		"http://m.example/amd64/x-amd64/InRelease"},
	{"X-Repolib-Name: A\nEnabled: yes\nTypes: deb\nURIs: http://m.example/d\nSuites: " +
		"x\nComponents: main\nArchitectures: amd64, i386\nX-Y: z\n",
		"http://m.example/d/dists/x/InRelease"},
	{"Enabled: nein\nTypes: deb\nURIs: http://m.example/d\nSuites: x\nComponents: main\n",
		"http://m.example/d/dists/x/InRelease"},
	{"Types: deb\nURIs: http://m.example/d\nSuites: x\nComponents: main\nSigned-By: \n",
		"http://m.example/d/dists/x/InRelease"},
	{"Types: deb\nURIs: http://m.example/d\nSuites: x\nSuites: y\nComponents: main\n",
		"http://m.example/d/dists/y/InRelease"},
	{"Types: deb\nURIs: http://m.example/d\nSuites: x, y\nComponents: main\n",
		"http://m.example/d/dists/x,/InRelease http://m.example/d/dists/y/InRelease"},
	{"Types: deb deb-src\nURIs: http://m.example/d\nSuites: x\n x-updates " +
		"x-backports\nComponents: main contrib non-free-firmware\nSigned-By: " +
		"/usr/share/keyrings/a.gpg\n",
		"http://m.example/d/dists/x/InRelease http://m.example/d/dists/x-updates/InRelease " +
			"http://m.example/d/dists/x-backports/InRelease"},
	{"X-Repolib-Name: M\nTypes: deb\n# URIs: https://n.example\nURIs: https://m.example\nSuites: " +
		"jammy\nComponents: main main/debug\n", "https://m.example/dists/jammy/InRelease"},
	{"Types: deb\nURIs: https://m.example/\nSuites: pika\nComponents: canary\nAllow-Insecure: " +
		"yes\nAllow-Weak: yes\nAllow-Downgrade-To-Insecure: yes\nTrusted: yes\n",
		"https://m.example/dists/pika/InRelease"},
	{"Types: deb-src\nURIs: http://m.example/d\nSuites: x\nComponents: main\n",
		"http://m.example/d/dists/x/InRelease"},
	{"Enabled: 0\nTypes: deb\nURIs: http://m.example/d\nSuites: x\nComponents: main\n", ""},
	{"Enabled: no\nTypes: deb\nURIs: http://m.example/d\nSuites: x\nComponents: main\n", ""},
	{"Types: deb\nURIs: file:/repo\nSuites: ./\nComponents: main\n", ""},
	{"Types: deb\nURIs: file:/repo\nSuites: x\n", ""},
	{"Types: deb\nURIs: http://m.example/d\nSuites: x y/\nComponents: main\n", ""},
	{"Types: rpm\nURIs: http://m.example/d\nSuites: x\nComponents: main\n", ""},
	{"Types: deb\nURI: http://m.example/d\nSuite: x\nComponents: main\n", ""},
	{"Types: deb\nURIs: http://m.example/d\nSuites: x\nComponents: main\nBad line\n", ""},
	{"deb http://m.example/d x main\n", ""},
	{"# nothing\n", ""},
}

// asked are the InRelease files of what was read, as apt writes their URIs.
func asked(found []source) string {
	var out []string
	for _, s := range found {
		uri := strings.ReplaceAll(strings.TrimRight(s.uri, "/"), "%20", " ")
		uri = strings.Replace(uri, "file:///", "file:/", 1)
		r := Repo{URI: uri, Suite: s.suite}
		if one := r.AptDist() + cmp.Or(s.options.inRelease, "InRelease"); !slices.Contains(out,
			one) {
			out = append(out, one)
		}
	}
	return strings.Join(out, " ")
}

// TestSourceForms reads each form as apt does.
func TestSourceForms(t *testing.T) {
	for _, f := range lineForms {
		// what is wrong shows by what is missing
		found, _ := parseOneLine(f.text+"\n", "x.list", "amd64")
		if got := asked(found); got != f.want {
			t.Errorf("%q: %q, want %q", f.text, got, f.want)
		}
	}
	for _, f := range paragraphForms {
		found, _ := parseSources(f.text, "x.sources", "amd64")
		if got := asked(found); got != f.want {
			t.Errorf("%q: %q, want %q", f.text, got, f.want)
		}
	}
}

// TestSourceFormsOfApt asks the apt of this host about the same forms.
func TestSourceFormsOfApt(t *testing.T) {
	testenv.RequireTool(t, "apt-get")
	for ext, forms := range map[string][]sourceForm{"list": lineForms, "sources": paragraphForms} {
		for _, f := range forms {
			root := hostRoot(t, map[string]string{
				"etc/apt/sources.list.d/x." + ext: f.text + "\n", "status": "",
				"var/lib/apt/lists/partial/.k": "", "var/cache/apt/archives/partial/.k": "",
			})
			cmd := exec.CommandContext(t.Context(), "apt-get", "-o", "Dir="+root, "-o",
				"Dir::State::status="+filepath.Join(root, "status"),
				"-o", "APT::Architecture=amd64", "-o", "APT::Architectures::=amd64", "update",
				"--print-uris")
			cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8",
				"APT_CONFIG=" + filepath.Join(root, "status")}
			out, err := cmd.CombinedOutput()
			var got []string
			for line := range strings.Lines(string(out)) {
				uri, _, ok := strings.Cut(strings.TrimPrefix(line, "'"), "' ")
				if ok && strings.HasSuffix(uri, "InRelease") && !slices.Contains(got, uri) {
					got = append(got, uri)
				}
			}
			if strings.Contains(string(out), "The method driver") { // apt-transport-tor, say
				continue
			}
			want := strings.Fields(strings.ReplaceAll(f.want, "/a b/", "/a%20b/"))
			slices.Sort(want)
			slices.Sort(got)
			if s := strings.ReplaceAll(strings.Join(got, " "), "/a b/",
				"/a%20b/"); s != strings.Join(want, " ") {
				t.Errorf("%q: apt asks for %q (%v), the table says %q\n%s", f.text, s, err, f.want,
					out)
			}
		}
	}
}

// TestSourceOptions: which architectures a repository is for, and what cannot be had is refused.
func TestSourceOptions(t *testing.T) {
	for options, want := range map[string]string{
		"": "amd64 i386", "arch=amd64": "amd64", "arch=i386,armhf": "i386", "arch-=i386": "amd64",
		"arch+=armhf":   "amd64 i386",
		"trusted=maybe": "amd64 i386", "lang=none": "amd64 i386", "target=Packages": "amd64 i386",
		"snapshot=no": "amd64 i386",
		"trusted=no":  "refused", "target=Contents-deb": "refused", "target-=Packages": "refused",
		"include=a": "refused",
		"exclude=a": "refused", "snapshot=20250101T000000Z": "refused",
	} {
		line := "deb [" + options + "] http://m.example/d x main"
		if options == "" {
			line = "deb http://m.example/d x main"
		}
		repos, err := (&Host{}).ExtraRepos(line, "amd64", nil)
		var got []string
		for _, r := range repos {
			for _, arch := range []string{"amd64", "i386"} {
				if r.Serves(arch) {
					got = append(got, arch)
				}
			}
		}
		if err != nil {
			got = []string{"refused"}
			if !strings.Contains(err.Error(), strings.TrimRight(strings.SplitN(options, "=", 2)[0],
				"-")) {
				t.Errorf("%s: %v", options, err)
			}
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%q: %q, want %q (%v)", options, s, want, err)
		}
	}
}

// TestHostMethods: what this host's apt has and nsbuild cannot read is named, when another mirror
// is taken in its place; a list of mirrors is read.
func TestHostMethods(t *testing.T) {
	suite, err := suites.New().Lookup("bookworm")
	if err != nil {
		t.Fatal(err)
	}
	mirrors := "# a list\n\nhttp://slow.example/debian priority:9\nftp://old.example/debian priority:1\n" +
		"http://arm.example/debian priority:1 " +
		"arch:armel\nhttp://index.example/debian\tpriority:2\ttype:index\n" +
		"http://first.example/debian/\tpriority:3\tarch:amd64\tarch:i386\n\thttp://last.example/debian\n"
	for _, tt := range []struct{ name, list, uri, note string }{
		{"a list of mirrors", "deb mirror+file:/etc/apt/mirrors.txt bookworm main\ndeb " +
			"mirror+file:/etc/apt/mirrors.txt bookworm-updates main\n",
			"http://first.example/debian", ""},
		{"as in cloud images", "deb mirror+file:///etc/apt/mirrors.txt bookworm main\n",
			"http://first.example/debian", ""},
		{"a list that is not there", "deb mirror+file:/etc/apt/none.txt bookworm main\n",
			"http://ftp.debian.org/debian", "none.txt: no such file"},
		{"a list of nothing", "deb mirror+file:/etc/apt/empty.txt bookworm main\n",
			"http://ftp.debian.org/debian", "it lists no mirror that can be used"},
		{"by http", "deb mirror+http://m.example/list.txt bookworm main\n",
			"http://ftp.debian.org/debian",
			"mirror+http://m.example/list.txt: the method mirror+http"},
		{"mirror:", "deb mirror://m.example/list.txt bookworm main\n",
			"http://ftp.debian.org/debian", "the method mirror is"},
		{"a disc", "deb cdrom:[Debian GNU/Linux 12.0.0 _Bookworm_ - DVD 1]/ bookworm main\n",
			"http://ftp.debian.org/debian", "the method cdrom is"},
		{"tor", "deb tor+https://m.onion/debian bookworm main\n", "http://ftp.debian.org/debian",
			"the method tor+https is"},
		{"not trusted", "deb [trusted=no] http://m.example/debian bookworm main\n",
			"http://ftp.debian.org/debian", "option trusted=no: apt installs nothing"},
		{"a disc and a mirror",
			"deb cdrom:[D]/ bookworm main\ndeb http://m.debian.org/debian bookworm main\n",
			"http://m.debian.org/debian", ""},
		{"a vendor's", "deb tor+https://m.onion/x ./\n", "http://ftp.debian.org/debian", ""},
	} {
		h := hostOf(t, nil, map[string]string{"etc/apt/sources.list": tt.list,
			"etc/apt/mirrors.txt": mirrors, "etc/apt/empty.txt": "ftp://old.example/debian\n",
			"etc/apt/apt.conf": "APT::Architecture \"amd64\";"})
		repos, err := h.Repos(suite, "", "")
		if err != nil {
			t.Fatal(err)
		}
		if got := repos[0].URI; got != tt.uri {
			t.Errorf("%s: %s", tt.name, got)
		}
		if note := repos[0].note; !strings.Contains(note, tt.note) || tt.note == "" && note != "" {
			t.Errorf("%s: said: %q", tt.name, note)
		}
		if absent := strings.Contains(tt.list, "none.txt") ||
			strings.Contains(tt.list, "empty.txt"); absent != (len(h.Warnings) > 0) {
			t.Errorf("%s: %q", tt.name, h.Warnings)
		}
	}
	root := hostRoot(t, map[string]string{"m.txt": "http://m.example/d\n"})
	if uri, err := mirrorURI("mirror+file:" + root + "/m.txt"); uri != "http://m.example/d" {
		t.Error(uri, err)
	}
	if _, err := mirrorURI("mirror+file:" + root + "/none"); err == nil {
		t.Error("a list that is not there was read")
	}
}

// TestUpdatesAreNotTrusted: [trusted=yes] counts for the very suite it was given for.
func TestUpdatesAreNotTrusted(t *testing.T) {
	suite, err := suites.New().Lookup("bookworm")
	if err != nil {
		t.Fatal(err)
	}
	const main = "deb [trusted=yes] http://m.debian.org/debian bookworm main\n"
	for list, want := range map[string]string{
		main: "true false false",
		main +
			"deb http://m.debian.org/debian bookworm-updates main\n": "true false false",
		main +
			"deb [trusted=yes] http://m.debian.org/debian/ bookworm-updates main\n": "true true false",
		main +
			"deb [trusted=yes] http://other.debian.org/debian bookworm-updates main\n": "true false false",
		"deb http://m.debian.org/debian bookworm main\ndeb [trusted=yes] " +
			"http://m.debian.org/debian bookworm-updates main\n": "false true false",
		"deb [trusted=yes] http://m.debian.org/debian trixie main\n": "false false false",
	} {
		h := hostOf(t, nil, map[string]string{"etc/apt/sources.list": list})
		repos, err := h.Repos(suite, "", "")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range repos {
			got = append(got, fmt.Sprint(r.Trusted))
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%q: %s, want %s", list, s, want)
		}
	}
}

// TestArchitectureOfSource: Ubuntu's hosts have some architectures at another mirror.
func TestArchitectureOfSource(t *testing.T) {
	suite, err := suites.New().Lookup("noble")
	if err != nil {
		t.Fatal(err)
	}
	const archive = "deb [arch=amd64,i386] http://archive.ubuntu.com/ubuntu noble main universe\n"
	const ports = "deb [arch=arm64 signed-by=/usr/share/keyrings/ubuntu-archive-keyring.gpg] " +
		"http://ports.ubuntu.com/ubuntu-ports noble main universe\n"
	for _, tt := range []struct{ list, arch, want string }{
		{archive + ports, "amd64", "http://archive.ubuntu.com/ubuntu"},
		{archive + ports, "arm64", "http://ports.ubuntu.com/ubuntu-ports"},
		{ports + archive, "i386", "http://archive.ubuntu.com/ubuntu"},
		// what the host needs says little of what there is
		{archive, "arm64", "http://archive.ubuntu.com/ubuntu"},
		{"deb [arch-=arm64] http://one.ubuntu.com/ubuntu noble main\ndeb http://two.ubuntu.com/x " +
			"noble main\n", "arm64", "http://two.ubuntu.com/x"},
	} {
		h := hostOf(t, nil, map[string]string{"etc/apt/sources.list": tt.list})
		repos, err := h.Repos(suite, "", tt.arch)
		if err != nil {
			t.Fatal(err)
		}
		if got := repos[0].URI; got != tt.want {
			t.Errorf("%q for %s: %s, want %s", tt.list, tt.arch, got, tt.want)
		}
	}
}
