package pkgbuild

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"nsbuild/internal/fakejail"
	"nsbuild/internal/hook"
	"nsbuild/internal/result"
	"nsbuild/internal/sandbox"
)

// ran are the hooks of a build, in their order; those that failed with a mark.
func (b *built) ran() string {
	var all []string
	for _, h := range b.result.Hooks {
		text := h.Stage
		if h.Outcome != "success" {
			text += "!"
		}
		all = append(all, text)
	}
	return strings.Join(all, " ")
}

// everywhere has a command at each stage of a build that has native hooks.
func everywhere(command string) map[string]string {
	all := map[string]string{}
	for _, stage := range hook.Build.Stages() {
		all[string(stage)] = command
	}
	return all
}

// TestHooks has hooks at all stages of builds that end in different ways: which run, and when.
func TestHooks(t *testing.T) {
	w := newWorld(t)
	spec := w.source(crane())
	fails := fakejail.Prints("no\n", 2)
	const always = "start before-deps before-build build-ended "
	for _, c := range []struct {
		name    string
		program string // that fails
		hook    string // a stage whose hook fails
		with    func(*Request)
		ran     string
		ends    string
	}{
		{name: "success", ran: always + "after-build after-collect cleanup", ends: "successful"},
		{name: "the dependencies fail", with: func(r *Request) { r.AddDepends = []string{"nosuch"} },
			ran: "start before-deps deps-failed cleanup", ends: "given-back, install-deps, given back"},
		{name: "unpacking fails", program: "dpkg-source", ran: "start cleanup",
			ends: "failed, run-hooks-before-deps, internal"},
		{name: "the build fails", program: "dpkg-buildpackage",
			ran: always + "build-failed cleanup", ends: "attempted, build, attempted"},
		{name: "the first hook fails", hook: "start", ran: "start! cleanup",
			ends: "failed, run-chroot-setup-commands, internal"},
		{name: "the hook before the dependencies fails", hook: "before-deps",
			ran: "start before-deps! cleanup", ends: "failed, run-hooks-before-deps, internal"},
		{name: "the hook before the build fails", hook: "before-build",
			ran:  "start before-deps before-build! cleanup",
			ends: "failed, run-starting-build-commands, internal"},
		{name: "the hook at its end fails", hook: "build-ended",
			ran:  "start before-deps before-build build-ended! cleanup",
			ends: "failed, run-finished-build-commands, internal"},
		{name: "the hook after the build fails", hook: "after-build",
			ran:  always + "after-build! cleanup",
			ends: "failed, run-hooks-after-build, internal"},
		{name: "the hook at the end fails", hook: "after-collect",
			ran:  always + "after-build after-collect! cleanup",
			ends: "failed, run-hooks-after-collect, internal"},
		{name: "the last hook fails", hook: "cleanup",
			ran:  always + "after-build after-collect cleanup!",
			ends: "failed, run-chroot-cleanup-commands, internal"},
		{name: "the build fails, and the hook about it", program: "dpkg-buildpackage",
			hook: "build-failed", ran: always + "build-failed! cleanup",
			ends: "attempted, build, attempted"},
		{name: "a stray of a hook", hook: "", with: func(r *Request) {
			r.Hooks = w.hooks("", map[string]string{"start": "leaves"})
		}, ran: "start", ends: "successful"},
		{name: "a check", with: func(r *Request) { r.Lintian = true },
			ran: always + "after-build after-collect cleanup", ends: "successful"},
	} {
		w.in(c.name, func(t *testing.T) {
			w.replace("lintian", fakejail.Prints("", 0))
			w.replace("leaves", func(_ context.Context, p *fakejail.Proc) sandbox.Status {
				p.Jail().Leave(sandbox.Stray{PID: 3, Command: "agent"})
				return fakejail.Exit(0)
			})
			if c.program != "" {
				w.replace(c.program, fails)
			}
			commands := everywhere("true")
			if c.hook != "" {
				commands[c.hook] = "false"
			}
			b := w.build(spec, func(r *Request) { r.Hooks = w.hooks("", commands) }, c.with)
			if b.ran() != c.ran || b.ends() != c.ends {
				t.Errorf("ran %s, ends: %s (%v)\nwant %s, %s", b.ran(), b.ends(), b.err, c.ran,
					c.ends)
			}
			if c.name == "a stray of a hook" {
				if s := b.result.Hooks[0].Strays; !slices.Equal(s, []string{"agent"}) {
					t.Errorf("strays: %q", s)
				}
				w.tells("the log", b.log, " left a process, which was ended: agent")
			}
		})
	}
}

