package mirrors

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"nsbuild/internal/archive"
	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/archivetest"
	"nsbuild/internal/archive/index"
	"nsbuild/internal/archive/suites"
	"nsbuild/internal/e2e"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/lock"
	"nsbuild/internal/testenv"
)

// oldPackages fetches bullseye's essential packages and apt, with what they depend on: the oldest
// that the mirrors still have.
func oldPackages(t *testing.T, cache string) map[string]string {
	t.Helper()
	host, err := aptconf.ReadHost("/", nil)
	if err != nil {
		t.Fatal(err)
	}
	client, err := archive.NewClient(archive.Options{CacheDir: cache, Host: host})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	suite, err := suites.New().Lookup("bullseye")
	if err != nil {
		t.Fatal(err)
	}
	repos, err := host.Repos(suite, "", "")
	if err != nil {
		t.Fatal(err)
	}
	release, err := client.Release(t.Context(), repos[0])
	if err != nil {
		t.Fatal(err)
	}
	chosen := archivetest.WithDependencies(t, client, release,
		func(p *index.Package) bool { return p.Essential }, "apt", "mawk")
	files, err := client.Debs(t.Context(), chosen)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for p, file := range files {
		out[p.Package] = file
	}
	return out
}

// withoutMultiarch is a control file as dpkg knew it before wheezy.
func withoutMultiarch(control string) string {
	control = regexp.MustCompile(`(?m)^Multi-Arch:.*\n`).ReplaceAllString(control, "")
	return regexp.MustCompile(`:any\b`).ReplaceAllString(control, "")
}

// oldFormat is how an old release's archive was made.
type oldFormat struct {
	suite     string
	date      time.Time
	inRelease bool
	keys      []fakedebian.KeyKind
	hashes    []fakedebian.Hash
	indices   []fakedebian.Compression
	data      []fakedebian.Compression // of the packages, in turn
	multiarch bool
	warns     string
}

// TestOldSuites makes squeeze and wheezy, by their entries of the table, of archives in just their
// formats. Their packages are bullseye's, packed as theirs were.
func TestOldSuites(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	testenv.RequireUserns(t)
	testenv.RequireNetwork(t)
	testenv.RequireTool(t, "bzip2")
	debs := oldPackages(t, e2e.SharedCache())
	names := make([]string, 0, len(debs))
	for name := range debs {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, f := range []oldFormat{
		{
			suite: "squeeze", date: time.Date(2012, 3, 1, 0, 0, 0, 0, time.UTC),
			keys:    []fakedebian.KeyKind{fakedebian.KeyExpired, fakedebian.KeyWeakDSA},
			hashes:  []fakedebian.Hash{fakedebian.MD5, fakedebian.SHA1},
			indices: []fakedebian.Compression{fakedebian.Bzip, fakedebian.Gzip},
			data: []fakedebian.Compression{fakedebian.Fast, fakedebian.Fast, fakedebian.Bzip,
				fakedebian.Fast, fakedebian.None}, warns: "accepted because the suite is that old",
		},
		{
			suite: "wheezy", date: time.Date(2013, 5, 4, 0, 0, 0, 0, time.UTC), inRelease: true,
			keys:    []fakedebian.KeyKind{fakedebian.KeyExpired},
			hashes:  []fakedebian.Hash{fakedebian.MD5, fakedebian.SHA1, fakedebian.SHA256},
			indices: []fakedebian.Compression{fakedebian.Bzip, fakedebian.Gzip},
			data:    []fakedebian.Compression{fakedebian.Fast}, multiarch: true,
			warns: "accepted because the suite is that old",
		},
	} {
		t.Run(f.suite, func(t *testing.T) {
			w := e2e.NewWorld(t)
			testenv.HostState(t)
			mirror := filepath.Join(t.TempDir(), "debian")
			a := fakedebian.New(t)
			s := a.Suite(f.suite)
			s.Suite, s.Date, s.ValidUntil = f.suite, f.date, f.date.AddDate(0, 0, 7)
			s.InRelease, s.ByHash, s.Hashes, s.Compressions, s.Keys = f.inRelease, false, f.hashes,
				f.indices, nil
			for _, kind := range f.keys {
				s.Keys = append(s.Keys, fakedebian.KeyOf(t, kind))
			}
			for i, name := range names {
				r := fakedebian.Repack{ControlCompression: fakedebian.Gzip,
					DataCompression: f.data[i%len(f.data)], SlashNames: i%3 == 0}
				if !f.multiarch {
					r.Change = withoutMultiarch
				}
				s.AddRepacked("main", debs[name], r)
			}
			// As squeeze's does, it makes device nodes unless there is a devfs.
			s.Add(fakedebian.Package{
				Name: "makedev", Priority: "required", Essential: true,
				ControlCompression: fakedebian.Gzip, DataCompression: fakedebian.Gzip,
				Scripts: map[string]string{
					"postinst": "#!/bin/sh -e\ncd /dev\nif [ -c .devfsd ]; then exit 0; " +
						"fi\nmknod mem c 1 1\n"},
			})
			a.Tree().CopyTo(mirror)
			keyring := fakedebian.Keyring(t, fakedebian.KeyExpired, fakedebian.KeyWeakDSA)
			o := w.Must(t, "create", "--mirror", mirror, "--keyring", keyring,
				"--variant=essential", "--lock=old.lock", f.suite)
			for _, want := range []string{f.warns, "support ended", "vsyscall page"} {
				if strings.Count(o.Stderr, want) != 1 {
					t.Errorf("%q is not said just once:\n%s", want, o)
				}
			}
			check := "dpkg --audit && apt-get check && test ! -L /bin && dpkg-query -W | wc -l"
			o = w.Must(t, "run", f.suite, "--", "sh", "-ec", check)
			if lines := strings.Fields(o.Stdout); len(lines) == 0 || lines[len(lines)-1] < "60" {
				t.Errorf("%s", o)
			}
			if locked, err := lock.Read(filepath.Join(w.Dir, "old.lock")); err != nil ||
				len(locked.Repositories) == 0 || len(locked.Repositories[0].Packages) < len(names) {
				// with SHA-256, which squeeze's index has not
				t.Errorf("its lock: %+v, %v", locked, err)
			}
			if o := w.Must(t, "info", f.suite); !strings.Contains(o.Stdout, "no longer supported") {
				t.Error(o)
			}
			// Without the entry's concessions the same archive is refused.
			strict := "Suite: modern\nMirror: file:" + mirror + "\nKeyrings: " + keyring + "\n"
			if err := os.WriteFile(filepath.Join(w.Dir, "suites"), []byte(strict),
				0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(filepath.Join(mirror, "dists", f.suite),
				filepath.Join(mirror, "dists", "modern")); err != nil {
				t.Fatal(err)
			}
			w.Env = []string{"NSBUILD_SUITES=" + filepath.Join(w.Dir, "suites")}
			if o := w.Run(t, "create", "modern"); o.Status != 1 ||
				!strings.Contains(o.Stderr, "key") {
				t.Error(o)
			}
		})
	}
}
