package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"nsbuild/internal/testenv"
)

func TestMain(m *testing.M) {
	if os.Args[0] == ownerName {
		os.Exit(ownerMain())
	}
	Main(map[string]Applet{
		"echo": func(args []string) int {
			fmt.Println(strings.Join(args, " "))
			return len(args)
		},
		"small-root":  smallRoot,
		"deep":        deepMain,
		"descriptors": descriptorsApplet,
		"cover":       coverApplet,
		"wait":        func([]string) int { fmt.Println("ready"); select {} },
		"keys":        keysApplet,
		"asks":        asksApplet,
		"own":         func(args []string) int { fmt.Println(os.Getuid(), os.Getgid()); return 0 },
	})
	goleak.VerifyTestMain(m)
}

// startHolder starts a holder or skips where the machine permits none.
func startHolder(t testing.TB) *Holder {
	t.Helper()
	ids, err := ResolveIDs()
	if err != nil {
		t.Fatalf("%v", err)
	}
	h, err := Start(context.Background(), HolderSpec{IDs: ids})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// testRoot makes a small root of the jail's ids; the host's /usr is to be mounted in it.
func testRoot(t testing.TB, h *Holder) string {
	t.Helper()
	ctx := context.Background()
	root := filepath.Join(t.TempDir(), "root")
	if err := h.MakeRoot(ctx, root); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The test's own holder may be closed by now.
		if err := startHolder(t).RemoveTree(ctx, root); err != nil {
			t.Error(err)
		}
	})
	j, err := h.NewJail(ctx, Spec{Root: Root{Dir: root}})
	if err != nil {
		t.Fatal(err)
	}
	_, links := testenv.Programs()
	var argv []string
	for name, to := range links {
		argv = append(argv, to, name)
	}
	if _, st := run(t, j, Command{Applet: "small-root", Argv: argv}); !st.Success() {
		t.Fatal(st)
	}
	if _, err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return root
}

// smallRoot is an applet that fills a root. Its arguments are pairs of what links lead to and what
// they are called.
func smallRoot(links []string) int {
	for pair := range slices.Chunk(links, 2) {
		if err := os.Symlink(pair[0], pair[1]); err != nil {
			fmt.Println(err)
			return 1
		}
	}
	for _, dir := range []string{"/etc", "/usr", "/tmp", "/srv/old", "/media", "/opt", "/var"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			fmt.Println(err)
			return 1
		}
	}
	for name, text := range map[string]string{"/etc/passwd": "root:x:0:0::/root:/bin/sh\n",
		"/srv/old/file": "old\n"} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			fmt.Println(err)
			return 1
		}
	}
	return 0
}

// programs shows the host's programs in a small root.
func programs() []Mount {
	dirs, _ := testenv.Programs()
	var mounts []Mount
	for _, dir := range dirs {
		mounts = append(mounts, Mount{Type: "bind", Source: dir, Target: dir, ReadOnly: true,
			Mkdir: true})
	}
	return mounts
}