// TestHooksSee looks at what hooks are told, at what they may change, and that their changes lie
// below the build dependencies or go with them.
func TestHooksSee(t *testing.T) {
	w := newWorld(t)
	spec := w.source(crane())
	var mu sync.Mutex
	saw := map[string]map[string]string{}
	w.replace("see", func(_ context.Context, p *fakejail.Proc) sandbox.Status {
		told := map[string]string{"Dir": p.Dir}
		for _, v := range p.Env {
			if name, value, ok := strings.Cut(v, "="); ok {
				told[strings.TrimPrefix(name, "NSBUILD_")] = value
			}
		}
		for _, name := range []string{"/etc/by-hook", "/usr/share/doc/libcrane-dev",
			"/build/reproducible-path/hello-2.10/debian/rules", "/run/nsbuild-hooks/log"} {
			if _, err := p.ReadFile(name); err == nil {
				told["has"] += " " + filepath.Base(name)
			}
		}
		mu.Lock()
		saw[told["STAGE"]] = told
		mu.Unlock()
		switch told["STAGE"] {
		case "start":
			if err := p.WriteFile("/etc/by-hook", "x", 0o644); err != nil {
				return p.Fail(err)
			}
		case "before-build":
			const text = "# of a hook\nCCACHE=1\nLC_ALL=C\n"
			if err := p.WriteFile(told["ENV"], text, 0o644); err != nil {
				return p.Fail(err)
			}
		}
		return fakejail.Exit(0)
	})
	set := w.hooks("Log: yes\nCache: yes\nBuild-Depends: libold-dev\n", everywhere("see"))
	b := w.must(spec, func(r *Request) { r.Hooks = set })
	const tree = "/build/reproducible-path/hello-2.10"
	for stage, want := range map[string]map[string]string{
		"start": {"SOURCE": "hello", "VERSION": "2.10-3", "DISTRIBUTION": suiteName, "OPERATION": "build",
			"BUILD_ARCH": w.arch, "HOST_ARCH": w.arch, "BUILD_TYPE": "binary", "SOURCE_DIR": "",
			"CHANGES": "", "STATUS": "", "has": " log", "NETWORK": "none"},
		"before-deps":   {"SOURCE_DIR": tree, "Dir": tree, "has": " by-hook rules log"},
		"before-build":  {"SOURCE_DIR": tree, "has": " by-hook rules log", "CHANGES": ""},
		"build-ended":   {"CHANGES": "/build/reproducible-path/hello_2.10-3_" + w.arch + ".changes"},
		"after-collect": {"has": " by-hook rules log", "STATUS": ""},
		"cleanup":       {"SOURCE_DIR": tree, "CACHE_DIR": "/run/nsbuild-hooks/cache/own"},
	} {
		for name, value := range want {
			if got := saw[stage][name]; got != value {
				t.Errorf("%s: %s is %q, want %q", stage, name, got, value)
			}
		}
	}
	w.tells("the log", b.log, "The source was unpacked before the build dependencies, for hooks.",
		"\nCCACHE=1\n", "\nLC_ALL=C\n", "Filtered Build-Depends: libcrane-dev, build-essential, "+
			"libold-dev")
	layer := func(command string) result.Layer {
		set := w.hooks("", map[string]string{"start": command})
		return w.must(spec, func(r *Request) { r.Hooks = set }).result.Inputs.Layer
	}
	one, again, other := layer("see"), layer("see"), layer("true")
	if one.Cached || !again.Cached || again.Key != one.Key {
		t.Errorf("over the same root: layer %+v after %+v", again, one)
	}
	if other.Cached || other.Key == one.Key {
		t.Errorf("over another root: layer %+v after %+v", other, one)
	}

	w.replace("dpkg-buildpackage", fakejail.Prints("no\n", 2))
	w.build(spec, func(r *Request) { r.Hooks = set })
	for stage, want := range map[string]string{"build-failed": "attempted", "cleanup": "attempted"} {
		if got := saw[stage]["STATUS"]; got != want || saw[stage]["FAIL_STAGE"] != "build" {
			t.Errorf("%s: STATUS is %q, want %q", stage, got, want)
		}
	}
}

