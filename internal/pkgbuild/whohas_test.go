package pkgbuild

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nsbuild/internal/archive/index"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/fakejail"
)

// TestFinder holds which packages are named for what is missing, out of a list of files.
func TestFinder(t *testing.T) {
	files := []index.Owner{
		{Path: "usr/include/zlib.h", Packages: []string{"zlib1g-dev"}},
		{Path: "usr/include/klibc/zlib.h", Packages: []string{"libklibc-dev"}},
		{Path: "usr/include/x86_64-linux-gnu/curl/curl.h",
			Packages: []string{"libcurl4-openssl-dev", "libcurl4-gnutls-dev"}},
		{Path: "usr/share/doc/zlib.h", Packages: []string{"zlib-doc"}},
		{Path: "usr/lib/x86_64-linux-gnu/pkgconfig/zlib.pc", Packages: []string{"zlib1g-dev"}},
		{Path: "usr/lib/x86_64-linux-gnu/cmake/fmt/fmt-config.cmake",
			Packages: []string{"libfmt-dev"}},
		{Path: "usr/lib/python3/dist-packages/yaml/__init__.py",
			Packages: []string{"python3-yaml"}},
		{Path: "usr/lib/python3/dist-packages/yaml/nodes.py", Packages: []string{"python3-yaml"}},
		{Path: "usr/lib/python3/dist-packages/ruamel/yaml/__init__.py",
			Packages: []string{"python3-ruamel.yaml"}},
		{Path: "usr/lib/x86_64-linux-gnu/perl5/5.36/JSON/XS.pm",
			Packages: []string{"libjson-xs-perl"}},
		{Path: "usr/share/perl5/Cpanel/JSON/XS.pm", Packages: []string{"libcpanel-perl"}},
		{Path: "usr/bin/xsltproc", Packages: []string{"xsltproc"}},
		{Path: "usr/share/bash-completion/xsltproc", Packages: []string{"bash-completion"}},
		{Path: "usr/lib/x86_64-linux-gnu/libzstd.so", Packages: []string{"libzstd-dev"}},
		{Path: "usr/lib/x86_64-linux-gnu/libzstd.so.1", Packages: []string{"libzstd1"}},
		{Path: "usr/share/perl5/Debian/Debhelper/Sequence/python3.pm",
			Packages: []string{"dh-python"}},
	}
	for _, tt := range []struct {
		kind buildlog.Missing
		name string
		want string
	}{
		{buildlog.MissingHeader, "zlib.h", "zlib1g-dev"},
		{buildlog.MissingHeader, "curl/curl.h", "libcurl4-gnutls-dev libcurl4-openssl-dev"},
		{buildlog.MissingHeader, "lib.h", ""},
		{buildlog.MissingPkgConfig, "zlib", "zlib1g-dev"},
		{buildlog.MissingCMake, "fmt", "libfmt-dev"},
		{buildlog.MissingCMake, "ZLIB", "zlib1g-dev"},
		{buildlog.MissingPython, "yaml", "python3-yaml"},
		{buildlog.MissingPython, "yaml.nodes", "python3-yaml"},
		{buildlog.MissingPython, "nodes", ""},
		{buildlog.MissingPerl, "JSON/XS.pm", "libcpanel-perl"},
		{buildlog.MissingCommand, "xsltproc", "xsltproc"},
		{buildlog.MissingLibrary, "zstd", "libzstd-dev"},
		{buildlog.MissingDebhelper, "python3", "dh-python"},
		{"", "zlib.h", ""},
	} {
		f := newFinder(tt.kind, tt.name)
		for _, o := range files {
			if f.match([]byte(o.Path)) {
				if err := f.take(o); err != nil {
					t.Error(err)
				}
			}
		}
		if got := strings.Join(f.best(), " "); got != tt.want {
			t.Errorf("%s %s: %q, want %q", tt.kind, tt.name, got, tt.want)
		}
	}
	if got := macroOwner("PKG_CHECK_MODULES"); got != "pkg-config" {
		t.Error(got)
	}
}

// TestWhoHas names the package that has a missing header, also offline when the list is cached.
func TestWhoHas(t *testing.T) {
	w := newWorld(t)
	w.suite.Contents = map[string]string{"main/Contents-" + w.arch: "usr/include/crane.h libdevel/" +
		"libcrane-dev\nusr/include/old/crane.h libdevel/libold-dev\n"}
	w.publish()
	spec := w.source(crane())
	w.must(spec) // with which the cache has what a build needs
	w.replace("dpkg-buildpackage", fakejail.Prints("x.c:1:10: fatal error: crane.h: No such file or "+
		"directory\nmake: *** [Makefile:1: x.o] Error 1\n", 2))
	w.offline = true
	b := w.build(spec)
	if len(b.result.Outcome.Causes) == 0 ||
		b.result.Outcome.Causes[0].Text !=
			"the header crane.h is missing: a build dependency may be" {
		t.Errorf("offline: %+v", b.result.Outcome.Causes)
	}
	if !strings.Contains(b.log, "I: Which package has the header crane.h is not known: ") {
		t.Error(b.log)
	}
	for _, w.offline = range []bool{false, true} {
		b = w.build(spec)
		if len(b.result.Outcome.Causes) == 0 {
			t.Fatal("no cause")
		}
		c := b.result.Outcome.Causes[0]
		if diff := cmp.Diff([]string{"libcrane-dev"}, c.Packages); diff != "" || !c.Certain ||
			c.Text != "the header crane.h is missing: libcrane-dev has it" {
			t.Errorf("offline %v: %+v\n%s", w.offline, c, b.log)
		}
	}
}

// TestTriedNetworkAsCause: where the log says no cause, what was tried may be it.
func TestTriedNetworkAsCause(t *testing.T) {
	w := newWorld(t)
	w.replace("dpkg-buildpackage", fakejail.Prints("make: *** [Makefile:1: x] Error 1\n", 2))
	spec := w.source(crane())
	if c := w.build(spec).result.Outcome.Causes; len(c) != 1 || c[0].Kind != buildlog.KindCommand ||
		c[0].Text != "make failed at x (Makefile:1, Error 1)" || c[0].Certain {
		t.Errorf("%+v", c)
	}
	w.prepare = func(h *fakejail.Holder) { h.Traced.Unanswered = 2 }
	if c := w.build(spec).result.Outcome.Causes; len(c) != 2 || c[0].Kind != buildlog.KindNetwork ||
		c[0].Text != "the build tried to use the network, 2 times" || c[0].Certain {
		t.Errorf("%+v", c)
	}
}
