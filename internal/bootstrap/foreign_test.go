package bootstrap

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"nsbuild/internal/apt"
	"nsbuild/internal/archive"
	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/archivetest"
	"nsbuild/internal/archive/index"
	"nsbuild/internal/archive/release"
	"nsbuild/internal/archive/suites"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/fault"
	"nsbuild/internal/testenv"
)

// partOfArchive serves what a small base of bookworm is made of, packed without compression, and
// names of a compiler. The host's programs would unpack most packages twice, and know all of the
// archive first: what is tested is what becomes of their work.
func partOfArchive(t *testing.T, w *world) (mirror, keyring string) {
	t.Helper()
	_, release := w.release(t, "bookworm")
	chosen := archivetest.WithDependencies(t, w.client, release, func(p *index.Package) bool {
		return p.Essential || p.Priority == "required"
	}, "apt", "mawk", "usr-is-merged")
	files, err := w.client.Debs(t.Context(), chosen)
	if err != nil {
		t.Fatal(err)
	}
	priority := regexp.MustCompile(`(?m)^Priority: .*`)
	a := fakedebian.New(t)
	s := a.Suite("bookworm")
	for _, p := range chosen {
		s.AddRepacked("main", files[p], fakedebian.Repack{
			ControlCompression: fakedebian.None, DataCompression: fakedebian.None,
			Change: func(control string) string { // which may say another than the archive
				return priority.ReplaceAllString(control, "Priority: "+p.Priority)
			}})
	}
	s.Add(fakedebian.Package{Name: "build-essential", Depends: "g++"},
		fakedebian.Package{Name: "g++"})
	return fakedebian.Serve(t, fakedebian.Mounts{"debian": a.Tree()}).URL("debian"),
		fakedebian.Keyring(t, fakedebian.KeyArchive)
}

// TestForeign has the host's programs make a base, in the jail and with whoever's rights.
func TestForeign(t *testing.T) {
	testenv.HostState(t)
	mirror, keyring := partOfArchive(t, newWorld(t))
	for name, variant := range map[string]string{
		Debootstrap: VariantMinbase, // which is slow, and takes its time for each package more
		Mmdebstrap:  VariantBuildd,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testenv.RequireTool(t, name)
			w := newWorld(t)
			suite, err := suites.New().Lookup("bookworm")
			if err != nil {
				t.Fatal(err)
			}
			repos, err := w.host.Repos(suite, mirror, "")
			if err != nil {
				t.Fatal(err)
			}
			repos[0].Keyrings = []string{keyring}
			release, err := w.client.Release(t.Context(), repos[0])
			if err != nil {
				t.Fatal(err)
			}
			tree, result := w.bootstrap(t, suite, release, func(o *Options) {
				o.Bootstrapper, o.Variant = name, variant
			})
			wanted := []string{"base-files", "apt"}
			if variant == VariantBuildd {
				wanted = append(wanted, "build-essential", "g++")
			}
			for _, want := range wanted {
				if !slices.ContainsFunc(result.Packages, func(p apt.Package) bool {
					return p.Name == want
				}) {
					t.Errorf("%s is not installed", want)
				}
			}
			work := &job{o: Options{Holder: w.holder, Tree: tree, CacheDir: w.cache}}
			jail, err := work.openJail(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			// What every base has, whoever made it.
			j := &job{o: Options{Log: t.Output()}}
			if err := j.command(t.Context(), jail, "sh", "-c",
				`set -x; test -z "$(dpkg --audit)" && id builder && test -s /etc/apt/sources.list && ! test -e /etc/machine-id && ! test -e /var/lib/apt/lists/lock`); err != nil {
				t.Error(err)
			}
			if _, err := jail.Close(); err != nil {
				t.Error(err)
			}
			if left, err := os.ReadDir(filepath.Dir(tree)); err != nil || len(left) != 1 {
				t.Errorf("beside the tree: %v, %v", left, err)
			}
		})
	}
}

// TestForeignNotInstalled asks for a program that no machine has: debootstrap and mmdebstrap may be
// there.
func TestForeignNotInstalled(t *testing.T) {
	_, err := (&job{o: Options{Bootstrapper: "nodebstrap"}}).foreign(t.Context())
	var f *fault.Error
	if !errors.As(err, &f) || !strings.Contains(f.Hint, "apt-get install nodebstrap") {
		t.Errorf("%v", err)
	}
}

