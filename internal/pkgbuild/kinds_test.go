package pkgbuild

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nsbuild/internal/fakedebian"
	"nsbuild/internal/fakejail"
)

// TestKinds builds one source in the ways that there are, and looks at what dpkg-buildpackage is
// told and what comes of it.
func TestKinds(t *testing.T) {
	w := newWorld(t)
	s := crane()
	s.Packages = []fakedebian.Package{{Name: "hello", Architecture: "any"},
		{Name: "hello-doc", Architecture: "all"}}
	s.Fields = []fakedebian.Field{{Name: "Testsuite", Value: "autopkgtest"}}
	spec := w.source(s)
	const entry = "hello (2.10-3.1) crane; urgency=low, binary-only=yes\n\n  * Own words.\n\n" +
		" -- A B <ab@mirror.example>  Wed, 01 May 2024 12:00:00 +0000\n"
	deb, doc, dsc := "hello_VERSION_ARCH.deb", "hello-doc_VERSION_all.deb", []string{
		"hello_2.10-3.dsc", "hello_2.10.orig.tar.gz", "hello_2.10-3.debian.tar.gz"}
	for _, c := range []struct {
		name    string
		with    func(*Request)
		command string // behind -us -uc
		version string
		suffix  string // of the .changes
		files   []string
		changes []string // what it says
		log     []string
		said    []string // to the user
	}{
		{name: "all", command: "-b", files: []string{deb, doc}},
		{name: "for the architecture", with: func(r *Request) { r.ArchAll = false },
			command: "-B", files: []string{deb}},
		{name: "for all architectures", with: func(r *Request) { r.ArchAny = false },
			command: "-A", files: []string{doc}, suffix: "all",
			changes: []string{"Architecture: all\n"}},
		{name: "with the source", with: func(r *Request) { r.Source = true }, command: "-F",
			files: append(slices.Clone(dsc), deb, doc)},
		{name: "the source alone", with: func(r *Request) {
			r.Source, r.ArchAny, r.ArchAll, r.SourceOpts = true, false, false, []string{"-Zxz"}
		}, command: "--source-option=-Zxz -S -d -nc", files: dsc, suffix: "source",
			changes: []string{"Architecture: source\n"}, log: []string{"Merged Build-Depends: \n"}},
		{name: "the source alone, cleaned", with: func(r *Request) {
			r.Source, r.ArchAny, r.ArchAll = true, false, false
			r.BuildOpts = []string{"--pre-clean"}
		}, command: "-S --pre-clean", files: dsc, suffix: "source",
			log: []string{"Merged Build-Depends: libcrane-dev"}},
		{name: "source and architecture", with: func(r *Request) {
			r.Source, r.ArchAll = true, false
		}, command: "-G", files: append(slices.Clone(dsc), deb)},
		{name: "source and all", with: func(r *Request) { r.Source, r.ArchAny = true, false },
			command: "-g", files: append(slices.Clone(dsc), doc), suffix: "all"},
		{name: "binNMU", with: func(r *Request) {
			r.BinNMU, r.BinNMUVersion, r.Maintainer = "Rebuild.\nAgain.", 2, "A B <ab@mirror.example>"
			r.BinNMUTimestamp, r.ArchAll = "1714564800", false
		}, command: "-mA B <ab@mirror.example> -B", version: "2.10-3+b2", files: []string{deb},
			changes: []string{"Source: hello (2.10-3)\n", "Version: 2.10-3+b2\n"},
			log:     []string{"Created changelog entry for binNMU version 2.10-3+b2"}},
		{name: "a whole entry", with: func(r *Request) {
			r.BinNMUChangelog, r.ArchAll = entry, false
		}, command: "-B", version: "2.10-3.1", files: []string{deb},
			changes: []string{"Version: 2.10-3.1\n"}},
		{name: "append", with: func(r *Request) {
			r.AppendToVersion, r.Maintainer = "~bpo12", "A B <ab@mirror.example>"
			r.ArchAll = false
		}, command: "-mA B <ab@mirror.example> -B", version: "2.10-3~bpo12",
			files: []string{deb}, said: []string{"Binary-Only", "dch --bpo"}},
		{name: "people", with: func(r *Request) {
			r.Maintainer, r.Uploader = "A B <ab@mirror.example>", "C <c@mirror.example>"
		}, command: "-mA B <ab@mirror.example> -eC <c@mirror.example> -b",
			files: []string{deb, doc}},
		{name: "options", with: func(r *Request) {
			r.BuildOpts, r.Options = []string{"--no-check-builddeps"}, []string{"nodoc"}
			r.Jobs, r.Profiles = 3, []string{"nodoc", "strange"}
		}, command: "-b --no-check-builddeps", files: []string{deb, doc},
			log: []string{"DEB_BUILD_OPTIONS=nodoc parallel=3",
				"DEB_BUILD_PROFILES=nodoc strange", "build profile strange: it " +
					"is not a registered one, and hello has nothing for it"}},
		{name: "without a suite", with: func(r *Request) { r.Suite, r.Base = "", suiteName },
			command: "-b", files: []string{deb, doc},
			changes: []string{"Distribution: unstable\n"}},
		{name: "wants root", with: func(r *Request) {
			r.BuildOpts = []string{"--rules-requires-root"}
		}, command: "-b --rules-requires-root", files: []string{deb, doc},
			log: []string{"Filtered Build-Depends: libcrane-dev, build-essential, fakeroot"}},
	} {
		w.in(c.name, func(t *testing.T) {
			b := w.must(spec, c.with)
			if c.version == "" {
				c.version = "2.10-3"
			}
			if c.suffix == "" {
				c.suffix = w.arch
			}
			ran := b.commands("dpkg-buildpackage")
			if want := "dpkg-buildpackage --sanitize-env -us -uc " + c.command; len(ran) != 1 ||
				ran[0] != want {
				t.Errorf("%q, want %q", ran, want)
			}
			stem := "hello_" + c.version + "_" + c.suffix
			var want []string
			for _, name := range append(slices.Clone(c.files), stem+".buildinfo",
				stem+".changes") {
				want = append(want,
					strings.NewReplacer("VERSION", c.version, "ARCH", w.arch).Replace(name))
			}
			if got := b.files(); !slices.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
			w.tells("the .changes", w.read(filepath.Join(b.dir, stem+".changes")), c.changes...)
			w.tells("the log", b.log, c.log...)
			w.tells("the user", strings.Join(b.said, "\n"), c.said...)
			if filepath.Base(b.LogPath) != filepath.Base(b.result.Log) ||
				!strings.HasPrefix(filepath.Base(b.LogPath), stem) {
				t.Errorf("the log is %s", b.LogPath)
			}
		})
	}
}

