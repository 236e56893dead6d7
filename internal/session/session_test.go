package session

import (
	"bytes"
	"context"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"nsbuild/internal/fstab"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/strays"
	"nsbuild/internal/testenv"
)

func TestMain(m *testing.M) {
	sandbox.Main(nil)
	if os.Args[0] == SupervisorName {
		os.Exit(Supervise(nil))
	}
	testenv.OwnMounts()
	goleak.VerifyTestMain(m)
}

// tree makes a small root of the caller's own ids, which shows the host's programs.
func tree(t *testing.T) Options {
	t.Helper()
	testenv.RequireUserns(t)
	testenv.HostState(t)
	dir := filepath.Join(t.TempDir(), "root")
	programs, links := testenv.Programs()
	for _, name := range append([]string{"etc", "tmp", "root", "proc", "sys", "dev", "srv", "var",
		"run-of-jail"}, programs...) {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	maps.Copy(links, map[string]string{"var/run": "/run-of-jail", "escape": "../../../../.."})
	for name, target := range links {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\nsomeone:x:7:8::/srv:/bin/sh\n+nis\n",
		"etc/group":  "root:x:0:\nothers:x:8:\nmore:x:9:root,someone\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var mounts []fstab.Mount
	for _, dir := range programs {
		mounts = append(mounts, fstab.Mount{Type: "bind", Source: dir, Target: dir, ReadOnly: true})
	}
	log := logrus.New()
	log.SetOutput(t.Output())
	return Options{
		Jail: Jail{Root: dir, Overlay: true, Network: sandbox.NetworkNone, Mounts: mounts},
		Host: Host{StateDir: t.TempDir(), IDs: sandbox.ResolveIDs, Log: log,
			Fallback: t.TempDir()},
		Around: Around{Strays: strays.Kill},
	}
}

// output runs a shell command in a jail of its own and returns what it wrote.
func output(t *testing.T, o Options, script string) (string, sandbox.Status, error) {
	t.Helper()
	return outputOf(t, o, script, Run)
}

// outputOf runs a shell command somewhere and returns what it wrote.
func outputOf(t *testing.T, o Options, script string, run func(context.Context, Options) (
	sandbox.Status, error)) (string, sandbox.Status, error) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	o.Argv, o.Stdout, o.Stderr = []string{"/bin/sh", "-c", script}, w, w
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	text := make(chan string)
	go func() {
		data, err := io.ReadAll(r)
		if err != nil {
			t.Error(err)
		}
		text <- string(data)
	}()
	status, err := run(ctx, o)
	w.Close()
	return <-text, status, err
}

func TestRun(t *testing.T) {
	for _, c := range []struct {
		name, script, out string
		code              int
		set               func(*Options)
	}{
		{"status", "exit 9", "", 9, nil},
		{"signal", "kill -9 $$", "", 137, nil},
		{"user", "id -u; id -g; id -G; echo $HOME $USER", "7\n8\n8 9\n/srv someone\n", 0,
			func(o *Options) { o.User = "someone" }},
		{"groups", "id -G", "8 0 77\n", 0, func(o *Options) {
			o.User, o.Groups = "7", []string{"root", "77"}
		}},
		{"group", "id -g", "9\n", 0, func(o *Options) { o.Group = "more" }},
		{"number", "id -u; id -g", "1234\n1234\n", 0, func(o *Options) { o.User = "1234" }},
		{"directory", "pwd", "/srv\n", 0, func(o *Options) { o.Dir = "/srv" }},
		{"variables", "echo $A $LANG", "b C\n", 0, func(o *Options) {
			o.Env = []string{"A=b", "LANG=C"}
		}},
		{"host name", "hostname", "test\n", 0, func(o *Options) { o.Hostname = "test" }},
		{"read-only", "touch /srv/x 2>/dev/null || echo refused", "refused\n", 0, func(o *Options) {
			o.ReadOnly, o.Overlay = true, false
		}},
		{"PID 1", "echo $$; echo /proc/[0-9]*; test -r /proc/1/cmdline; cat /proc/self/comm; id " +
			"-u; exit 5", "1\n/proc/1\ncat\n7\n", 5, func(o *Options) {
			o.PID1, o.User = true, "someone"
		}},
		{"PID 1 times out", "exec sleep 100", "", TimeoutStatus, func(o *Options) {
			o.PID1, o.Timeout = true, 200*time.Millisecond
		}},
		{"PID 1 killed", "trap 'exit 6' TERM; kill -9 $$; kill $$", "", 6, func(o *Options) {
			o.PID1 = true
		}},
		{"overlay", "echo x >/srv/x && rm -r /var && cat /srv/x", "x\n", 0, nil},
		{"tmpfs", "stat -c %a /srv; stat -f -c %T /srv", "700\ntmpfs\n", 0, func(o *Options) {
			o.Mounts = append(o.Mounts,
				fstab.Mount{Type: "tmpfs", Target: "/srv", Data: "mode=700"})
		}},
		{"timeout", "sleep 20", "", TimeoutStatus, func(o *Options) {
			o.Timeout = 200 * time.Millisecond
		}},
		{"kill after", "trap '' TERM; while :; do sleep 0.1; done", "", TimeoutStatus,
			func(o *Options) {
				o.Timeout, o.KillAfter = 200*time.Millisecond,
					200*time.Millisecond
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := tree(t)
			if c.set != nil {
				c.set(&o)
			}
			out, st, err := output(t, o, c.script)
			if err != nil || out != c.out || st.ExitCode() != c.code {
				t.Errorf("%q %v %v; want %q %d", out, st, err, c.out, c.code)
			}
			if _, err := os.Lstat(filepath.Join(o.Root, "srv/x")); err == nil {
				t.Error("the command has written to the tree")
			}
		})
	}
}

func TestFstab(t *testing.T) {
	o := tree(t)
	o.Fstab = filepath.Join(t.TempDir(), "fstab")
	shown := t.TempDir()
	if err := os.WriteFile(filepath.Join(shown, "file"), []byte("shown\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	text := "proc /proc proc defaults 0 0\nsys /sys sysfs defaults 0 0\n/dev/pts /dev/pts none " +
		"bind,rw 0 0\n" +
		"/var/run /var/run tmpfs rw,nosuid,noexec,mode=755 0 0\n/no/such /srv none bind,nofail 0 0\n" +
		shown + " /escape/made none bind,ro 0 0\n"
	if err := os.WriteFile(o.Fstab, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, st, err := output(t, o, "stat -f -c %T /run-of-jail; ls /dev/pts; cat /made/file; touch "+
		"/made/x 2>/dev/null || echo read-only")
	if err != nil || !st.Success() || out != "tmpfs\nptmx\nshown\nread-only\n" {
		t.Errorf("%q %v %v", out, st, err)
	}
	if err := os.WriteFile(o.Fstab, []byte("proc /proc proc hidepid\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := output(t, o, "true"); err == nil ||
		!strings.Contains(err.Error(), ":1: fs_mntops") {
		t.Errorf("a bad line: %v", err)
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct {
		name, want string
		set        func(*testing.T, *Options)
	}{
		{"the host", "the host's own root", func(_ *testing.T, o *Options) { o.Root = "/" }},
		{"the state directory", "contains nsbuild's state directory",
			func(_ *testing.T, o *Options) { o.StateDir = filepath.Join(o.Root, "srv") }},
		{"no /proc", "has no directory proc", func(t *testing.T, o *Options) {
			o.Overlay, o.Force = false, true
			if err := os.Remove(filepath.Join(o.Root, "proc")); err != nil {
				t.Fatal(err)
			}
		}},
		{"user", `the user "nobody-here" is unknown`, func(_ *testing.T, o *Options) {
			o.User = "nobody-here"
		}},
		{"group", `the group "nothing" is unknown`, func(_ *testing.T, o *Options) {
			o.Group = "nothing"
		}},
		{"large id", "unknown", func(_ *testing.T, o *Options) { o.User = "70000" }},
		{"bind", "no such file", func(_ *testing.T, o *Options) {
			o.Mounts = append(o.Mounts,
				fstab.Mount{Type: "bind", Source: "/no/such", Target: "/srv"})
		}},
		{"mount point", "no such file", func(_ *testing.T, o *Options) {
			o.Overlay, o.Force = false, true
			o.Mounts = append(o.Mounts, fstab.Mount{Type: "tmpfs", Target: "/not/there"})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := tree(t)
			c.set(t, &o)
			if out, st, err := output(t, o, "true"); err == nil ||
				!strings.Contains(err.Error(), c.want) {
				t.Errorf("%q %v %v; want %q", out, st, err, c.want)
			}
		})
	}
}

// TestOthersCanEnter has a jail write to trees that every user can enter: it works as it stands,
// with one warning that says how to close it.
func TestOthersCanEnter(t *testing.T) {
	for _, c := range []struct {
		name  string
		set   func(t *testing.T, o *Options, parent string)
		wants []string // of the warning; none without any
	}{
		{"one root", nil, []string{"chmod 700 PARENT keeps them out", "--overlay or --read-only"}},
		{"beside a root", func(t *testing.T, _ *Options, parent string) {
			for _, name := range []string{"proc", "sys", "dev"} {
				makeDir(t, filepath.Join(parent, "other", name), 0o755)
			}
		}, []string{"chmod 700 PARENT keeps"}},
		// The mode of what others need is not to be changed.
		{"beside others' files", func(t *testing.T, _ *Options, parent string) {
			makeDir(t, filepath.Join(parent, "mail"), 0o755)
		}, []string{"a parent directory of its own with mode 0700"}},
		{"closed", func(t *testing.T, _ *Options, parent string) {
			if err := os.Chmod(parent, 0o700); err != nil {
				t.Fatal(err)
			}
		}, nil},
		{"overlay", func(_ *testing.T, o *Options, _ string) { o.Overlay = true }, nil},
		{"a bind, too", func(t *testing.T, o *Options, parent string) {
			dir := filepath.Join(parent, "given")
			makeDir(t, dir, 0o755)
			if os.Geteuid() == 0 {
				if err := os.Chown(dir, 1000, 1000); err != nil {
					t.Fatal(err)
				}
			}
			o.Mounts = append(o.Mounts, fstab.Mount{Type: "rbind", Source: dir, Target: "/tmp"})
			o.Mounts = append(o.Mounts, fstab.Mount{Type: "rbind", Source: dir, Target: "/var",
				ReadOnly: true})
		}, []string{"every user of this host can enter PARENT/root and PARENT/given, where",
			"with the option ro"}},
		{"a bind alone", func(t *testing.T, o *Options, parent string) {
			o.Overlay = true
			makeDir(t, filepath.Join(parent, "open", "home"), 0o755)
			if os.Geteuid() == 0 {
				if err := os.Chown(filepath.Join(parent, "open", "home"), 1000, 1000); err != nil {
					t.Fatal(err)
				}
			}
			o.Mounts = append(o.Mounts,
				fstab.Mount{Type: "bind", Source: filepath.Join(parent, "open"),
					Target: "/tmp"})
		}, []string{"can enter PARENT/open, where"}},
		{"a bind of one's own", func(t *testing.T, o *Options, parent string) {
			o.Overlay = true
			makeDir(t, filepath.Join(parent, "own"), 0o700)
			o.Mounts = append(o.Mounts,
				fstab.Mount{Type: "bind", Source: filepath.Join(parent, "own"),
					Target: "/tmp"})
		}, nil},
		{"accepted", func(_ *testing.T, o *Options, _ string) { o.Force = true }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := tree(t)
			o.Overlay = false
			parent := enterable(t, o.Root)
			if c.set != nil {
				c.set(t, &o, parent)
			}
			log, said := logtest.NewNullLogger()
			o.Log = log
			if out, st, err := output(t, o, "echo x >/srv/kept"); err != nil || !st.Success() {
				t.Fatalf("%q %v %v", out, st, err)
			}
			var st unix.Stat_t
			err := unix.Stat(filepath.Join(o.Root, "srv/kept"), &st)
			if !o.Overlay && (err != nil || int(st.Uid) != os.Geteuid()) {
				t.Errorf("%v, owner %d", err, st.Uid)
			}
			checkWarning(t, said.AllEntries(), parent, c.wants)
		})
	}
}

func makeDir(t *testing.T, dir string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(dir, mode); err != nil {
		t.Fatal(err)
	}
}

// enterable moves the test's tree to where everybody can enter it, and returns its parent.
func enterable(t *testing.T, root string) (parent string) {
	t.Helper()
	// The test's own directories, which may be private; those above are not ours to change.
	made := filepath.Dir(filepath.Dir(root))
	for _, dir := range []string{made, filepath.Dir(root), root} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for dir := filepath.Dir(made); dir != "/"; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm()&1 == 0 {
			t.Fatalf("%s is private: nobody else can enter the test's; set TMPDIR: %v", dir, err)
		}
	}
	return filepath.Dir(root)
}

// checkWarning expects one warning that has these texts, or none.
func checkWarning(t *testing.T, entries []*logrus.Entry, parent string, wants []string) {
	t.Helper()
	var warnings []string
	for _, e := range entries {
		if e.Level == logrus.WarnLevel {
			warnings = append(warnings, e.Message)
		}
	}
	if len(warnings) != min(len(wants), 1) {
		t.Fatalf("warnings %q; want %q", warnings, wants)
	}
	for _, want := range wants {
		want = strings.ReplaceAll(want, "PARENT", parent)
		if !strings.Contains(warnings[0], want) || strings.Contains(warnings[0], "\n") {
			t.Errorf("warning %q; want %q", warnings[0], want)
		}
	}
}

func TestStrays(t *testing.T) {
	o := tree(t)
	o.Strays = strays.Fail
	if _, _, err := output(t, o, "sleep 100 >/dev/null 2>&1 &"); err == nil ||
		!strings.Contains(err.Error(), "left 1 process running") {
		t.Errorf("%v", err)
	}
}

func TestSignals(t *testing.T) {
	for name, c := range map[string]struct {
		send []os.Signal
		code int
	}{
		"passed on":  {[]os.Signal{syscall.SIGUSR1}, 11},
		"second INT": {[]os.Signal{syscall.SIGINT, syscall.SIGINT}, 137},
	} {
		t.Run(name, func(t *testing.T) {
			o := tree(t)
			signals := make(chan os.Signal)
			o.Signals = signals
			o.Mounts = append(o.Mounts, fstab.Mount{Type: "tmpfs", Target: "/srv"})
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			defer w.Close()
			go func() {
				if _, err := r.Read(make([]byte, 1)); err != nil { // its traps are set
					t.Error(err)
				}
				for _, s := range c.send {
					signals <- s
				}
			}()
			o.Stdout = w
			o.Argv = []string{"/bin/sh", "-c",
				"trap 'exit 11' USR1; trap '' INT; echo; while :; do sleep 0.05; done"}
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			st, err := Run(ctx, o)
			if err != nil || st.ExitCode() != c.code {
				t.Errorf("%v %v", st, err)
			}
		})
	}
}

// sitAt types at a terminal: each answer when what was shown has the words before it. It returns
// what was shown.
func sitAt(t *testing.T, keyboard *os.File, talk ...[2]string) <-chan string {
	t.Helper()
	shown := make(chan string, 1)
	go func() {
		var all bytes.Buffer
		buf := make([]byte, 4096)
		for _, step := range talk {
			for !strings.Contains(all.String(), step[0]) {
				n, err := keyboard.Read(buf)
				if err != nil {
					break
				}
				all.Write(buf[:n])
			}
			if _, err := io.WriteString(keyboard, step[1]); err != nil {
				t.Error(err)
			}
		}
		shown <- all.String()
	}()
	return shown
}

// converse is a script for a terminal, and what one types who sits at it. Ctrl-C comes when cat is
// sure to run: a shell that is just starting a program may keep it to itself.
const converse = "tty; stty size; read line; echo got $line; exec cat"

var conversation = [][2]string{{"41 111\r\n", "words\r"}, {"got words\r\n", "again\r"},
	{"again\r\nagain\r\n", "\x03"}}

func TestTerminal(t *testing.T) {
	for name, pid1 := range map[string]bool{"child of PID 1": false, "PID 1": true} {
		t.Run(name, func(t *testing.T) { terminal(t, pid1) })
	}
}

func terminal(t *testing.T, pid1 bool) {
	o := tree(t)
	o.PID1 = pid1
	keyboard, terminal := testenv.Terminal(t)
	before, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	o.Stdin, o.Stdout, o.Stderr = terminal, terminal, terminal
	o.Argv = []string{"/bin/sh", "-c", converse}
	shown := sitAt(t, keyboard, conversation...)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	status, err := Run(ctx, o)
	if err != nil || status.ExitCode() != 130 {
		t.Errorf("%v %v", status, err)
	}
	if text := <-shown; !strings.HasPrefix(text, "/dev/pts/0\r\n41 111\r\n") {
		t.Errorf("%q", text)
	}
	after, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil || *after != *before {
		t.Errorf("the terminal is not as it was: %+v, %+v, %v", before, after, err)
	}
}

func TestHostnameOf(t *testing.T) {
	for name, want := range map[string]string{"bookworm": "bookworm", "a.b_c": "a-b-c",
		"--": "nsbuild", strings.Repeat("x", 80): strings.Repeat("x", 63)} {
		if got := hostnameOf(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}