// hostJail opens a jail with the host's programs over a throwaway layer.
func hostJail(t testing.TB, h *Holder, mounts ...Mount) *Jail {
	t.Helper()
	j, err := h.NewJail(context.Background(),
		Spec{Root: Root{Lowers: []Lower{{Path: testRoot(t, h)}}},
			Mounts: append(programs(), mounts...)})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// sh runs a shell command as jail root and returns its output and status.
func sh(t testing.TB, j *Jail, script string) (string, Status) {
	t.Helper()
	return run(t, j,
		Command{Argv: []string{"/bin/sh", "-c", script},
			Env: []string{"PATH=" + DefaultPath}})
}

func run(t testing.TB, j *Jail, c Command) (string, Status) {
	t.Helper()
	var out bytes.Buffer
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	st, err := j.RunTo(ctx, c, &out, &out)
	if err != nil {
		t.Fatal(err)
	}
	return out.String(), st
}

func TestCommand(t *testing.T) {
	h := startHolder(t)
	j := hostJail(t, h)
	for _, c := range []struct {
		name, script, out string
		code              int
	}{
		{"status", "exit 7", "", 7},
		{"signal", "kill -TERM $$", "", 128 + 15},
		{"output", "echo out; echo err >&2", "out\nerr\n", 0},
		{"ids", "id -u; id -g; id -G", "0\n0\n0\n", 0},
		{"hostname", "hostname; cat /etc/hostname", "nsbuild\nnsbuild\n", 0},
		{"descriptors", "ls /proc/self/fd | tr '\\n' ' '", "0 1 2 3 ", 0}, // 3 is ls's own
		{"limits", "ulimit -n; ulimit -c; umask", "1024\n0\n0022\n", 0},
		{"loopback", "cat /sys/class/net/lo/operstate; ls /sys/class/net", "unknown\nlo\n", 0},
		{"proc", "ls -d /proc/[0-9]* | wc -l", "", 0},
		{"devices",
			"echo x >/dev/null && head -c 2 /dev/zero | wc -c && ls -l /dev/fd /dev/ptmx | wc -l",
			"2\n2\n", 0},
		{"write",
			"echo y >/etc/nsbuild-test && cat /etc/nsbuild-test && mkdir /srv/x && rmdir /srv/x",
			"y\n", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, st := sh(t, j, c.script)
			if c.out != "" && out != c.out || st.ExitCode() != c.code {
				t.Errorf("%s: %q, %v; want %q, %d", c.script, out, st, c.out, c.code)
			}
		})
	}
	if _, err := os.Lstat("/etc/nsbuild-test"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the jail wrote to the host: %v", err)
	}
	if _, err := j.Start(Command{Argv: []string{"no-such-command"}}); !errors.Is(err,
		os.ErrNotExist) {
		t.Errorf("a missing command: %v", err)
	}
	if _, err := j.Start(Command{Argv: []string{"/etc/passwd"}}); !errors.Is(err,
		os.ErrPermission) {
		t.Errorf("a command that is not executable: %v", err)
	}
	out, st := run(t, j, Command{Applet: "own", UID: 1000, GID: 1001})
	if out != "1000 1001\n" || !st.Success() {
		t.Errorf("applet: %q %v", out, st)
	}
	if err := h.Applet(context.Background(), "echo", nil); err != nil {
		t.Error(err)
	}
	strays, err := j.Close()
	if err != nil || len(strays) != 0 {
		t.Errorf("close: %v %v", strays, err)
	}
}

func TestPID1CannotBeTouched(t *testing.T) {
	h := startHolder(t)
	j := hostJail(t, h, Mount{Type: "bind", Source: "/usr/share", Target: "/srv/ro", ReadOnly: true,
		Mkdir: true})
	for sig := 1; sig <= 64; sig++ {
		if sig == 32 || sig == 33 {
			continue // no shell can send them
		}
		if out, st := sh(t, j, fmt.Sprintf("kill -%d 1", sig)); st.Success() {
			t.Errorf("kill -%d 1 succeeded: %s", sig, out)
		}
	}
	for _, attack := range []string{
		"umount /proc", "umount -l /dev", "umount /dev/null", "umount -R -l /dev",
		"mount -o remount,rw /srv/ro", "mount -o remount,bind,rw /srv/ro", "umount /srv/ro",
		"touch /srv/ro/x",
		"mount -o remount,dev /", "mknod /tmp/d b 8 0", "readlink /proc/1/exe", "ls /proc/1/root/",
		"cat /proc/1/environ", "ls /proc/1/fd", "echo x >/proc/1/oom_score_adj",
		"strace -f -p 1 -o /dev/null & sleep 0.3; kill -INT $!; wait $!",
		"echo 0 >/proc/sys/kernel/randomize_va_space", "echo x >/proc/sysrq-trigger",
		"nsenter -t 1 -m true", "chroot /proc/1/root true",
	} {
		if out, st := sh(t, j, attack); st.Success() {
			t.Errorf("%s succeeded: %s", attack, out)
		}
	}
	if out, st := sh(t, j,
		"echo alive; unshare -Urpf --mount-proc sh -c 'echo nested $$'"); !st.Success() ||
		out != "alive\nnested 1\n" {
		t.Errorf("after the attacks: %q %v", out, st)
	}
}

