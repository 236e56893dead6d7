package bootstrap

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nsbuild/internal/apt"
	"nsbuild/internal/archive"
	"nsbuild/internal/fault"
	"nsbuild/internal/testenv"
)

// TestForeign has the host's programs make a base, in the jail and with whoever's rights.
func TestForeign(t *testing.T) {
	for _, name := range []string{Debootstrap, Mmdebstrap} {
		t.Run(name, func(t *testing.T) {
			testenv.RequireTool(t, name)
			testenv.HostState(t)
			w := newWorld(t)
			suite, release := w.release(t, "bookworm")
			tree, result := w.bootstrap(t, suite, release, func(o *Options) { o.Bootstrapper = name })
			for _, want := range []string{"base-files", "apt", "build-essential", "g++"} {
				if !slices.ContainsFunc(result.Packages, func(p apt.Package) bool { return p.Name == want }) {
					t.Errorf("%s is not installed", want)
				}
			}
			jail, err := (&job{o: Options{Holder: w.holder, Tree: tree, CacheDir: w.cache}}).openJail(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			// What every base has, whoever made it.
			j := &job{o: Options{Log: t.Output()}}
			if err := j.command(t.Context(), jail, "sh", "-c", `set -x; test -z "$(dpkg --audit)" && id builder && test -s /etc/apt/sources.list && ! test -e /etc/machine-id && ! test -e /var/lib/apt/lists/lock`); err != nil {
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

// TestForeignNotInstalled asks for a program that no machine has: debootstrap and mmdebstrap may be there.
func TestForeignNotInstalled(t *testing.T) {
	_, err := (&job{o: Options{Bootstrapper: "nodebstrap"}}).foreign(t.Context())
	var f *fault.Error
	if !errors.As(err, &f) || !strings.Contains(f.Hint, "apt-get install nodebstrap") {
		t.Errorf("%v", err)
	}
}

// TestFallback asks for packages that have the same file, which one of them diverts: what only dpkg knows how to unpack.
func TestFallback(t *testing.T) {
	testenv.RequireRoot(t)
	testenv.RequireTool(t, "dpkg")
	testenv.HostState(t)
	w := newWorld(t)
	suite, release := w.release(t, "bookworm")
	tree, result := w.bootstrap(t, suite, release, func(o *Options) {
		o.Variant, o.Include = VariantMinbase, []string{"molly-guard", "systemd-sysv"}
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

// TestForeignFails checks that the error has the program's last lines, and that nothing but the tree, which is the caller's, is left.
func TestForeignFails(t *testing.T) {
	testenv.RequireTool(t, Debootstrap)
	testenv.HostState(t)
	w := newWorld(t)
	suite, release := w.release(t, "bookworm")
	tree := filepath.Join(t.TempDir(), "tree")
	if err := w.holder.MakeRoot(t.Context(), tree); err != nil {
		t.Fatal(err)
	}
	_, err := Run(t.Context(), Options{
		Holder: w.holder, Tree: tree, Client: w.client, CacheDir: w.cache, Releases: []*archive.Release{release}, Suite: suite, Arch: "amd64",
		Bootstrapper: Debootstrap, Include: []string{"no-such-package"},
	})
	if err == nil || !strings.Contains(err.Error(), "E: Couldn't find these debs: no-such-package") {
		t.Errorf("%v", err)
	}
	if err := w.holder.RemoveTree(t.Context(), tree); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(filepath.Dir(tree)); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
