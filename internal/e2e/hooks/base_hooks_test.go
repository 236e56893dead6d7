package hooks

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nsbuild/internal/e2e"
	"nsbuild/internal/testenv"
)

// leaveDaemons is a hook that ends when two processes of its run, one of them in a session of its
// own.
const leaveDaemons = "up() { until [ \"$(cat /proc/$!/comm)\" = sleep ]; do :; done; }\nsleep " +
	"4444 >/dev/null 2>&1 &\nup\nsetsid sleep 5555 >/dev/null 2>&1 &\nup"

// TestBaseHooks runs hooks of all verbs but build, native ones and pbuilder's, over a small base:
// what they find, what becomes of it, and what of those that cannot run, fail, hang or leave a
// daemon.
func TestBaseHooks(t *testing.T) {
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	name := "hooked" + strings.ToLower(filepath.Base(t.TempDir()))
	for _, letter := range []string{"E", "F", "G", "H", "A"} {
		w.Script(t, "pbuilder/"+letter+"10hook",
			`test "$DISTRIBUTION $BUILD_ARCH $LANG" = "bookworm amd64 C"; . /tmp/hooks/common; echo pbuilder `+letter+` $PBUILDER_OPERATION | tee -a /opt/hooks`)
	}
	w.Script(t, "pbuilder/common", "test $(id -u) = 0")
	for _, stage := range []string{"start", "created", "updated", "before-run", "before-build"} {
		w.Script(t, "own/"+stage+".d/10-say",
			`test "$NSBUILD_STAGE $NSBUILD_NETWORK $NSBUILD_DISTRIBUTION" = "`+stage+
				` none bookworm"; echo $NSBUILD_OPERATION >>$NSBUILD_STATE_DIR/seen
if [ $NSBUILD_STAGE = updated ]; then test $(wc -l <$NSBUILD_STATE_DIR/seen) = 2; fi
test $(grep -c : /proc/net/dev) = 1
echo native $NSBUILD_STAGE $NSBUILD_OPERATION | tee -a /opt/hooks`)
	}
	call := func(args ...string) e2e.Outcome {
		return w.Must(t, append([]string{args[0], "--hook=./own", "--hookdir=pbuilder"},
			args[1:]...)...)
	}

	call("create", "--mirror", w.Mirror, "--name", name, "--variant=essential", "bookworm")
	defer func() { w.Must(t, "remove", name) }()
	look := func(want string) {
		t.Helper()
		o := w.Must(t, "run", name, "--", "sh", "-c",
			"cat /opt/hooks; find /tmp/hooks /run/nsbuild-hooks -type f 2>/dev/null; true")
		if o.Stdout != want {
			t.Errorf("%s\nwant %s", o, want)
		}
	}
	const created = "pbuilder G create\nnative created create\npbuilder E create\nnative updated create\n"
	look(created)

	// The suite has nothing newer; the hooks run all the same, with their packages.
	w.Script(t, "more/updated.d/10-daemons", "hello -t; "+leaveDaemons)
	w.Conf(t, "more", "Depends: hello")
	o := call("update", "--verbose", "--hook=./more", name)
	for _, want := range []string{"native updated update\n", "hello, world\n",
		"left a process, which was ended: sleep 4444",
		"left a process, which was ended: sleep 5555"} {
		if !strings.Contains(o.Stderr, want) ||
			!strings.Contains(o.Stdout, "was updated (generation 2)") {
			t.Errorf("%q is missing: %s", want, o)
		}
	}
	const updated = created +
		"pbuilder H update\nnative start update\npbuilder E update\nnative updated update\n"
	look(updated)

	const before = "pbuilder H execute\nnative start run\npbuilder F execute\nnative before-run run\n"
	if o := call("run", name, "--", "tail", "-n", "4", "/opt/hooks"); o.Stdout != before ||
		o.Stderr != before {
		t.Error(o)
	}
	look(updated) // what hooks do before a command goes with it
	c, ended := w.Command(t, "shell", "--hook=./own", "--hookdir=pbuilder", name)
	c.Stdin = strings.NewReader("tail -n 2 /opt/hooks\n")
	if o := ended(c.Run()); o.Stdout != "pbuilder F login\nnative before-run shell\n" {
		t.Error(o)
	}
	t.Run("session", func(t *testing.T) { testSessionHooks(t, w, name) })
	t.Run("faults", func(t *testing.T) { testHookFaults(t, w, name) })
	// Without hooks nothing is made anew, and what failed has changed nothing.
	if o := w.Must(t, "update", name); !strings.Contains(o.Stdout, "is up to date (generation 2)") {
		t.Error(o)
	}
}