func TestStrays(t *testing.T) {
	testenv.RequireTool(t, "pgrep")
	h := startHolder(t)
	j := hostJail(t, h)
	out, st := sh(t, j, "setsid sleep 1001 >/dev/null 2>&1 & (setsid sh -c 'sleep 1002 & exit' &) ; "+
		"unshare -Urpf --mount-proc sleep 1003 >/dev/null 2>&1 & "+
		`for n in 1001 1002 1003; do until pgrep -xf "sleep $n" >/dev/null; do :; done; done`)
	if !st.Success() {
		t.Fatalf("%q %v", out, st)
	}
	strays, err := j.Close()
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, s := range strays {
		said = append(said, s.Command)
	}
	text := strings.Join(said, "\n")
	for _, want := range []string{"sleep 1001", "sleep 1002", "sleep 1003"} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is not among the strays:\n%s", want, text)
		}
	}
	// Nothing survives into the next jail.
	j = hostJail(t, h)
	if out, _ := sh(t, j, "pgrep sleep"); out != "" {
		t.Errorf("strays lived on: %s", out)
	}
}

func TestFrozenLayer(t *testing.T) {
	h := startHolder(t)
	root := testRoot(t, h)
	deps, err := h.NewJail(context.Background(), Spec{Root: Root{Lowers: []Lower{{Path: root}}},
		Mounts: programs()})
	if err != nil {
		t.Fatal(err)
	}
	out, st := sh(t, deps,
		"mkdir -p /opt/dep && echo 1 >/opt/dep/file && rm -rf /srv && mv /media /opt/media")
	if !st.Success() {
		t.Fatalf("%q %v", out, st)
	}
	if _, err := deps.Close(); err != nil {
		t.Fatal(err)
	}
	for _, content := range []string{"2", "3"} {
		j, err := h.NewJail(context.Background(),
			Spec{Root: Root{Lowers: []Lower{{Jail: deps.ID()}, {Path: root}}}, Mounts: programs()})
		if err != nil {
			t.Fatal(err)
		}
		out, st := sh(t, j, "cat /opt/dep/file; ls -d /srv /media 2>/dev/null; echo "+content+
			" >/opt/dep/file; rm -r /opt/media; cat /opt/dep/file")
		if want := "1\n" + content + "\n"; out != want || !st.Success() {
			t.Errorf("%q %v, want %q", out, st, want)
		}
		if _, err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestScratch runs the same work on every kind of throwaway root.
func TestScratch(t *testing.T) {
	ids, err := ResolveIDs()
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	for kind, spec := range map[Scratch]HolderSpec{
		ScratchTmpfs: {IDs: ids},
		ScratchDisk:  {IDs: ids, ScratchDir: t.TempDir()},
		ScratchCopy:  {IDs: ids, Copy: true},
	} {
		t.Run(string(kind), func(t *testing.T) {
			h, err := Start(ctx, spec)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if spec.ScratchDir == "" {
					return
				}
				entries, err := os.ReadDir(spec.ScratchDir)
				if err != nil {
					t.Error(err)
				}
				for _, e := range entries {
					if err := startHolder(t).RemoveTree(ctx,
						filepath.Join(spec.ScratchDir, e.Name())); err != nil {
						t.Error(err)
					}
				}
			})
			defer h.Close()
			if h.Scratch() != kind {
				t.Fatalf("scratch is %s, not %s", h.Scratch(), kind)
			}
			root := testRoot(t, h)
			lowers := []Lower{{Path: root}}
			for i, want := range []string{"old\n", "new\n"} {
				j, err := h.NewJail(ctx, Spec{Root: Root{Lowers: lowers}, Mounts: programs()})
				if err != nil {
					t.Fatal(err)
				}
				out, st := sh(t, j, "cat /srv/old/file && rm -r /srv/old && mkdir /srv/old && ls "+
					"/srv/old && mv /srv/old /srv/x && mv /srv/x /srv/old && echo new "+
					">/srv/old/file")
				if out != want || !st.Success() {
					t.Errorf("jail %d: %q %v", i, out, st)
				}
				if _, err := j.Close(); err != nil {
					t.Fatal(err)
				}
				lowers = append([]Lower{{Jail: j.ID()}}, lowers...)
			}
			if text, err := os.ReadFile(filepath.Join(root, "srv/old/file")); err != nil ||
				string(text) != "old\n" {
				t.Errorf("the base was written to: %q %v", text, err)
			}
		})
	}
}

