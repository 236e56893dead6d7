package hooks

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"nsbuild/internal/e2e"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/result"
	"nsbuild/internal/testenv"
)

// inOrder checks that a text has lines one after the other.
func inOrder(t *testing.T, text string, lines ...string) {
	t.Helper()
	rest := "\n" + text
	for _, l := range lines {
		_, after, ok := strings.Cut(rest, "\n"+l+"\n")
		if !ok {
			t.Errorf("the line %q is missing, or not in its place", l)
			continue
		}
		rest = "\n" + after
	}
	if t.Failed() {
		t.Log(text)
	}
}

// TestHooks has hooks of all three kinds at every stage of a build, and the order in which they
// ran.
func TestHooks(t *testing.T) {
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	dsc := w.HookSource(t, false)
	for letter, check := range map[string]string{
		"H": "test ! -e $BUILDDIR/hooked-1.0", "D": "test -e $BUILDDIR/hooked-1.0/debian/rules " +
			"&& echo changed >$BUILDDIR/hooked-1.0/by-d && echo below >/opt/below",
		"A": "test $(cat $BUILDDIR/hooked-1.0/by-d) = changed && test $(cat /opt/below) = below",
		"B": "test -e $BUILDDIR/hooked_1.0_amd64.changes", "C": "false",
		"I": "test -e $BUILDDIR/hooked_1.0_amd64.changes", "E": "false", "F": "false", "G": "false",
	} {
		w.Script(t, "pbuilder/"+letter+"10hook", check+`
test "$PWD $DISTRIBUTION $BUILD_ARCH $HOST_ARCH $LANG $LC_ALL $PBUILDER_OPERATION" = "/ bookworm amd64 amd64 C C build"
. /tmp/hooks/common
echo pbuilder `+letter)
	}
	w.Script(t, "pbuilder/common", "test $(id -u) = 0")
	for _, stage := range []string{"start", "before-deps", "before-build", "build-ended",
		"after-build", "after-collect", "cleanup", "build-failed", "deps-failed"} {
		w.Script(t, "own/"+stage+".d/10-say",
			`test "$NSBUILD_SOURCE $NSBUILD_VERSION $NSBUILD_STAGE $NSBUILD_OPERATION $NSBUILD_BUILD_TYPE $NSBUILD_NETWORK" = "hooked 1.0 `+stage+` build binary none"
test "$(cat $NSBUILD_HOOK_DIR/data)" = data
test $(grep -c : /proc/net/dev) = 1
if [ -n "$NSBUILD_ENV" ]; then echo FROM_HOOK=1 >>$NSBUILD_ENV; fi
if [ $NSBUILD_STAGE = after-build ]; then test -e $NSBUILD_CHANGES; fi
echo native $NSBUILD_STAGE`)
	}
	if err := os.WriteFile(filepath.Join(w.Dir, "own", "data"), []byte("data\n"),
		0o644); err != nil {
		t.Fatal(err)
	}
	w.Must(t, "build", "-q", "-d", "bookworm", "--result=r.json", "--hookdir=pbuilder",
		"--hook=./own",
		"--pre-build-commands=case %d in /*) test -f %d && echo host %a ;; esac && "+
			"echo by-host | %e sh -c 'cat >/opt/by-host'",
		"--chroot-setup-commands=cat /opt/by-host; echo setup %b",
		"--starting-build-commands=echo start %p", "--finished-build-commands=echo finished",
		"--chroot-cleanup-commands=echo cleanup",
		"--post-build-commands=echo post $(basename %c) $(%SBUILD_CHROOT_EXEC cat /opt/by-host)",
		"--post-build-failed-commands=echo never", "--anything-failed-commands=echo never", dsc)
	log := w.LogOf(t, "hooked")
	inOrder(t, log, "Pre Build Commands", "host amd64", "Chroot Setup Commands", "pbuilder H",
		"native start", "by-host", "setup /build/reproducible-path", "Hooks: before-deps",
		"pbuilder D",
		"native before-deps", "Starting Timed Build Commands", "pbuilder A", "native before-build",
		"start /build/reproducible-path/hooked-1.0", "FROM_HOOK=1", "native build-ended",
		"finished",
		"Hooks: after-build", "pbuilder B", "native after-build", "Hooks: after-collect",
		"pbuilder I", "native after-collect", "Chroot Cleanup Commands", "native cleanup",
		"cleanup",
		"Post Build Commands", "post hooked_1.0_amd64.changes by-host")
	for _, never := range []string{"\nnever\n", "pbuilder C", "native build-failed"} {
		if strings.Contains(log, never) {
			t.Errorf("%q ran", never)
		}
	}
	var r result.Result
	if err := json.Unmarshal([]byte(e2e.Read(t, filepath.Join(w.Dir, "r.json"))), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Hooks) != 18 || r.Hooks[1].Name != "H10hook" || r.Hooks[1].Stage != "start" ||
		r.Hooks[1].Outcome != "success" {
		t.Errorf("the result has other hooks: %+v", r.Hooks)
	}
}

