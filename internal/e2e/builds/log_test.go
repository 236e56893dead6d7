package builds

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nsbuild/internal/buildlog"
	"nsbuild/internal/dsc"
	"nsbuild/internal/e2e"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/testenv"
)

// sbuildsLogs are what sbuild wrote about greet, which TestLogReaders builds, too.
var sbuildsLogs = []string{"sbuild-0.85.build", "sbuild-0.89.build"}

// TestLogReaders shows a log of ours and those that sbuild has written about a like package to the
// same readers: what they find has to be the same, wherever the build lets it.
func TestLogReaders(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	for _, tool := range []string{"blhc", "dpkg-deb"} {
		testenv.RequireTool(t, tool)
	}
	makefile := "greet: greet.o\n\tcc -Wl,-z,relro -o greet greet.o\ngreet.o: greet.c\n" +
		"\tcc -Wdate-time -D_FORTIFY_SOURCE=2 -g -O2 -ffile-prefix-map=$(CURDIR)=. " +
		"-fstack-protector-strong -Wformat -Werror=format-security -c -o greet.o greet.c\n" +
		"all: greet\nclean:\n\trm -f greet greet.o\ninstall:\n\tinstall -D greet " +
		"$(DESTDIR)/usr/bin/greet\n"
	source := w.WriteSource(t, fakedebian.Source{
		Name: "greet", Version: "1.0", BuildDepends: "debhelper-compat (= 13)",
		Fields: []fakedebian.Field{{Name: "Rules-Requires-Root", Value: "binary-targets"}},
		Files: []fakedebian.File{{Path: "Makefile", Body: makefile},
			{Path: "greet.c", Body: "int main(void) { return 0; }\n"}},
		Rules: "#!/usr/bin/make -f\n%:\n\tdh $@\noverride_dh_fixperms:\n\tdh_fixperms\n\tchgrp " +
			"staff debian/greet/usr/bin/greet\n",
		Debian: []fakedebian.File{
			{Path: "greet.postinst", Body: "#!/bin/sh -e\ntrue\n#DEBHELPER#\n"}},
	})
	w.Must(t, "build", "-q", "-d", "bookworm", source)
	name := filepath.Join(w.Dir, "greet_1.0_amd64.build")
	text := e2e.Read(t, name)
	ours := parsedLog(t, name)
	for _, file := range sbuildsLogs {
		file = filepath.Join(e2e.Tree, "internal", "buildlog", "testdata", file)
		sameLog(t, file, ours, parsedLog(t, file))
		// blhc as Debian's build daemons run it, and as people do.
		for _, args := range [][]string{{"--buildd"}, {"--debian", "--all"}} {
			if got, want := blhc(t, name, args...), blhc(t, file, args...); got != want {
				t.Errorf("blhc %s finds in our log\n%s\nand in %s\n%s", strings.Join(args, " "),
					got, file, want)
			}
		}
	}
	sameChanges(t, text, filepath.Join(w.Dir, "greet_1.0_amd64.changes"))
	for _, deb := range []string{"greet_1.0_amd64.deb", "greet-dbgsym_1.0_amd64.deb"} {
		sameContents(t, text, filepath.Join(w.Dir, deb))
	}
	if t.Failed() {
		t.Log(text)
	}
}

