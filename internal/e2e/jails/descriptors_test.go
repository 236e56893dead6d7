package jails

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nsbuild/internal/e2e"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/testenv"
)

// probe walks up from every directory that some process of the jail holds. It says how many it has
// looked at, and which lead to another top than the jail's own, unless that holds libraries only:
// a mount that is attached nowhere. Its argument tells who runs it.
const probe = `
use strict;
my ($who, $seen) = ($ARGV[0], 0);
my $root = join ":", (stat "/")[0, 1];
for my $f (glob "/proc/[0-9]*/fd/* /proc/[0-9]*/cwd /proc/[0-9]*/root") {
	my $to = readlink $f;
	next unless defined $to;
	$seen++;
	next unless chdir "$f/.";
	my $at = "";
	while ((my $here = join ":", (stat ".")[0, 1]) ne $at) { $at = $here; chdir ".." or last }
	next if $at eq $root;
	opendir my $d, "." or next;
	my @names = grep { !/^\.\.?$/ } readdir $d;
	next if @names && !grep { !/\.so/ } @names;
	print "outside: $who: $f ($to) leads to @names\n";
}
print "probe: $who: $seen\n";
`

// TestNoWayOut looks for a way out of a jail through the descriptors of its processes, as every
// kind of command that has a jail, with a static and with a dynamic program.
func TestNoWayOut(t *testing.T) {
	testenv.RequireTool(t, "go", "gcc")
	path := os.Getenv("PATH")
	for name, cgo := range map[string]string{"static": "0", "dynamic": "1"} {
		t.Run(name, func(t *testing.T) {
			bin := filepath.Join(t.TempDir(), "bin")
			e2e.Check(t, os.Mkdir(bin, 0o755))
			e2e.Link(t, bin, append(os.Environ(), "CGO_ENABLED="+cgo))
			t.Setenv("PATH", bin+":"+path)
			testNoWayOut(t, e2e.ExcerptWorld(t))
		})
	}
}

func testNoWayOut(t *testing.T, w *e2e.World) {
	testenv.HostState(t)
	must := func(text string, who ...string) {
		t.Helper()
		for _, name := range who {
			if !strings.Contains(text, "probe: "+name+": ") {
				t.Errorf("%s did not look:\n%s", name, text)
			}
		}
		if strings.Contains(text, "outside: ") {
			t.Errorf("there is a way out:\n%s", text)
		}
	}
	run := func(who string) []string { return []string{"--", "perl", "-e", probe, who} }
	for _, network := range []string{"none", "host"} {
		must(w.Must(t, append([]string{"run", "--network", network, "bookworm"},
			run("run")...)...).Stdout, "run")
	}
	dir := filepath.Join(w.Dir, "bound")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	must(w.Must(t,
		append([]string{"run", "--bind", dir + ":/srv", "--as-pid1", "--memory=1G", "bookworm"},
			run("bind")...)...).Stdout, "bind")

	w.Must(t, "session", "begin", "--name=probed", "bookworm")
	defer w.Must(t, "session", "end", "probed")
	must(w.Must(t, append([]string{"session", "run", "probed"}, run("session")...)...).Stdout,
		"session")

	shell, ended := w.Command(t, "shell", "bookworm")
	shell.Stdin = strings.NewReader("perl - shell <<'END'\n" + probe + "\nEND\n")
	o := ended(shell.Run())
	must(o.Stdout, "shell")

	for _, stage := range []string{"before-deps", "before-build", "after-build", "after-collect"} {
		w.Script(t, "own/"+stage+".d/10-probe", "perl $NSBUILD_HOOK_DIR/probe hook-"+stage)
	}
	if err := os.WriteFile(filepath.Join(w.Dir, "own/probe"), []byte(probe), 0o644); err != nil {
		t.Fatal(err)
	}
	dsc := w.WriteSource(t, fakedebian.Source{
		Name: "probed", Version: "1.0", Packages: []fakedebian.Package{
			{Name: "probed", Architecture: "all"}},
		Rules: "#!/usr/bin/make -f\nclean build:\nbinary:\n\tmkdir -p debian/made/DEBIAN\n\tperl " +
			"debian/probe rules\n" +
			"\t(echo '#!/usr/bin/perl'; echo '@ARGV = (\"postinst\");'; cat debian/probe) " +
			">debian/made/DEBIAN/postinst\n" +
			"\tchmod 755 debian/made/DEBIAN/postinst\n" +
			"\tdpkg-gencontrol -pprobed -Pdebian/made\n\tdpkg-deb --root-owner-group --build " +
			"debian/made ..\n",
		Debian: []fakedebian.File{
			{Path: "probe", Body: probe},
			{Path: "tests/control",
				Body: "Test-Command: perl debian/probe autopkgtest\nRestrictions: needs-root\n"},
		},
	})
	log := func(args ...string) string {
		t.Helper()
		w.Must(t, append([]string{"build", "-d", "bookworm", "--hook=./own", dsc}, args...)...)
		return e2e.Read(t, filepath.Join(w.Dir, "probed_1.0_amd64.build"))
	}
	hooks := []string{"hook-before-deps", "hook-before-build", "hook-after-build",
		"hook-after-collect"}
	must(log("--check-install", "--run-autopkgtest"),
		append(hooks, "rules", "postinst", "autopkgtest")...)
	must(log("--hook-network"), append(hooks, "rules")...)
}