// TestHooksAndLayers keeps a dependency layer apart from those over roots that hooks have changed.
func TestHooksAndLayers(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	dsc := w.HookSource(t, false)
	key := func(args ...string) (string, bool) {
		t.Helper()
		w.Must(t, append([]string{"build", "-q", "-d", "bookworm", "--result=r.json", dsc},
			args...)...)
		r, err := result.Read(filepath.Join(w.Dir, "r.json"))
		if err != nil {
			t.Fatal(err)
		}
		return r.Inputs.Layer.Key, r.Inputs.Layer.Cached
	}
	plain, _ := key()
	changed, _ := key("--chroot-setup-commands=echo 1 >/opt/one")
	again, cached := key("--chroot-setup-commands=echo 1 >/opt/one")
	if changed == plain || again != changed || !cached {
		t.Errorf("layers %s, %s, %s (cached: %t)", plain, changed, again, cached)
	}
	if after, cached := key("--starting-build-commands=true"); after != plain || !cached {
		t.Errorf("a hook that comes after the dependencies has another layer: %s, %t", after,
			cached)
	}
	if none, cached := key("--hook-network", "--chroot-setup-commands=true"); none != "" || cached {
		t.Errorf("over a root that the network has changed a layer is kept: %s", none)
	}
}

// TestFailingHooks shows that a hook which fails, hangs, cannot be run or leaves a daemon has an
// outcome.
func TestFailingHooks(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	good, bad := w.HookSource(t, false), w.HookSource(t, true)
	w.Script(t, "hang/before-build.d/10-hang", "exec sleep 1000")
	w.Script(t, "fail/after-build.d/10-fail", "exit 9")
	w.Script(t, "lost/before-build.d/10-lost", "true")
	if err := os.WriteFile(filepath.Join(w.Dir, "lost/before-build.d/10-lost"),
		[]byte("#!/no/such/program\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	w.Script(t, "daemon/before-build.d/10-daemon", leaveDaemons)
	w.Script(t, "env/before-build.d/10-env", "echo nonsense >$NSBUILD_ENV")
	for _, c := range []struct {
		name   string
		args   []string
		status int
		stage  string
		says   string
	}{
		{"fails", []string{"--hook=./fail", good}, 1, "run-hooks-after-build",
			"hook fail/after-build.d/10-fail failed: exit status 9"},
		{"hangs", []string{"--hook=./hang", "--hook-timeout=1s", good}, 1,
			"run-starting-build-commands", "it was ended after 1s (--hook-timeout)"},
		{"no interpreter", []string{"--hook=./lost", good}, 1, "run-starting-build-commands",
			"its interpreter is not in the jail"},
		{"bad environment", []string{"--hook=./env", good}, 1, "run-starting-build-commands",
			`"nonsense" is not NAME=VALUE`},
		{"on the host", []string{"--pre-build-commands=exit 5", good}, 1, "run-pre-build-commands",
			`command "exit 5" failed: exit status 5`},
		{"hangs on the host", []string{"--hook-timeout=1s", "--pre-build-commands=sleep 1000",
			good}, 1, "run-pre-build-commands", "it was ended after 1s"},
		{"of a failed build", []string{"--build-failed-commands=echo looking; exit 3", bad}, 2,
			"build", "Build failure"},
		{"of a successful build", []string{"--post-build-commands=exit 4", good}, 1,
			"run-post-build-commands", `command "exit 4" failed`},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := w.Run(t, append([]string{"build", "-q", "-d", "bookworm"}, c.args...)...)
			e2e.Refusal{Status: c.status, Says: []string{c.says}}.Check(t, o)
			if !strings.Contains(o.Stderr, "\nstage: "+c.stage+"\n") &&
				!strings.HasPrefix(o.Stderr, "stage: "+c.stage+"\n") {
				t.Errorf("it did not fail at stage %s: %s", c.stage, o.Stderr)
			}
		})
	}
	t.Run("daemon", func(t *testing.T) {
		w.Must(t, "build", "-q", "-d", "bookworm", "--hook=./daemon",
			"--post-build-commands=sleep 6666 >/dev/null 2>&1 &", good)
		log := w.LogOf(t, "hooked")
		for _, want := range []string{
			"W: hook daemon/before-build.d/10-daemon left a process, which was ended: sleep 4444",
			"left a process, which was ended: sleep 5555", "left processes, which were ended"} {
			if !strings.Contains(log, want) {
				t.Errorf("the log lacks %q", want)
			}
		}
	})
}