// TestFallback asks for packages that have the same file, which one of them diverts: what only dpkg
// knows how to unpack.
func TestFallback(t *testing.T) {
	testenv.RequireRoot(t)
	testenv.RequireTool(t, "dpkg")
	testenv.HostState(t)
	w := newWorld(t)
	suite, release := w.release(t, "bookworm")
	tree, result := w.bootstrap(t, suite, release, func(o *Options) {
		o.Variant, o.Include = VariantEssential, []string{"molly-guard", "systemd-sysv"}
	})
	if !strings.Contains(result.Fallback, "molly-guard") {
		t.Errorf("fallback: %q", result.Fallback)
	}
	out, err := exec.Command("dpkg", "--root="+tree, "--audit").CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("dpkg --audit: %v\n%s", err, out)
	}
	diversions, err := os.ReadFile(filepath.Join(tree, "var/lib/dpkg/diversions"))
	if err != nil || !strings.Contains(string(diversions), "molly-guard") {
		t.Errorf("diversions: %v\n%s", err, diversions)
	}
}

// smallMirror serves a suite that is too small for a base, but has all that comes before its
// packages.
func smallMirror(t *testing.T, keys ...fakedebian.KeyKind) *fakedebian.Tree {
	t.Helper()
	a := fakedebian.New(t)
	s := a.Suite("bookworm")
	s.Keys = nil
	for _, kind := range keys {
		s.Keys = append(s.Keys, fakedebian.KeyOf(t, kind))
	}
	if len(keys) == 0 {
		s.Keys = []*fakedebian.Key{}
	}
	s.Add(fakedebian.Package{Name: "base-files", Priority: "required", Essential: true})
	return a.Tree()
}

// TestForeignVerifies: the host's programs verify what they fetch by the keys that nsbuild verified
// its Release file by, wherever these are kept, and by no others. All fail in the end, for the
// suite is too small: the error has the program's last lines, and nothing but the tree, which is
// the caller's, is left.
func TestForeignVerifies(t *testing.T) {
	testenv.HostState(t)
	const verified, unverified = "no such package", "no valid signature"
	says := map[string]map[string]*regexp.Regexp{
		Debootstrap: {verified: regexp.MustCompile("Couldn't find these debs"),
			unverified: regexp.MustCompile(
				"signed by unknown key|Failed getting release signature file")},
		Mmdebstrap: {verified: regexp.MustCompile("chroot /target dpkg --install"),
			unverified: regexp.MustCompile("not signed|NO_PUBKEY")},
	}
	for _, test := range []struct {
		name    string
		signed  []fakedebian.KeyKind
		trusted bool
		local   bool
		want    string
	}{
		{"the right key", []fakedebian.KeyKind{fakedebian.KeyRSA}, false, false, verified},
		{"the right key, in a directory", []fakedebian.KeyKind{fakedebian.KeyRSA}, false, true,
			verified},
		{"another key", []fakedebian.KeyKind{fakedebian.KeyOther}, false, false, unverified},
		{"unsigned", nil, false, false, unverified},
		{"unsigned and trusted", nil, true, false, verified},
	} {
		for _, name := range []string{Debootstrap, Mmdebstrap} {
			t.Run(test.name+", "+name, func(t *testing.T) {
				t.Parallel()
				testenv.RequireTool(t, name)
				w := newWorld(t)
				suite, err := suites.New().Lookup("bookworm")
				if err != nil {
					t.Fatal(err)
				}
				// nsbuild sees an archive that is as it should be; the program sees what became of
				// it since.
				good := smallMirror(t, fakedebian.KeyRSA)
				srv := fakedebian.Serve(t, fakedebian.Mounts{"debian": good})
				mirror := srv.URL("debian")
				if test.local {
					mirror = filepath.Join(t.TempDir(), "a mirror")
					good.CopyTo(mirror)
				}
				repos, err := w.host.Repos(suite, mirror, "")
				if err != nil {
					t.Fatal(err)
				}
				repos[0].Keyrings = []string{fakedebian.Keyring(t, fakedebian.KeyRSA)}
				if test.trusted {
					repos[0] = repos[0].WithoutVerification("a test")
				}
				rel, err := w.client.Release(t.Context(), repos[0])
				if err != nil {
					t.Fatal(err)
				}
				srv.Mount("debian", smallMirror(t, test.signed...))
				tree := filepath.Join(t.TempDir(), "tree")
				if err := w.holder.MakeRoot(t.Context(), tree); err != nil {
					t.Fatal(err)
				}
				_, err = Run(t.Context(), Options{
					Holder: w.holder, Tree: tree, Client: w.client, CacheDir: w.cache,
					Releases: []*release.File{rel}, Suite: suite, Arch: "amd64",
					Bootstrapper: name,
				})
				if err == nil || !says[name][test.want].MatchString(err.Error()) {
					t.Errorf("want %s: %v", test.want, err)
				}
				if err := w.holder.RemoveTree(t.Context(), tree); err != nil {
					t.Error(err)
				}
				left, err := os.ReadDir(filepath.Dir(tree))
				if err != nil || len(left) != 0 {
					t.Errorf("left: %v, %v", left, err)
				}
			})
		}
	}
}

