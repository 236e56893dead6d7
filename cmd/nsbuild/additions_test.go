package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nsbuild/internal/fakedebian"
	"nsbuild/internal/testenv"
)

// needy is a source that needs what no suite has, and says at its build which version of it there
// is.
func needy(name, depends string) fakedebian.Source {
	s := small(name)
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
	w := realWorld(t)
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
	dsc := w.writeSource(t, needy("needy", "tool-fromelsewhere"))
	paragraph := "Types: deb deb-src\nURIs: " + signed +
		"\nSuites: elsewhere\nComponents: main\nSigned-By:\n " + strings.ReplaceAll(
		strings.TrimSpace(strings.ReplaceAll(string(key.Armored(t)), "\n\n", "\n.\n")), "\n", "\n ")
	check(t, os.WriteFile(filepath.Join(w.dir, "more.sources"), []byte(paragraph+"\n"), 0o644))
	check(t, os.WriteFile(filepath.Join(w.dir, "own.gpg"), []byte(read(t, keyring)), 0o644))
	// A directory of packages with what dpkg-scanpackages says of them, and nothing else.
	writePackage(t, filepath.Join(w.dir, "bare"), fakedebian.Package{Name: "tool-fromelsewhere",
		Version: "3.0",
		Files:   []fakedebian.File{{Path: "opt/fromelsewhere/v3.0"}}})
	scanned := "Package: tool-fromelsewhere\nVersion: 3.0\nArchitecture: all\nMaintainer: A B " +
		"<a@mirror.example>\n" +
		"Filename: ./tool-fromelsewhere_3.0_all.deb\n" + sizeAndDigest(t,
		filepath.Join(w.dir, "bare", "tool-fromelsewhere_3.0_all.deb")) +
		"Description: x\n"
	check(t, os.WriteFile(filepath.Join(w.dir, "bare", "Packages"), []byte(scanned), 0o644))
	bare := "file:" + filepath.Join(w.dir, "bare")
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
			w.must(t, append([]string{"build", "-q", "-d", "bookworm"}, c.args...)...)
			wantIn(t, "log", read(t, filepath.Join(w.dir, "needy_1.0_amd64.build")), c.log)
		})
	}
	t.Run("source", func(t *testing.T) {
		if o := w.must(t, "build", "-q", "-d", "bookworm", "--extra-repository=more.sources",
			"othersource"); !strings.Contains(o.stdout, "othersource_1.0_amd64.deb") {
			t.Error(o)
		}
	})
	for _, c := range []struct {
		name string
		args []string
		want refusal
	}{
		{"unknown key", []string{"deb " + signed + " elsewhere main"},
			refusal{status: 3,
				says: []string{"extra repository", "signed with a key that is not known"},
				hint: "--extra-repository-key"}},
		{"unsigned", []string{"deb " + unsigned + " elsewhere main"},
			refusal{status: 3, says: []string{"extra repository", "there is no signature"},
				hint: "[trusted=yes]"}},
		{"unreachable", []string{"deb [trusted=yes] http://127.0.0.1:9/debian elsewhere main"},
			refusal{status: 3, says: []string{"extra repository", "the mirror cannot be reached"},
				hint: "check the network"}},
		{"bare, not trusted", []string{"deb " + bare + " ./"},
			refusal{status: 3, says: []string{"extra repository", "no Release file"},
				hint: "[trusted=yes]"}},
		{"insecure", []string{"deb [allow-insecure=yes] " + bare + " ./"},
			refusal{status: 3, says: []string{"allow-insecure=yes", "nobody is"},
				hint: "[trusted=yes]"}},
		{"an option", []string{"deb [trusted=no] " + bare + " ./"},
			refusal{status: 2, says: []string{"option trusted=no"}, hint: "leave the option out"}},
		{"no such suite", []string{"deb [trusted=yes] " + signed + " nowhere main"},
			refusal{status: 3, says: []string{"extra repository", "does not have this suite"},
				hint: "check the suite's name"}},
		{"no such component", []string{"deb [trusted=yes] " + unsigned + " elsewhere main",
			"--components=main,universe"},
			refusal{status: 2, says: []string{"--components", "no component universe"},
				hint: "it has main"}},
		{"no such package", []string{"deb [trusted=yes] " + unsigned + " elsewhere main",
			"--add-depends=other-fromelsewhere"},
			refusal{status: 3, says: []string{"Depends: other-fromelsewhere"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.want.check(t,
				w.run(t,
					append([]string{"build", "-q", "-d", "bookworm", dsc, "--extra-repository"},
						c.args...)...))
		})
	}
}

// sizeAndDigest are the fields of an index about a file.
func sizeAndDigest(t *testing.T, file string) string {
	t.Helper()
	data := read(t, file)
	return fmt.Sprintf("Size: %d\nSHA256: %x\n", len(data), sha256.Sum256([]byte(data)))
}

// writePackage makes a .deb in a directory.
func writePackage(t *testing.T, dir string, p fakedebian.Package) string {
	t.Helper()
	check(t, os.MkdirAll(dir, 0o755))
	file := filepath.Join(dir, p.Name+"_"+p.Version+"_all.deb")
	check(t, os.WriteFile(file, p.Deb(t), 0o644))
	return file
}