func TestFiles(t *testing.T) {
	h := startHolder(t)
	j := hostJail(t, h)
	if err := j.Mkdir("build/in", 0o700, 1000, 1000); err != nil {
		t.Fatal(err)
	}
	f, err := j.Create("build/in/file", 0o600, 1000, 1001)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("content"); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if out, _ := sh(t, j,
		"stat -c '%u:%g %a' /build /build/in /build/in/file"); out != "0:0 755\n1000:1000 700\n1000:1001 600\n" {
		t.Errorf("owners and modes: %q", out)
	}
	if err := j.Symlink("/opt", "build/opt"); err != nil {
		t.Fatal(err)
	}
	if out, _ := sh(t, j, "readlink /build/opt; stat -c %u /build/opt"); out != "/opt\n0\n" {
		t.Errorf("symbolic link: %q", out)
	}
	sh(t, j, "ln -s /etc /build/link; ln -s file /build/in/l; mkfifo /build/pipe; cd /build/in "+
		"&& ln /build/in/file hard")
	for _, bad := range []string{"build/link/passwd", "build/in/l", "build/pipe", "build/link",
		"proc/self/root/etc/passwd"} {
		if f, err := j.Open(bad); err == nil {
			f.Close()
			t.Errorf("%s was opened", bad)
		}
	}
	f, err = j.Open("build/in/file")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if text, err := io.ReadAll(f); err != nil || string(text) != "content" {
		t.Errorf("%q %v", text, err)
	}
	if _, err := j.Create("build/link/x", 0o600, 0, 0); err == nil {
		t.Error("a link was followed")
	}
	if _, err := j.Create("build/in/file", 0o600, 0, 0); !errors.Is(err, os.ErrExist) {
		t.Errorf("overwriting: %v", err)
	}
}

func TestCancel(t *testing.T) {
	h := startHolder(t)
	j := hostJail(t, h)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	begin := time.Now()
	_, err := j.Run(ctx, Command{Argv: []string{"/bin/sleep", "1000"}})
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) > 10*time.Second {
		t.Errorf("%v after %v", err, time.Since(begin))
	}
	p, err := j.Start(Command{Argv: []string{"/bin/sleep", "1000"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	if st, err := p.Wait(context.Background()); err != nil || st.ExitCode() != 128+
		int(syscall.SIGUSR1) {
		t.Errorf("%v %v", st, err)
	}
}

func BenchmarkRunTrue(b *testing.B) {
	root := testRoot(b, startHolder(b))
	for b.Loop() {
		h := startHolder(b)
		j, err := h.NewJail(context.Background(), Spec{Root: Root{Lowers: []Lower{{Path: root}}},
			Mounts: programs()})
		if err != nil {
			b.Fatal(err)
		}
		if st, err := j.Run(context.Background(),
			Command{Argv: []string{"/bin/true"}}); err != nil || !st.Success() {
			b.Fatal(st, err)
		}
		h.Close()
	}
}