// TestHooksAsk has hooks that want packages, decide what is not theirs, or take too long.
func TestHooksAsk(t *testing.T) {
	w := newWorld(t)
	spec := w.source(crane())
	writes := func(text string) fakejail.Program {
		return func(_ context.Context, p *fakejail.Proc) sandbox.Status {
			if err := p.WriteFile(p.Getenv("NSBUILD_ENV"), text, 0o644); err != nil {
				return p.Fail(err)
			}
			return fakejail.Exit(0)
		}
	}
	w.replace("profiles", writes("DEB_BUILD_PROFILES=x\n"))
	w.replace("nonsense", writes("a line\n"))
	w.replace("hangs", func(ctx context.Context, _ *fakejail.Proc) sandbox.Status {
		<-ctx.Done()
		return sandbox.Status{Signal: 9}
	})
	w.replace("has", func(_ context.Context, p *fakejail.Proc) sandbox.Status {
		if _, err := p.ReadFile("/var/lib/dpkg/info/" + p.Argv[1] + ".list"); err != nil {
			return p.Fail(err)
		}
		return fakejail.Exit(0)
	})
	for _, c := range []struct {
		name, conf, stage, command string
		ends                       string
		err                        string
	}{
		{"packages at the start", "Depends: libold-dev\n", "start", "has libold-dev", "successful", ""},
		{"packages after the build", "Depends: libold-dev\n", "after-build", "has libold-dev",
			"successful", ""},
		{"packages that are not", "Depends: nosuch\n", "before-build", "true",
			"failed, run-starting-build-commands, internal", "installing what hook own needs"},
		{"relations that are none", "Depends: a b\n", "before-build", "true",
			"failed, run-starting-build-commands, internal", "own"},
		{"build dependencies that are none", "Build-Depends: a b\n", "start", "true",
			"given-back, install-deps, given back", "the Build-Depends of a hook"},
		{"profiles", "", "before-build", "profiles",
			"failed, run-starting-build-commands, internal", "use --profiles"},
		{"no environment", "", "before-build", "nonsense",
			"failed, run-starting-build-commands, internal", `"a line" is not NAME=VALUE`},
		{"it hangs", "", "after-build", "hangs", "failed, run-hooks-after-build, internal",
			"it took too long"},
	} {
		w.in(c.name, func(t *testing.T) {
			set := w.hooks(c.conf, map[string]string{c.stage: c.command})
			if c.command == "hangs" {
				set.Timeout = 20 * time.Millisecond
			}
			b := w.build(spec, func(r *Request) { r.Hooks = set })
			if b.ends() != c.ends {
				t.Errorf("ends: %s (%v)", b.ends(), b.err)
			}
			w.tells("the error", fmt.Sprint(b.err), c.err)
		})
	}
}

// TestHostHooks runs sbuild's commands on the host, which see the results and the jail.
func TestHostHooks(t *testing.T) {
	w := newWorld(t)
	spec := w.source(crane())
	said := filepath.Join(t.TempDir(), "said")
	load := func(commands map[string][]string) *hook.Set {
		set, err := hook.Load(hook.Options{Commands: commands})
		w.check(err)
		return set
	}
	commands := map[string][]string{
		"pre-build-commands":         {"echo first %d >>" + said, "test -d %r"},
		"post-build-commands":        {"test -f %c && echo last %c >>" + said},
		"post-build-failed-commands": {"echo failed >>" + said},
	}
	b := w.must(spec, func(r *Request) { r.Hooks = load(commands) })
	changes := b.Artefacts[len(b.Artefacts)-1]
	if got := w.read(said); got != "first "+spec+"\nlast "+changes+"\n" {
		t.Errorf("the commands said %q", got)
	}
	if got := b.ran(); got != "host-start host-start host-success" {
		t.Errorf("ran %s", got)
	}
	w.check(os.Remove(said))
	w.in("the build fails", func(t *testing.T) {
		w.replace("dpkg-buildpackage", fakejail.Prints("no\n", 2))
		w.build(spec, func(r *Request) { r.Hooks = load(commands) })
		if got := w.read(said); got != "first "+spec+"\nfailed\n" {
			t.Errorf("the commands said %q", got)
		}
	})
	w.in("it is told of the log", func(t *testing.T) {
		for _, noLog := range []bool{false, true} {
			w.check(os.Remove(said))
			b := w.must(spec, func(r *Request) {
				r.NoLog = noLog
				r.Hooks = load(map[string][]string{"post-build-commands": {
					"echo %SRCPACKAGE %SRCPACKAGE_VERSION %SBUILD_LOG_PATH >>" + said,
					"echo %SBUILD_LOG_DIR/%SBUILD_LOG_BASENAME >>" + said,
					"echo $(test -e %SBUILD_LOG_PATH || echo none) there >>" + said}})
			})
			told := strings.Fields(w.read(said))
			if told[0] != "hello" || told[1] != "hello_2.10-3" || told[3] != told[2] ||
				filepath.Dir(told[2]) != filepath.Dir(b.Artefacts[0]) ||
				!strings.HasPrefix(filepath.Base(told[2]), "hello_2.10-3_"+w.arch+"-20") ||
				noLog != (told[4] == "none") || !noLog && told[2] != b.LogPath {
				t.Errorf("without a log: %t; the commands were told %q, the log is %q", noLog, told,
					b.LogPath)
			}
		}
	})
	for name, stage := range map[string]string{"pre-build-commands": "run-pre-build-commands",
		"post-build-commands": "run-post-build-commands"} {
		w.in(name, func(t *testing.T) {
			b := w.build(spec, func(r *Request) {
				r.Hooks = load(map[string][]string{name: {"exit 3"}})
			})
			if b.ends() != "failed, "+stage+", internal" {
				t.Errorf("ends: %s (%v)", b.ends(), b.err)
			}
		})
	}
}