// testSessionHooks runs hooks at the beginning of a session, once; one that fails leaves no
// session.
func testSessionHooks(t *testing.T, w *e2e.World, name string) {
	w.Script(t, "asession/before-run.d/10-say",
		"echo 3 >/opt/counted; echo before the session >&2; "+leaveDaemons)
	o := w.Must(t, "session", "begin", "--name=hooked", "--hook=./own", "--hook=./asession",
		"--hookdir=pbuilder", name)
	defer func() { w.Must(t, "session", "end", "hooked") }()
	const ran = "pbuilder H login\nnative start session\npbuilder F login\nnative before-run session\n"
	if o.Stdout != "hooked\n" || !strings.HasPrefix(o.Stderr, ran+"before the session\n") {
		t.Error(o)
	}
	for _, pid := range []string{"4444", "5555"} {
		if !strings.Contains(o.Stderr, "left a process, which was ended: sleep "+pid) {
			t.Errorf("sleep %s: %s", pid, o)
		}
	}
	for range 2 {
		if o := w.Must(t, "session", "run", "hooked", "--", "sh", "-c", "tail -n 4 /opt/hooks; "+
			"cat /opt/counted; find /tmp/hooks /run/nsbuild-hooks -type f 2>/dev/null; true"); o.Stdout != ran+"3\n/run/nsbuild-hooks/state/own/seen\n" {
			t.Error(o)
		}
	}
	w.Script(t, "nosession/before-run.d/10-fail", "echo because >&2; exit 9")
	o = w.Run(t, "session", "begin", "--name=other", "--hook=./nosession", name)
	e2e.Refusal{Status: 1,
		Says: []string{"hook nosession/before-run.d/10-fail failed: exit status 9"}}.Check(t, o)
	if o := w.Must(t, "session", "list"); strings.Contains(o.Stdout, "other") ||
		!strings.Contains(o.Stdout, "hooked") {
		t.Error(o)
	}
}

// TestBuildHooksItsBase has a build make its base as create would: with the hooks and options that
// are configured for that.
func TestBuildHooksItsBase(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	there := *e2e.ExcerptWorld(t)
	w, name := &there, "bookworm"
	w.State = e2e.NewWorld(t).State // where there is no base yet
	testenv.HostState(t)
	for _, letter := range []string{"E", "G"} {
		w.Script(t, "pbuilder/"+letter+"10hook", "echo pbuilder "+letter+
			" $PBUILDER_OPERATION >>/opt/hooks")
	}
	w.Script(t, "own/created.d/10-say",
		"echo native $NSBUILD_STAGE $NSBUILD_OPERATION $NSBUILD_NETWORK >>/opt/hooks")
	w.Script(t, "fail/updated.d/10-fail", "echo because >&2; exit 9")
	w.Script(t, "plain/updated.d/10-plain", "true")
	e2e.Check(t, os.Chmod(filepath.Join(w.Dir, "plain", "updated.d", "10-plain"), 0o644))
	dsc := w.HookSource(t, false)
	build := func(config string) e2e.Outcome {
		t.Helper()
		file := filepath.Join(w.Dir, "config.toml")
		e2e.Check(t, os.WriteFile(file, []byte(config), 0o644))
		w.Env = []string{"NSBUILD_CONFIG=" + file}
		defer func() { w.Env = nil }()
		return w.Run(t, "build", "-q", "-d", name,
			"--starting-build-commands=cat /opt/hooks; ed --version", dsc)
	}
	e2e.Refusal{Status: 1,
		Says: []string{"making base " + name, "hook fail/updated.d/10-fail failed: exit status 9",
			"because"}}.Check(t, build("[create]\nvariant = \"essential\"\nhook = [\"./fail\"]\n"))
	e2e.Refusal{Status: 64, Says: []string{"making base " + name, "10-plain is not executable"},
		Hint: "chmod +x"}.Check(t, build("[create]\nhook = [\"./plain\"]\n"))
	w.NoScratch(t)
	if _, err := os.Stat(filepath.Join(w.State, "bases", name)); err == nil {
		t.Fatal("a hook has failed, and there is a base")
	}
	if o := build("[create]\nhook = [\"./own\"]\nhookdir = \"pbuilder\"\ninclude = " +
		"[\"ed\"]\nvariant = \"minbase\"\n"); o.Status != 0 {
		t.Fatal(o)
	}
	defer func() { w.Must(t, "remove", name) }()
	inOrder(t, w.LogOf(t, "hooked"), "Starting Timed Build Commands", "pbuilder G create",
		"native created create none", "pbuilder E create")
	e2e.WantIn(t, "log", w.LogOf(t, "hooked"), "^GNU ed 1")
	if o := w.Must(t, "info", name); !strings.Contains(o.Stdout,
		"Variant: minbase\nIncluded: ed\n") {
		t.Error(o)
	}
}

