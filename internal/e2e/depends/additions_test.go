package depends

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nsbuild/internal/e2e"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/testenv"
)

// needy is a source that needs what no suite has, and says at its build which version of it there
// is.
func needy(name, depends string) fakedebian.Source {
	s := e2e.Small(name)
	s.BuildDepends = depends
	s.Packages = s.Packages[:1]
	s.Rules = "#!/usr/bin/make -f\nclean build:\nbinary:\n\tdpkg-query -W " +
		"'*-fromelsewhere'\n\tls /opt/fromelsewhere\n" +
		"\tmkdir -p debian/made/DEBIAN\n\tdpkg-gencontrol -p" + name +
		" -Pdebian/made\n\tdpkg-deb --root-owner-group --build debian/made ..\n"
	return s
}

// TestExtraRepository takes build dependencies and a source from another repository: verified as
// all others are.
func TestExtraRepository(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	serve := func(keys ...*fakedebian.Key) string {
		a := fakedebian.New(t)
		s := a.Suite("elsewhere")
		s.Keys = keys
		for _, v := range []string{"1.0", "2.0"} {
			s.Add(fakedebian.Package{Name: "tool-fromelsewhere", Version: v,
				Files: []fakedebian.File{{Path: "opt/fromelsewhere/v" + v, Body: v}}})
		}
		s.AddSource(needy("othersource", "tool-fromelsewhere"))
		return fakedebian.Serve(t, fakedebian.Mounts{"debian": a.Tree()}).URL("debian")
	}
	key := fakedebian.KeyOf(t, fakedebian.KeyArchive)
	signed, unsigned := serve(key), serve()
	keyring := fakedebian.Keyring(t, fakedebian.KeyArchive)
	dsc := w.WriteSource(t, needy("needy", "tool-fromelsewhere"))
	paragraph := "Types: deb deb-src\nURIs: " + signed +
		"\nSuites: elsewhere\nComponents: main\nSigned-By:\n " + strings.ReplaceAll(
		strings.TrimSpace(strings.ReplaceAll(string(key.Armored(t)), "\n\n", "\n.\n")), "\n", "\n ")
	e2e.Check(t, os.WriteFile(filepath.Join(w.Dir, "more.sources"), []byte(paragraph+"\n"), 0o644))
	e2e.Check(t, os.WriteFile(filepath.Join(w.Dir, "own.gpg"), []byte(e2e.Read(t, keyring)), 0o644))
	// A directory of packages with what dpkg-scanpackages says of them, and nothing else.
	e2e.WritePackage(t, filepath.Join(w.Dir, "bare"), fakedebian.Package{Name: "tool-fromelsewhere",
		Version: "3.0",
		Files:   []fakedebian.File{{Path: "opt/fromelsewhere/v3.0"}}})
	scanned := "Package: tool-fromelsewhere\nVersion: 3.0\nArchitecture: all\nMaintainer: A B " +
		"<a@mirror.example>\n" +
		"Filename: ./tool-fromelsewhere_3.0_all.deb\n" + sizeAndDigest(t,
		filepath.Join(w.Dir, "bare", "tool-fromelsewhere_3.0_all.deb")) +
		"Description: x\n"
	e2e.Check(t, os.WriteFile(filepath.Join(w.Dir, "bare", "Packages"), []byte(scanned), 0o644))
	bare := "file:" + filepath.Join(w.Dir, "bare")
	for _, c := range []struct {
		name string
		args []string
		log  string
	}{
		{"bare", []string{"--extra-repository", "deb [trusted=yes] " + bare + " ./", dsc},
			`^tool-fromelsewhere\s+3\.0$`},
		{"bare, suite /", []string{"--no-layers", "--extra-repository", "deb [trusted=yes] " +
			bare + " /", dsc}, `^tool-fromelsewhere\s+3\.0$`},
		{"signed-by", []string{"--extra-repository", "deb [signed-by=" + keyring + "] " + signed +
			" elsewhere main", dsc}, `^tool-fromelsewhere\s+2\.0$`},
		{"key beside it", []string{"--extra-repository", "deb " + signed + " elsewhere main",
			"--extra-repository-key", keyring, dsc}, `^Extra repository \S+ elsewhere, signed by ` +
			key.Fingerprint() + `$`},
		{"key in this directory",
			[]string{"--extra-repository", "deb " + signed + " elsewhere main",
				"--extra-repository-key=own.gpg", dsc},
			`^Extra repository \S+ elsewhere, signed by ` + key.Fingerprint() + `$`},
		{"deb822", []string{"--extra-repository", paragraph, dsc}, `^tool-fromelsewhere\s+2\.0$`},
		{"trusted",
			[]string{"--extra-repository", "deb [trusted=yes] " + unsigned + " elsewhere main",
				dsc}, `^W: extra repository \S+ elsewhere is used without a signature \(\[trusted=yes\]\)$`},
		{"pin", []string{"--extra-repository", "more.sources",
			"--pin=tool-fromelsewhere version 1.0 1001", dsc}, `^tool-fromelsewhere\s+1\.0$`},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.Must(t, append([]string{"build", "-q", "-d", "bookworm"}, c.args...)...)
			e2e.WantIn(t, "log", e2e.Read(t, filepath.Join(w.Dir, "needy_1.0_amd64.build")), c.log)
		})
	}
	t.Run("source", func(t *testing.T) {
		if o := w.Must(t, "build", "-q", "-d", "bookworm", "--extra-repository=more.sources",
			"othersource"); !strings.Contains(o.Stdout, "othersource_1.0_amd64.deb") {
			t.Error(o)
		}
	})
	for _, c := range []struct {
		name string
		args []string
		want e2e.Refusal
	}{
		{"unknown key", []string{"deb " + signed + " elsewhere main"},
			e2e.Refusal{Status: 3,
				Says: []string{"extra repository", "signed with a key that is not known"},
				Hint: "--extra-repository-key"}},
		{"unsigned", []string{"deb " + unsigned + " elsewhere main"},
			e2e.Refusal{Status: 3, Says: []string{"extra repository", "there is no signature"},
				Hint: "[trusted=yes]"}},
		{"unreachable", []string{"deb [trusted=yes] http://127.0.0.1:9/debian elsewhere main"},
			e2e.Refusal{Status: 3, Says: []string{"extra repository", "the mirror cannot be reached"},
				Hint: "check the network"}},
		{"bare, not trusted", []string{"deb " + bare + " ./"},
			e2e.Refusal{Status: 3, Says: []string{"extra repository", "no Release file"},
				Hint: "[trusted=yes]"}},
		{"insecure", []string{"deb [allow-insecure=yes] " + bare + " ./"},
			e2e.Refusal{Status: 3, Says: []string{"allow-insecure=yes", "nobody is"},
				Hint: "[trusted=yes]"}},
		{"an option", []string{"deb [trusted=no] " + bare + " ./"},
			e2e.Refusal{Status: 64, Says: []string{"option trusted=no"}, Hint: "leave the option out"}},
		{"no such suite", []string{"deb [trusted=yes] " + signed + " nowhere main"},
			e2e.Refusal{Status: 3, Says: []string{"extra repository", "does not have this suite"},
				Hint: "check the suite's name"}},
		{"no such component", []string{"deb [trusted=yes] " + unsigned + " elsewhere main",
			"--components=main,universe"},
			e2e.Refusal{Status: 64, Says: []string{"--components", "no component universe"},
				Hint: "it has main"}},
		{"no such package", []string{"deb [trusted=yes] " + unsigned + " elsewhere main",
			"--add-depends=other-fromelsewhere"},
			e2e.Refusal{Status: 3, Says: []string{"Depends: other-fromelsewhere"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.want.Check(t,
				w.Run(t,
					append([]string{"build", "-q", "-d", "bookworm", dsc, "--extra-repository"},
						c.args...)...))
		})
	}
}