// TestForeignCommand: the programs are told to verify even where the host lacks the suite's
// keyring, and refuse what they cannot do.
func TestForeignCommand(t *testing.T) {
	srv := fakedebian.Serve(t, fakedebian.Mounts{"debian": smallMirror(t, fakedebian.KeyArchive)})
	client, err := archive.NewClient(archive.Options{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, test := range []struct {
		name   string
		change func(*Options, *aptconf.Repo)
		want   string // in the command; or in the error, behind "!"
	}{
		{Debootstrap, func(*Options, *aptconf.Repo) {},
			"--force-check-gpg --keyring=/run/archive-keyring.gpg bookworm /target " +
				srv.URL("debian")},
		{Debootstrap, func(_ *Options, r *aptconf.Repo) { *r = r.WithoutVerification("a test") },
			"--no-check-gpg bookworm"},
		{Debootstrap, func(o *Options, _ *aptconf.Repo) { o.Variant = VariantStandard },
			"!no variant standard"},
		{Debootstrap, func(o *Options, _ *aptconf.Repo) {
			o.Include, o.Exclude = []string{"a", "b"},
				[]string{"c"}
		}, "--include=a,b --exclude=c bookworm"},
		{Mmdebstrap, func(*Options, *aptconf.Repo) {},
			"/target deb [signed-by=/run/archive-keyring.gpg] " + srv.URL("debian") +
				" bookworm main"},
		{Mmdebstrap, func(_ *Options, r *aptconf.Repo) { *r = r.WithoutVerification("a test") },
			"deb [trusted=yes] "},
		{Mmdebstrap, func(o *Options, _ *aptconf.Repo) {
			o.Variant, o.Include = VariantMinbase, []string{"ed"}
		}, "--variant=minbase --skip=check/empty --include=apt,ed bookworm"},
		{Mmdebstrap, func(o *Options, _ *aptconf.Repo) { o.Variant = VariantEssential },
			"--variant=apt --skip=check/empty bookworm"},
		{Mmdebstrap, func(o *Options, _ *aptconf.Repo) { o.Exclude = []string{"c"} },
			"!leaves no package out"},
	} {
		repo := aptconf.Repo{URI: srv.URL("debian"), Suite: "bookworm",
			Components: []string{"main"},
			Keyrings:   []string{fakedebian.Keyring(t, fakedebian.KeyArchive)}}
		o := Options{Arch: "amd64", Variant: VariantBuildd, Bootstrapper: test.name, Client: client}
		test.change(&o, &repo)
		rel, err := client.Release(t.Context(), repo)
		if err != nil {
			t.Fatal(err)
		}
		o.Releases = []*release.File{rel}
		argv, err := (&job{o: o}).foreignCommand(test.name)
		if want, bad := strings.CutPrefix(test.want, "!"); bad &&
			(fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), want)) ||
			!bad && (err != nil || !strings.Contains(strings.Join(argv, " "), want)) {
			t.Errorf("%s: %q, %v; want %q", test.name, argv, err, test.want)
		}
	}
}