// TestInterruptHooks presses Ctrl-C during a hook of each verb. Nothing of it is left, and no
// process.
func TestInterruptHooks(t *testing.T) {
	e2e.AsUserOnly(t, sameToRoot)
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	name := "stopped" + strings.ToLower(filepath.Base(t.TempDir()))
	w.Must(t, "create", "--mirror", w.Mirror, "--name", name, "--variant=essential", "bookworm")
	defer func() { w.Must(t, "remove", name) }()
	dsc := w.HookSource(t, false)
	for _, stage := range []string{"start", "updated", "before-run", "before-build"} {
		w.Script(t, "hang/"+stage+".d/10-hang",
			"setsid sleep 1000 &\necho hangs at $NSBUILD_STAGE of $NSBUILD_OPERATION; sleep 1000")
	}
	e2e.Check(t, os.RemoveAll(filepath.Join(w.Dir, "hang", "start.d")))
	for _, c := range []struct {
		begins string
		env    []string // of a build that makes its base
		args   []string
	}{
		{"hangs at updated of create", nil,
			[]string{"create", "-v", "--name=new", "--variant=essential", "--hook=./hang",
				"bookworm"}},
		{"hangs at updated of create",
			[]string{"NSBUILD_CREATE_HOOK=./hang", "NSBUILD_CREATE_VARIANT=essential"},
			[]string{"build", "-v", "-d", "bookworm", dsc}},
		{"hangs at updated of update", nil, []string{"update", "-v", "--hook=./hang", name}},
		{"hangs at before-build of build", nil,
			[]string{"build", "-v", "-d", "bookworm", "--hook=./hang", dsc}},
		{"hangs at before-run of run", nil, []string{"run", "--hook=./hang", name, "--", "true"}},
		{"hangs at before-run of session", nil, []string{"session", "begin", "--hook=./hang",
			"--name=new", name}},
	} {
		t.Run(c.args[0]+strings.Join(c.env, ""), func(t *testing.T) {
			there := *w
			w, made := &there, "new"
			if c.env != nil {
				w.State, w.Env, made = e2e.NewWorld(t).State, c.env, "bookworm"
			}
			began := time.Now()
			cmd, ended := w.Command(t, c.args...)
			said, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
			e2e.Check(t, err)
			defer said.Close()
			cmd.Stderr = said
			e2e.Check(t, cmd.Start())
			// it may have ended
			timer := time.AfterFunc(e2e.TooLong, func() { _ = cmd.Process.Kill() })
			defer timer.Stop()
			for end := time.Now().Add(e2e.TooLong); !strings.Contains(e2e.Read(t, said.Name()),
				c.begins); time.Sleep(20 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("no hook runs: %s", e2e.Read(t, said.Name()))
				}
			}
			e2e.Check(t, cmd.Process.Signal(os.Interrupt))
			begin := time.Now()
			o := ended(cmd.Wait())
			o.Stderr = e2e.Read(t, said.Name())
			if took := time.Since(begin); took > max(e2e.StopTime(), begin.Sub(began)) ||
				o.Status != 130 || !strings.Contains(o.Stderr, "stopped by ") {
				t.Errorf("it ended after %s: %s", took, o)
			}
			w.NoScratchOf(t, o)
			if left, err := os.ReadDir(filepath.Join(w.State, "bases", made)); err == nil {
				t.Errorf("a base is left that was not finished: %v\n%s", left, o)
			}
		})
	}
	if o := w.Must(t, "info", name); !strings.Contains(o.Stdout, "eneration: 1\n") {
		t.Error(o)
	}
}