// TestFailureHooks runs the hooks of builds that fail, in the jail as it was left.
func TestFailureHooks(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	bad := w.HookSource(t, true)
	w.Script(t, "hooks/C10look", "ls $BUILDDIR/unhooked-1.0/debian/rules")
	o := w.Run(t, "build", "-d", "bookworm", "--hookdir=hooks",
		"--build-failed-commands=echo failed %p", "--anything-failed-commands=echo anything",
		"--build-deps-failed-commands=echo never",
		"--post-build-failed-commands=echo on the host", "--shell-on-failure", bad)
	if o.Status != 2 || !strings.Contains(o.Stderr, "there is no terminal") {
		t.Error(o)
	}
	inOrder(t, w.LogOf(t, "unhooked"), "Generic Build Failed Commands",
		"/<<PKGBUILDDIR>>/debian/rules", "failed /<<PKGBUILDDIR>>", "anything",
		"Post Build Failed Commands", "on the host")
	dsc := w.WriteSource(t,
		fakedebian.Source{Name: "wanting", Version: "1.0", BuildDepends: "no-such-package",
			Packages: []fakedebian.Package{{Name: "wanting"}}})
	if o := w.Run(t, "build", "-q", "-d", "bookworm",
		"--build-deps-failed-commands=echo deps failed in $(hostname)",
		"--anything-failed-commands=echo anything", "--build-failed-commands=echo never",
		dsc); o.Status != 3 {
		t.Error(o)
	}
	inOrder(t, w.LogOf(t, "wanting"), "Build-Deps Install Failed Commands",
		"deps failed in nsbuild", "anything")
}

// writeBuilt writes a source whose rules run these lines, and then make its one package.
func writeBuilt(t *testing.T, w *e2e.World, name, lines string) (dsc string) {
	t.Helper()
	rules := "#!/usr/bin/make -f\nclean build:\nbinary:\n" + lines +
		"\tmkdir -p debian/made/DEBIAN\n\tdpkg-gencontrol -p" + name + " -Pdebian/made\n" +
		"\tdpkg-deb --root-owner-group --build debian/made ..\n"
	return w.WriteSource(t, fakedebian.Source{Name: name, Version: "1.0", Rules: rules,
		Packages: []fakedebian.Package{{Name: name, Architecture: "any"}}})
}

// TestHookNetwork gives hooks the network, and the build none.
func TestHookNetwork(t *testing.T) {
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	dsc := writeBuilt(t, w, "netted", "\techo build sees $$(grep -c : /proc/self/net/dev)\n")
	w.Must(t, "build", "-q", "-d", "bookworm", "--hook-network", "--starting-build-commands=echo "+
		"hook sees $(grep -o '[^ ]*:' /proc/self/net/dev | sort | tr -d '\\n')", dsc)
	log := w.LogOf(t, "netted")
	host := regexp.MustCompile(`(?m)^ *(\S+:)`).FindAllString(e2e.Read(t, "/proc/self/net/dev"), -1)
	if !strings.Contains(log, "\nbuild sees 1\n") ||
		!strings.Contains(log, "Hooks have the host's network") {
		t.Error("the build has a network, or the log does not tell of the hooks'")
	}
	for _, name := range host {
		if !regexp.MustCompile(
			`(?m)^hook sees .*` + regexp.QuoteMeta(strings.TrimSpace(name))).MatchString(log) {
			t.Errorf("the hook does not see %s", name)
		}
	}
}

// TestShippedHooks runs those of the hooks that come with nsbuild which need no network.
func TestShippedHooks(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	dsc := writeBuilt(t, w, "compiled", "\techo 'int main(void){return 0;}' >x.c\n"+
		"\tgcc -c x.c -o x.o\n\techo preload $$LD_PRELOAD\n\ttouch /var/tmp/outside\n")
	args := []string{"build", "-q", "-d", "bookworm", "--hook=ccache", "--hook=eatmydata",
		"--hook=changed-files", "--hook=blhc", "--hook=shell-on-failure", dsc}
	w.Must(t, args...)
	w.Must(t, args...)
	log := w.LogOf(t, "compiled")
	for _, want := range []string{`preload .*libeatmydata\.so`, `made: /var/tmp/outside`,
		`(?i)direct|hits: +1 `, `CFLAGS missing|blhc: (status|nothing)`} {
		if !regexp.MustCompile(`(?m)` + want).MatchString(log) {
			t.Errorf("the log has nothing like %s", want)
		}
	}
	if t.Failed() {
		t.Log(log)
	}
}
