package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nsbuild/internal/testenv"
)

// leaveDaemons is a hook that ends when two processes of its run, one of them in a session of its own.
const leaveDaemons = "up() { until [ \"$(cat /proc/$!/comm)\" = sleep ]; do :; done; }\nsleep 4444 >/dev/null 2>&1 &\nup\nsetsid sleep 5555 >/dev/null 2>&1 &\nup"

// TestBaseHooks runs hooks of all verbs but build, native ones and pbuilder's, over a small base: what they find, what becomes of it, and what of those that cannot run, fail, hang or
// leave a daemon.
func TestBaseHooks(t *testing.T) {
	w := realWorld(t)
	testenv.HostState(t)
	name := "hooked" + strings.ToLower(filepath.Base(t.TempDir()))
	for _, letter := range []string{"E", "F", "G", "H", "A"} {
		w.script(t, "pbuilder/"+letter+"10hook", `test "$DISTRIBUTION $BUILD_ARCH $LANG" = "bookworm amd64 C"; . /tmp/hooks/common; echo pbuilder `+letter+` $PBUILDER_OPERATION | tee -a /opt/hooks`)
	}
	w.script(t, "pbuilder/common", "test $(id -u) = 0")
	for _, stage := range []string{"start", "created", "updated", "before-run", "before-build"} {
		w.script(t, "own/"+stage+".d/10-say", `test "$NSBUILD_STAGE $NSBUILD_NETWORK $NSBUILD_DISTRIBUTION" = "`+stage+` none bookworm"; echo $NSBUILD_OPERATION >>$NSBUILD_STATE_DIR/seen
if [ $NSBUILD_STAGE = updated ]; then test $(wc -l <$NSBUILD_STATE_DIR/seen) = 2; fi
test $(grep -c : /proc/net/dev) = 1
echo native $NSBUILD_STAGE $NSBUILD_OPERATION | tee -a /opt/hooks`)
	}
	call := func(args ...string) outcome {
		return w.must(t, append([]string{args[0], "--hook=./own", "--hookdir=pbuilder"}, args[1:]...)...)
	}

	call("create", "--name", name, "--variant=essential", "bookworm")
	defer func() { w.must(t, "remove", name) }()
	look := func(want string) {
		t.Helper()
		o := w.must(t, "run", name, "--", "sh", "-c", "cat /opt/hooks; find /tmp/hooks /run/nsbuild-hooks -type f 2>/dev/null; true")
		if o.stdout != want {
			t.Errorf("%s\nwant %s", o, want)
		}
	}
	const created = "pbuilder G create\nnative created create\npbuilder E create\nnative updated create\n"
	look(created)

	// The suite has nothing newer; the hooks run all the same, with their packages.
	w.script(t, "more/updated.d/10-daemons", "hello -t; "+leaveDaemons)
	w.conf(t, "more", "Depends: hello")
	o := call("update", "--verbose", "--hook=./more", name)
	for _, want := range []string{"native updated update\n", "hello, world\n", "left a process, which was ended: sleep 4444", "left a process, which was ended: sleep 5555"} {
		if !strings.Contains(o.stderr, want) || !strings.Contains(o.stdout, "was updated (generation 2)") {
			t.Errorf("%q is missing: %s", want, o)
		}
	}
	const updated = created + "pbuilder H update\nnative start update\npbuilder E update\nnative updated update\n"
	look(updated)

	const before = "pbuilder H execute\nnative start run\npbuilder F execute\nnative before-run run\n"
	if o := call("run", name, "--", "tail", "-n", "4", "/opt/hooks"); o.stdout != before || o.stderr != before {
		t.Error(o)
	}
	look(updated) // what hooks do before a command goes with it
	c, ended := w.command(t, "shell", "--hook=./own", "--hookdir=pbuilder", name)
	c.Stdin = strings.NewReader("tail -n 2 /opt/hooks\n")
	if o := ended(c.Run()); o.stdout != "pbuilder F login\nnative before-run shell\n" {
		t.Error(o)
	}
	t.Run("faults", func(t *testing.T) { testHookFaults(t, w, name) })
	// Without hooks nothing is made anew, and what failed has changed nothing.
	if o := w.must(t, "update", name); !strings.Contains(o.stdout, "is up to date (generation 2)") {
		t.Error(o)
	}
}

// testHookFaults refuses hooks that cannot run, and ends those that fail, hang or leave a daemon.
func testHookFaults(t *testing.T, w *world, name string) {
	for _, stage := range []string{"updated", "before-run"} {
		for hook, script := range map[string]string{"fail": "echo because >&2; exit 9", "hang": "exec sleep 1000", "daemon": leaveDaemons, "plain": "true", "packages": "true"} {
			w.script(t, hook+"/"+stage+".d/10-"+hook, script)
		}
		if err := os.Chmod(filepath.Join(w.dir, "plain", stage+".d", "10-plain"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	w.script(t, "build-only/before-build.d/10-b", "true")
	w.conf(t, "packages", "Depends: hello")
	update, run := []string{"update", name}, []string{"run", name, "--", "echo", "ran"}
	for _, c := range []struct {
		verb, args []string
		status     int
		says, hint string
	}{
		{update, []string{"--hook=./fail"}, 1, "10-fail failed: exit status 9; the last lines of its output:\n  because", ""},
		{update, []string{"--hook=./plain"}, 2, "10-plain is not executable", "chmod +x"},
		{update, []string{"--hook=./build-only"}, 2, "no hook of a stage that this command comes by", "start.d, updated.d"},
		{run, []string{"--hook=./fail"}, 1, "10-fail failed: exit status 9", ""},
		{run, []string{"--hook=./hang", "--hook-timeout=1s"}, 1, "it was ended after 1s (--hook-timeout)", ""},
		{run, []string{"--hook=./plain"}, 2, "10-plain is not executable", "chmod +x"},
		{run, []string{"--hook=./build-only"}, 2, "no hook of a stage that this command comes by", "start.d, before-run.d"},
		{run, []string{"--hook=no-such-hook"}, 2, "there is no such hook", "ships with nsbuild"},
		{run, []string{"--hookdir=nowhere"}, 2, "hook directory nowhere", "--hookdir"},
		{run, []string{"--hook=./packages"}, 2, "Depends of hook.conf", "--install"},
		{run, []string{"--hook=./daemon", "--read-only"}, 2, "--read-only", "leave out"},
	} {
		t.Run(c.verb[0]+strings.Join(c.args, ""), func(t *testing.T) {
			o := w.run(t, append(append([]string{c.verb[0]}, c.args...), c.verb[1:]...)...)
			refusal{status: c.status, says: []string{c.says}, hint: c.hint}.check(t, o)
			if strings.Contains(o.stdout, "ran") {
				t.Error("the command ran")
			}
		})
	}
	o := w.must(t, append([]string{"run", "--hook=./daemon"}, run[1:]...)...)
	for _, pid := range []string{"4444", "5555"} {
		if !strings.Contains(o.stderr, "left a process, which was ended: sleep "+pid) || o.stdout != "ran\n" {
			t.Errorf("sleep %s: %s", pid, o)
		}
	}
}

// conf writes the hook.conf of a directory of hooks.
func (w *world) conf(t *testing.T, hook, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, hook, "hook.conf"), []byte(text+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}