// testHookFaults refuses hooks that cannot run, and ends those that fail, hang or leave a daemon.
func testHookFaults(t *testing.T, w *e2e.World, name string) {
	for _, stage := range []string{"updated", "before-run"} {
		for hook, script := range map[string]string{"fail": "echo because >&2; exit 9",
			"hang": "exec sleep 1000", "daemon": leaveDaemons, "plain": "true",
			"packages": "true"} {
			w.Script(t, hook+"/"+stage+".d/10-"+hook, script)
		}
		if err := os.Chmod(filepath.Join(w.Dir, "plain", stage+".d", "10-plain"),
			0o644); err != nil {
			t.Fatal(err)
		}
	}
	w.Script(t, "build-only/before-build.d/10-b", "true")
	w.Conf(t, "packages", "Depends: hello")
	update, run := []string{"update", name}, []string{"run", name, "--", "echo", "ran"}
	for _, c := range []struct {
		verb, args []string
		status     int
		says, hint string
	}{
		{update, []string{"--hook=./fail"}, 1,
			"10-fail failed: exit status 9; the last lines of its output:\n  because", ""},
		{update, []string{"--hook=./plain"}, 64, "10-plain is not executable", "chmod +x"},
		{update, []string{"--hook=./build-only"}, 64,
			"no hook of a stage that this command comes by", "start.d, updated.d"},
		{run, []string{"--hook=./fail"}, 125, "10-fail failed: exit status 9", ""},
		{run, []string{"--hook=./hang", "--hook-timeout=1s"}, 125,
			"it was ended after 1s (--hook-timeout)", ""},
		{run, []string{"--hook=./plain"}, 125, "10-plain is not executable", "chmod +x"},
		{run, []string{"--hook=./build-only"}, 125, "no hook of a stage that this command comes by",
			"start.d, before-run.d"},
		{run, []string{"--hook=no-such-hook"}, 125, "there is no such hook", "ships with nsbuild"},
		{run, []string{"--hookdir=nowhere"}, 125, "hook directory nowhere", "--hookdir"},
		{run, []string{"--hook=./packages"}, 125, "Depends of hook.conf", "--install"},
		{run, []string{"--hook=./daemon", "--read-only"}, 125, "--read-only", "leave out"},
	} {
		t.Run(c.verb[0]+strings.Join(c.args, ""), func(t *testing.T) {
			o := w.Run(t, append(append([]string{c.verb[0]}, c.args...), c.verb[1:]...)...)
			e2e.Refusal{Status: c.status, Says: []string{c.says}, Hint: c.hint}.Check(t, o)
			if strings.Contains(o.Stdout, "ran") {
				t.Error("the command ran")
			}
		})
	}
	o := w.Must(t, append([]string{"run", "--hook=./daemon"}, run[1:]...)...)
	for _, pid := range []string{"4444", "5555"} {
		if !strings.Contains(o.Stderr, "left a process, which was ended: sleep "+pid) ||
			o.Stdout != "ran\n" {
			t.Errorf("sleep %s: %s", pid, o)
		}
	}
}