// sizeAndDigest are the fields of an index about a file.
func sizeAndDigest(t *testing.T, file string) string {
	t.Helper()
	data := e2e.Read(t, file)
	return fmt.Sprintf("Size: %d\nSHA256: %x\n", len(data), sha256.Sum256([]byte(data)))
}

// TestExtraPackages builds with packages that lie about, and notices when one of them changes.
func TestExtraPackages(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	dsc := w.WriteSource(t, needy("packed", "tool-fromelsewhere"))
	tool := fakedebian.Package{Name: "tool-fromelsewhere", Version: "1.0",
		Depends: "lib-fromelsewhere", Files: []fakedebian.File{{Path: "opt/fromelsewhere/first"}}}
	file := e2e.WritePackage(t, filepath.Join(w.Dir, "tool"), tool)
	e2e.WritePackage(t, filepath.Join(w.Dir, "libs"), fakedebian.Package{Name: "lib-fromelsewhere",
		Version: "1.0"})
	log := func(args ...string) string {
		w.Must(t,
			append([]string{"build", "-q", "-d", "bookworm", "--extra-package=libs",
				"--extra-package", file, dsc}, args...)...)
		return e2e.Read(t, filepath.Join(w.Dir, "packed_1.0_amd64.build"))
	}
	e2e.WantIn(t, "log", log(), "^first$",
		`^Extra package tool-fromelsewhere_1\.0_all, sha256 [0-9a-f]{64}$`)
	e2e.WantIn(t, "second log", log(), "^first$", "^Dependency layer .* has what is needed")
	tool.Files[0].Path = "opt/fromelsewhere/changed"
	e2e.WritePackage(t, filepath.Join(w.Dir, "tool"), tool)
	e2e.WantIn(t, "log of the changed package", log("--add-depends-arch=tool-fromelsewhere (>= 1.0)",
		"--include=hello", "--add-conflicts=no-such-package",
		"--add-conflicts-arch=no-other-package"), "^changed$", "^Setting up hello ",
		`^Filtered Build-Depends: tool-fromelsewhere, hello, tool-fromelsewhere \(>= 1\.0\), build-essential$`, "^Filtered Build-Conflicts: no-such-package, no-other-package$")
	e2e.Refusal{Status: 64, Says: []string{"--add-depends", `"foo (>="`,
		"relation to foo: the version is empty"}, Hint: "write it as in debian/control"}.Check(t,
		w.Run(t, "build", "--add-depends=foo (>=", dsc))
	e2e.Refusal{Status: 64, Says: []string{"extra package", "no .deb"},
		Hint: "give a .deb"}.Check(t,
		w.Run(t, "build", "--extra-package", dsc, dsc))
	e2e.Refusal{Status: 64, Says: []string{"--pin", "none of the words"},
		Hint: "apt_preferences(5)"}.Check(t, w.Run(t, "build", "--pin=foo 7", dsc))
}