// TestSourceOnlyChanges has a build write a .changes for an upload of the source alone, too.
func TestSourceOnlyChanges(t *testing.T) {
	w := newWorld(t)
	spec := w.source(crane())
	with := func(r *Request) {
		r.SourceOnlyChanges, r.Maintainer = true, "A B <ab@mirror.example>"
		r.BuildOpts = []string{"--changes-option=-DX=y", "-sa"}
	}
	b := w.must(spec, with, func(r *Request) { r.Source = true })
	if !slices.Contains(b.files(), "hello_2.10-3_source.changes") {
		t.Errorf("%q", b.files())
	}
	w.tells("the source's .changes", w.read(filepath.Join(b.dir, "hello_2.10-3_source.changes")),
		"Architecture: source\n", "Distribution: crane\n")
	if ran := b.commands("dpkg-genchanges"); len(ran) != 1 ||
		ran[0] != "dpkg-genchanges --build=source -mA B <ab@mirror.example> -DX=y -sa" {
		t.Errorf("%q", ran)
	}
	for name, program := range map[string]fakejail.Program{
		"it fails":                  fakejail.Prints("dpkg-genchanges: error\n", 25),
		"it says what is no file":   fakejail.Prints("nothing\n", 0),
		"it lists what is not here": fakejail.Prints("Source: x\nVersion: 1\n", 0),
	} {
		w.in(name, func(t *testing.T) {
			w.replace("dpkg-genchanges", program)
			if b := w.build(spec, with); b.result.Outcome.FailStage != "source-only-changes" {
				t.Errorf("ends: %s (%v)", b.ends(), b.err)
			}
		})
	}
}

// TestCross builds for another architecture: which packages are wanted, and what the source is
// told.
func TestCross(t *testing.T) {
	host := "s390x"
	w := newWorld(t)
	w.suite.Architectures = append(w.suite.Architectures, host)
	for _, p := range []fakedebian.Package{
		{Name: "crossbuild-essential-" + host, Architecture: w.arch},
		{Name: "libc-dev", Architecture: host}, {Name: "libstdc++-dev", Architecture: host},
		{Name: "libcrane-dev", Architecture: host, Version: "1.0-1"},
	} {
		p.DataCompression, p.ControlCompression = quick, quick
		w.suite.Add(p)
	}
	w.publish()
	b := w.must(w.source(crane()), func(r *Request) { r.Host = host })
	if want := []string{"hello_2.10-3_s390x.deb", "hello_2.10-3_s390x.buildinfo",
		"hello_2.10-3_s390x.changes"}; !slices.Equal(b.files(), want) {
		t.Errorf("%q, want %q", b.files(), want)
	}
	w.tells("the log", b.log, "Host Architecture: s390x", "DEB_BUILD_PROFILES=cross nocheck",
		"DEB_BUILD_OPTIONS=nocheck parallel=", "CONFIG_SITE=/etc/dpkg-cross/cross-config.s390x",
		"Command: dpkg-buildpackage --sanitize-env -us -uc -as390x -b")
	w.tells("what was installed", fmt.Sprint(b.result.Inputs.Dependencies),
		"{libcrane-dev 1.0-1 s390x ", "{crossbuild-essential-s390x 1.0-1 "+w.arch)
	if c := b.commands("dpkg --add-architecture"); len(c) != 1 {
		t.Errorf("%q", c)
	}

	s := crane()
	s.BuildDependsIndep = "nosuch"
	b = w.build(w.source(s), func(r *Request) { r.Host = host })
	if b.ends() != "given-back, install-deps, given back" ||
		!strings.Contains(b.result.Outcome.Hint, "--no-arch-all") {
		t.Errorf("ends: %s; hint: %s", b.ends(), b.result.Outcome.Hint)
	}
	for name, with := range map[string]func(*Request){
		"no such architecture":    func(r *Request) { r.Host = "abacus" },
		"aptitude does not cross": func(r *Request) { r.Host, r.Resolver = host, "aptitude" },
	} {
		w.in(name, func(t *testing.T) {
			if b := w.build(w.source(crane()), with); b.ends() != "failed, usage" {
				t.Errorf("ends: %s (%v)", b.ends(), b.err)
			}
		})
	}
}