// TestExtraPackages builds with packages that lie about, and notices when one of them changes.
func TestExtraPackages(t *testing.T) {
	w := realWorld(t)
	testenv.HostState(t)
	dsc := w.writeSource(t, needy("packed", "tool-fromelsewhere"))
	tool := fakedebian.Package{Name: "tool-fromelsewhere", Version: "1.0",
		Depends: "lib-fromelsewhere", Files: []fakedebian.File{{Path: "opt/fromelsewhere/first"}}}
	file := writePackage(t, filepath.Join(w.dir, "tool"), tool)
	writePackage(t, filepath.Join(w.dir, "libs"), fakedebian.Package{Name: "lib-fromelsewhere",
		Version: "1.0"})
	log := func(args ...string) string {
		w.must(t,
			append([]string{"build", "-q", "-d", "bookworm", "--extra-package=libs",
				"--extra-package", file, dsc}, args...)...)
		return read(t, filepath.Join(w.dir, "packed_1.0_amd64.build"))
	}
	wantIn(t, "log", log(), "^first$",
		`^Extra package tool-fromelsewhere_1\.0_all, sha256 [0-9a-f]{64}$`)
	wantIn(t, "second log", log(), "^first$", "^Dependency layer .* has what is needed")
	tool.Files[0].Path = "opt/fromelsewhere/changed"
	writePackage(t, filepath.Join(w.dir, "tool"), tool)
	wantIn(t, "log of the changed package", log("--add-depends-arch=tool-fromelsewhere (>= 1.0)",
		"--include=hello", "--add-conflicts=no-such-package",
		"--add-conflicts-arch=no-other-package"), "^changed$", "^Setting up hello ",
		`^Filtered Build-Depends: tool-fromelsewhere, hello, tool-fromelsewhere \(>= 1\.0\), build-essential$`, "^Filtered Build-Conflicts: no-such-package, no-other-package$")
	refusal{status: 2, says: []string{"--add-depends", `"foo (>="`,
		"relation to foo: the version is empty"}, hint: "write it as in debian/control"}.check(t,
		w.run(t, "build", "--add-depends=foo (>=", dsc))
	refusal{status: 2, says: []string{"extra package", "no .deb"}, hint: "give a .deb"}.check(t,
		w.run(t, "build", "--extra-package", dsc, dsc))
	refusal{status: 2, says: []string{"--pin", "none of the words"},
		hint: "apt_preferences(5)"}.check(t, w.run(t, "build", "--pin=foo 7", dsc))
}

// TestAddIndep adds relations that count for architecture-independent packages alone.
func TestAddIndep(t *testing.T) {
	w := realWorld(t)
	testenv.HostState(t)
	dsc := w.writeSource(t, small("parted"))
	writePackage(t, filepath.Join(w.dir, "libs"), fakedebian.Package{Name: "lib-fromelsewhere",
		Version: "1.0"})
	for _, c := range []struct{ kind, log, depends string }{
		{"--no-arch-any", "parted_1.0_all.build", "lib-fromelsewhere, build-essential"},
		{"--no-arch-all", "parted_1.0_amd64.build", "build-essential"},
	} {
		w.must(t, "build", "-q", "-d", "bookworm", c.kind, "--extra-package=libs",
			"--add-depends-indep=lib-fromelsewhere", "--add-conflicts-indep=no-such-package", dsc)
		log := read(t, filepath.Join(w.dir, c.log))
		wantIn(t, "log", log, "^Filtered Build-Depends: "+c.depends+"$")
		if got, want := strings.Contains(log, "Filtered Build-Conflicts: no-such-package\n"),
			c.kind == "--no-arch-any"; got != want {
			t.Errorf("%s: conflicts are counted: %t", c.kind, got)
		}
	}
}

// TestBuildComponents takes a build dependency from a component that is not used by itself.
func TestBuildComponents(t *testing.T) {
	w := realWorld(t)
	testenv.HostState(t)
	dsc := w.writeSource(t, small("compound"))
	args := []string{"build", "-q", "-d", "bookworm", "--no-arch-all", "--add-depends=unrar", dsc}
	refusal{status: 3, says: []string{"Depends: unrar but it is not installable"}}.check(t,
		w.run(t, args...))
	w.must(t, append(args, "--components=main,non-free")...)
	wantIn(t, "log", read(t, filepath.Join(w.dir, "compound_1.0_amd64.build")),
		"^Setting up unrar ")
}

// TestChain builds sources that need each other's packages, and one whose middle fails.
func TestChain(t *testing.T) {
	w := realWorld(t)
	testenv.HostState(t)
	first := small("chain-first")
	middle := small("chain-middle")
	middle.BuildDepends = "chain-first (>= 1.0), chain-first-data"
	last := small("chain-last")
	last.BuildDepends = "chain-middle"
	var specs []string
	for _, s := range []fakedebian.Source{first, middle, last} {
		specs = append(specs, w.writeSource(t, s))
	}
	o := w.must(t, append([]string{"build", "-q", "-d", "bookworm", "--chain"}, specs...)...)
	if !strings.Contains(o.stdout, "chain-last_1.0_amd64.deb") {
		t.Error(o)
	}
	middle.Rules = badRules("\texit 1\n")
	w.writeSource(t, middle)
	o = w.run(t, append([]string{"build", "-q", "-d", "bookworm", "--chain"}, specs...)...)
	refusal{status: 2,
		says: []string{
			"chain-middle_1.0.dsc (and so not chain-last_1.0.dsc): Build failure"}}.check(t, o)
	if !strings.Contains(o.stdout, "chain-first_1.0_amd64.deb") ||
		strings.Contains(o.stdout, "chain-last") {
		t.Error(o)
	}
}