// TestAddIndep adds relations that count for architecture-independent packages alone.
func TestAddIndep(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	dsc := w.WriteSource(t, e2e.Small("parted"))
	e2e.WritePackage(t, filepath.Join(w.Dir, "libs"), fakedebian.Package{Name: "lib-fromelsewhere",
		Version: "1.0"})
	for _, c := range []struct{ kind, log, depends string }{
		{"--no-arch-any", "parted_1.0_all.build", "lib-fromelsewhere, build-essential"},
		{"--no-arch-all", "parted_1.0_amd64.build", "build-essential"},
	} {
		w.Must(t, "build", "-q", "-d", "bookworm", c.kind, "--extra-package=libs",
			"--add-depends-indep=lib-fromelsewhere", "--add-conflicts-indep=no-such-package", dsc)
		log := e2e.Read(t, filepath.Join(w.Dir, c.log))
		e2e.WantIn(t, "log", log, "^Filtered Build-Depends: "+c.depends+"$")
		if got, want := strings.Contains(log, "Filtered Build-Conflicts: no-such-package\n"),
			c.kind == "--no-arch-any"; got != want {
			t.Errorf("%s: conflicts are counted: %t", c.kind, got)
		}
	}
}

// TestBuildComponents takes a build dependency from a component that is not used by itself.
func TestBuildComponents(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.RealWorld(t)
	testenv.HostState(t)
	dsc := w.WriteSource(t, e2e.Small("compound"))
	args := []string{"build", "-q", "-d", "bookworm", "--no-arch-all", "--add-depends=unrar", dsc}
	e2e.Refusal{Status: 3, Says: []string{"Depends: unrar but it is not installable"}}.Check(t,
		w.Run(t, args...))
	w.Must(t, append(args, "--components=main,non-free")...)
	e2e.WantIn(t, "log", e2e.Read(t, filepath.Join(w.Dir, "compound_1.0_amd64.build")),
		"^Setting up unrar ")
}

// TestChain builds sources that need each other's packages, and one whose middle fails.
func TestChain(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	first := e2e.Small("chain-first")
	middle := e2e.Small("chain-middle")
	middle.BuildDepends = "chain-first (>= 1.0), chain-first-data"
	last := e2e.Small("chain-last")
	last.BuildDepends = "chain-middle"
	var specs []string
	for _, s := range []fakedebian.Source{first, middle, last} {
		specs = append(specs, w.WriteSource(t, s))
	}
	o := w.Must(t, append([]string{"build", "-q", "-d", "bookworm", "--chain"}, specs...)...)
	if !strings.Contains(o.Stdout, "chain-last_1.0_amd64.deb") {
		t.Error(o)
	}
	middle.Rules = e2e.BadRules("\texit 1\n")
	w.WriteSource(t, middle)
	o = w.Run(t, append([]string{"build", "-q", "-d", "bookworm", "--chain"}, specs...)...)
	e2e.Refusal{Status: 2,
		Says: []string{
			"chain-middle_1.0.dsc (and so not chain-last_1.0.dsc): Build failure"}}.Check(t, o)
	if !strings.Contains(o.Stdout, "chain-first_1.0_amd64.deb") ||
		strings.Contains(o.Stdout, "chain-last") {
		t.Error(o)
	}
}
