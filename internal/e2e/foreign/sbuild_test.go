package foreign

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"nsbuild/internal/e2e"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/testenv"
)

// sbuild runs it, in the directory of the world, with a configuration file of the test's own.
func sbuild(t *testing.T, w *e2e.World, config string, args ...string) e2e.Outcome {
	t.Helper()
	home := t.TempDir()
	e2e.Check(t, os.WriteFile(filepath.Join(home, ".sbuildrc"), []byte(config), 0o644))
	c := exec.CommandContext(context.WithoutCancel(t.Context()), "sbuild", args...)
	c.Dir, c.Env = w.Dir, append(w.Environment(), "HOME="+home, "XDG_CONFIG_HOME="+home)
	var stdout, stderr strings.Builder
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); c.ProcessState == nil {
		t.Fatal(err)
	}
	return e2e.Outcome{Status: c.ProcessState.ExitCode(), Stdout: stdout.String(),
		Stderr: stderr.String()}
}

// TestSbuild builds under sbuild's name: results, log and exit status are where sbuild has them.
func TestSbuild(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	testenv.RequireTool(t, "dpkg-source")
	const config = "# mine\n$distribution = 'bookworm';\n$chroot_mode = 'unshare';\n$run_lintian " +
		"= 0;\n$log_dir = \"$ENV{HOME}\";\n1;\n"
	dsc := w.WriteSource(t, e2e.Small("drop"))
	o := sbuild(t, w, config, "--no-arch-all", "--post-build-commands", "cp %SBUILD_CHANGES copied",
		"-v", dsc)
	if o.Status != 0 {
		t.Fatal(o)
	}
	e2e.WantIn(t, "standard output", o.Stdout, "^Distribution: bookworm$", "^Status: successful$")
	e2e.WantIn(t, "standard error", o.Stderr,
		`^I: without a meaning here: \$chroot_mode \(.*/\.sbuildrc:3\)$`)
	e2e.WantIn(t, "the copied .changes", e2e.Read(t, filepath.Join(w.Dir, "copied")),
		"^Distribution: bookworm$", "^Architecture: amd64$")
	link, err := os.Readlink(filepath.Join(w.Dir, "drop_1.0_amd64.build"))
	if err != nil || !strings.HasPrefix(filepath.Base(link), "drop_1.0_amd64-20") ||
		!filepath.IsAbs(link) || filepath.Dir(link) == w.Dir {
		t.Errorf("the link to the log leads to %q: %v", link, err)
	}

	bad := e2e.Small("bad")
	bad.Rules = "#!/usr/bin/make -f\nclean:\n%:\n\tfalse\n"
	for _, c := range []struct {
		name   string
		args   []string
		status int
		stderr string
	}{
		{"attempted", []string{"-n", w.WriteSource(t, bad)}, 2, "^E: "},
		{"given-back", []string{"--add-depends=no-such-package", dsc}, 3, "^E: "},
		{"no such file", []string{"none.dsc"}, 3, "^E: .*none.dsc"},
		{"skipped",
			[]string{"--no-arch-any",
				w.WriteSource(t,
					fakedebian.Source{Name: "any", Version: "1.0",
						Packages: []fakedebian.Package{{Name: "any", Architecture: "any"}}})}, 0,
			""},
		{"wrong option", []string{"--no-such-option", dsc}, 1,
			"^E: unknown flag: --no-such-option$"},
		{"two", []string{dsc, dsc}, 1, "^E: Only one build is permitted$"},
	} {
		o := sbuild(t, w, config, c.args...)
		if o.Status != c.status {
			t.Errorf("%s: %s", c.name, o)
		}
		e2e.WantIn(t, c.name, o.Stderr, c.stderr)
		if c.name == "attempted" {
			e2e.WantIn(t, "the log on standard output", o.Stdout, "^Status: attempted$")
			if found, err := filepath.Glob(filepath.Join(w.Dir, "bad_*.build")); err != nil ||
				len(found) > 0 {
				t.Errorf("-n left %s", found)
			}
		}
	}
	if o := sbuild(t, w, "$run_lintian = 0;", dsc); o.Status != 1 ||
		!strings.Contains(o.Stderr, "E: No distribution defined\n") {
		t.Error(o)
	}

	// A source directory, called from within, with nothing said: sbuild's default is the current
	// directory.
	tree := filepath.Join(w.Dir, "drop-1.0")
	if out, err := exec.Command("dpkg-source", "-x", filepath.Join(w.Dir, dsc),
		tree).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	there := *w
	there.Dir = tree
	if o := sbuild(t, &there, config, "-A", "--no-arch-any", "--build-dir", w.Dir); o.Status != 0 {
		t.Error(o)
	}
	if _, err := os.Stat(filepath.Join(w.Dir, "drop-data_1.0_all.deb")); err != nil {
		t.Error(err)
	}
}

// TestSbuildCommandLine is for what begins no build.
func TestSbuildCommandLine(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.NewWorld(t)
	version := w.Must(t, "--version").Stdout
	for arg, want := range map[string]string{"--version": "sbuild (" + strings.TrimSpace(version) + ")\n",
		"--he": "Usage:\n  sbuild "} {
		if o := sbuild(t, w, "", arg); o.Status != 0 || !strings.HasPrefix(o.Stdout, want) {
			t.Errorf("%s: %s", arg, o)
		}
	}
	if o := sbuild(t, w, "$distribution = 'sid", "x"); o.Status != 1 ||
		!strings.Contains(o.Stderr, "/.sbuildrc:1: a string that begins here never ends") {
		t.Error(o)
	}
}