func parsedLog(t *testing.T, name string) *buildlog.Parsed {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p, err := buildlog.Read(f)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// sameLog compares the structure of two logs, and the values that the same build has.
func sameLog(t *testing.T, file string, ours, sbuilds *buildlog.Parsed) {
	t.Helper()
	titles := func(p *buildlog.Parsed) (all []string) {
		for _, s := range p.Sections {
			all = append(all, s.Title)
		}
		return all
	}
	if got, want := titles(ours), titles(sbuilds); !slices.Equal(got, want) {
		t.Errorf("sections: %q, in %s %q", got, file, want)
	}
	parts := func(p *buildlog.Parsed, title string) (all []string) {
		for _, s := range p.Sections {
			if s.Title != title {
				continue
			}
			for _, part := range s.Subsections {
				// sbuild 0.89 installs fakeroot within the build where it cannot ask dpkg, 0.85
				// with the dependencies, and we with these where it is wanted.
				if strings.Contains(part, "fakeroot") || title == "Build" &&
					part == "Setup apt archive" {
					continue
				}
				all = append(all, part)
			}
		}
		return all
	}
	for _, title := range []string{"Install package build dependencies", "Build", "Changes",
		"Package contents"} {
		got, want := parts(ours, title), parts(sbuilds, title)
		slices.Sort(got) // of packages: dpkg-genchanges decides
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("in section %s: %q, in %s %q", title, got, file, want)
		}
	}
	fields := func(all []buildlog.Field, without ...string) (names []string) {
		for _, f := range all {
			if !slices.Contains(without, f.Name) {
				names = append(names, f.Name)
			}
		}
		return names
	}
	if got, want := fields(ours.Header, "Isolation", "Scratch", "Base"),
		fields(sbuilds.Header); !slices.Equal(got, want) {
		t.Errorf("header: %q, in %s %q", got, file, want)
	}
	if got, want := fields(ours.Summary, "Isolation", "Scratch", "Base"),
		fields(sbuilds.Summary); !slices.Equal(got, want) {
		t.Errorf("summary: %q, in %s %q", got, file, want)
	}
	for _, name := range []string{"Package", "Version", "Distribution", "Machine Architecture",
		"Host Architecture", "Build Architecture", "Build Type", "Status"} {
		for _, of := range []func(*buildlog.Parsed) []buildlog.Field{
			func(p *buildlog.Parsed) []buildlog.Field { return p.Header },
			func(p *buildlog.Parsed) []buildlog.Field { return p.Summary }} {
			if got, want := buildlog.Get(of(ours), name),
				buildlog.Get(of(sbuilds), name); got != want {
				t.Errorf("%s: %q, in %s %q", name, got, file, want)
			}
		}
	}
	if ours.Title != sbuilds.Title || ours.Finished.IsZero() || ours.SpaceKiB <= 0 {
		t.Errorf("%+v", ours)
	}
}

// blhc is what blhc says, without the lines that it says it about.
func blhc(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command("blhc", append(args, name)...).CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	var kinds []string
	for line := range strings.Lines(string(out)) {
		kind, _, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
	}
	slices.Sort(kinds)
	return strings.Join(kinds, "\n")
}

// part is the text of a part of the log, up to the next section or part.
func part(t *testing.T, log, title string) string {
	t.Helper()
	_, rest, ok := strings.Cut(log, "\n"+title+"\n"+strings.Repeat("-", len(title))+"\n\n")
	if !ok {
		t.Fatalf("the log has no part %s", title)
	}
	return rest
}

// sameChanges reads the .changes out of the log, as those do who sign what build daemons have made.
func sameChanges(t *testing.T, log, file string) {
	t.Helper()
	text := e2e.Read(t, file)
	if got := part(t, log, filepath.Base(file)+":"); !strings.HasPrefix(got, text) {
		t.Errorf("the .changes is another in the log:\n%s", got[:min(len(got), 2*len(text))])
	}
	if _, err := dsc.ParseChanges(file, strings.NewReader(text), nil); err != nil {
		t.Error(err)
	}
}

// sameContents compares what the log says of a package with what dpkg-deb says, character by
// character.
func sameContents(t *testing.T, log, file string) {
	t.Helper()
	var want string
	for _, option := range []string{"--info", "--contents"} {
		c := exec.Command("dpkg-deb", option, file)
		c.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C.UTF-8")
		out, err := c.Output()
		if err != nil {
			t.Fatal(err)
		}
		want += string(out) + "\n"
	}
	if got := part(t, log, filepath.Base(file)); !strings.HasPrefix(got, want) {
		t.Errorf("%s is described as\n%s\nwhere dpkg-deb says\n%s", filepath.Base(file),
			got[:min(len(got), len(want)+200)], want)
	}
}

// TestLogPlaces puts the log elsewhere, and leaves none.
func TestLogPlaces(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	dsc := w.WriteSource(t, e2e.Small("placed"))
	e2e.Check(t, os.Mkdir(filepath.Join(w.Dir, "logs"), 0o755))
	o := w.Must(t, "build", "-q", "-d", "bookworm", "--nolog", dsc)
	if found, err := filepath.Glob(filepath.Join(w.Dir, "*.build")); err != nil || len(found) > 0 {
		t.Errorf("--nolog left %s, %v: %s", found, err, o)
	}
	w.Must(t, "build", "-q", "-d", "bookworm", "--log-dir=logs", dsc)
	link, err := os.Readlink(filepath.Join(w.Dir, "placed_1.0_amd64.build"))
	if err != nil || filepath.Dir(link) != filepath.Join(w.Dir, "logs") {
		t.Errorf("the link beside the results leads to %q: %v", link, err)
	}
	e2e.WantIn(t, "log", e2e.Read(t, link), "^Status: successful$")
}
