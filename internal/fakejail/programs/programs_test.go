package programs_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nsbuild/internal/apt"
	"nsbuild/internal/archive/archivetest"
	"nsbuild/internal/archive/pool"
	"nsbuild/internal/archive/release"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/fakejail"
	"nsbuild/internal/fakejail/programs"
	"nsbuild/internal/install"
	"nsbuild/internal/jails"
	"nsbuild/internal/sandbox"
)

// world is a jail over a small system, and the sources of its apt.
type world struct {
	jail    jails.Jail
	mirror  *archivetest.Mirror
	sources []apt.Source
}

func newWorld(t *testing.T, prepare func(*fakedebian.Suite),
	installed ...fakedebian.Package) world {
	t.Helper()
	mirror := archivetest.New(t, prepare)
	client := mirror.Client()
	r, err := client.Release(t.Context(), mirror.Repo)
	if err != nil {
		t.Fatal(err)
	}
	sources, err := install.Sources(t.Context(), client, []*release.File{r}, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	tree := t.TempDir()
	programs.WriteTree(t, tree, installed...)
	m := fakejail.New(t)
	new(programs.System).Install(m)
	h, err := m.Start(t.Context(), sandbox.HolderSpec{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, part := range []string{"lists", "debs", "copies"} {
		if err := os.MkdirAll(filepath.Join(mirror.Options.CacheDir, part), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	jail, err := h.NewJail(t.Context(), sandbox.Spec{
		Root:   sandbox.Root{Lowers: []sandbox.Lower{{Path: tree}}},
		Mounts: apt.Mounts(mirror.Options.CacheDir)})
	if err != nil {
		t.Fatal(err)
	}
	return world{jail, mirror, sources}
}

// TestApt asks the made-up apt what it wants, by the words of the one that nsbuild runs.
func TestApt(t *testing.T) {
	pkg := func(name, depends string, more func(*fakedebian.Package)) fakedebian.Package {
		p := fakedebian.Package{Name: name, Depends: depends}
		if more != nil {
			more(&p)
		}
		return p
	}
	prepare := func(s *fakedebian.Suite) {
		s.Add(pkg("tool", "libtool (>= 2) | none, data", nil), pkg("data", "", nil),
			pkg("libtool", "circle", func(p *fakedebian.Package) { p.Version = "2.1" }),
			pkg("libtool", "", func(p *fakedebian.Package) { p.Version = "1.0" }),
			pkg("circle", "libtool", nil), pkg("broken", "nosuch", nil),
			pkg("mail", "mta", nil),
			pkg("postfix", "", func(p *fakedebian.Package) { p.Provides = "mta (= 1)" }),
			pkg("installed", "", func(p *fakedebian.Package) { p.Version = "2:2~x" }))
	}
	w := newWorld(t, prepare, fakedebian.Package{Name: "installed", Version: "1"})
	a, err := apt.New(w.jail, w.mirror.Options.CacheDir, nil, w.sources)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		want string // names of files
	}{
		{"what is needed comes first", []string{"install", "tool"},
			"circle_1.0-1_all.deb libtool_2.1_all.deb data_1.0-1_all.deb tool_1.0-1_all.deb"},
		{"a version", []string{"install", "libtool=1.0"}, "libtool_1.0_all.deb"},
		{"what is provided", []string{"install", "mail"}, "postfix_1.0-1_all.deb mail_1.0-1_all.deb"},
		{"what is there", []string{"install", "installed"}, ""},
		{"news", []string{"dist-upgrade"}, "installed_2%3a2~x_all.deb"},
		{"nothing does it", []string{"install", "broken"}, "broken : Depends: nosuch"},
		{"no such package", []string{"install", "nosuch"}, "unable to locate package nosuch"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var said strings.Builder
			wanted, err := a.Wanted(t.Context(), &said, c.args...)
			var got []string
			for _, one := range wanted {
				got = append(got, one.Name)
			}
			if err != nil {
				if !errors.Is(err, apt.ErrUnresolved) || !strings.Contains(said.String(), c.want) {
					t.Errorf("%v: %s; want %q", err, said.String(), c.want)
				}
			} else if diff := cmp.Diff(c.want, strings.Join(got, " ")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestInstalled installs a package and what it needs, and finds them in dpkg's status.
func TestInstalled(t *testing.T) {
	for _, c := range []struct{ script, want string }{
		{"#!/bin/sh\nset -e\n", "tool 1.0-1 all"},
		{"#!/bin/sh\nexit 3\n", "script subprocess returned error exit status 3"},
	} {
		w := newWorld(t, func(s *fakedebian.Suite) {
			s.Add(fakedebian.Package{Name: "tool", Files: []fakedebian.File{{Path: "usr/bin/tool",
				Body: "#!", Mode: 0o755}}, Scripts: map[string]string{"postinst": c.script}})
		})
		a, err := apt.New(w.jail, w.mirror.Options.CacheDir, nil, w.sources)
		if err != nil {
			t.Fatal(err)
		}
		var said strings.Builder
		err = install.Command(t.Context(), w.mirror.Client(), a, &said, w.sources,
			pool.CopyOld, "install",
			"tool")
		if err != nil {
			if !strings.Contains(said.String(), c.want) {
				t.Errorf("%v: %s", err, said.String())
			}
			continue
		}
		packages, err := apt.Installed(w.jail)
		if err != nil {
			t.Fatal(err)
		}
		last := packages[len(packages)-1]
		if got := strings.Join([]string{last.Name, last.Version, last.Arch}, " "); got != c.want {
			t.Errorf("installed: %s, want %s", got, c.want)
		}
		f, err := w.jail.Open("/usr/bin/tool")
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
}
