package hosts

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"nsbuild/internal/e2e"
	"nsbuild/internal/testenv"
)

// carried prints what a command of a jail has of what its starter may have carried: it is the same
// for all callers.
const carried = `umask; grep -E '^Sig(Blk|Ign|Pnd)' /proc/self/status; cat /proc/self/personality
uname -m; ulimit -n; ulimit -s; ulimit -c; [ $(cat /proc/self/oom_score_adj) -ge 0 ] && echo expendable
ls /proc/self/fd | wc -l; env | sort; pwd; mkdir /tmp/a /tmp/a/b; stat -c %a /tmp/a /dev /dev/shm / `

// starter is a caller: what a shell does before it executes nsbuild, as "$@".
type starter struct {
	name, shell string
	tools       string // that it needs
	// plain: not for a program with the race detector, which needs much memory itself
	plain bool
	// tries is how often it may be tried: where all counts that the user runs, the tests of other
	// packages come and go meanwhile.
	tries   int
	refused e2e.Refusal // status 0: it works
	who     string      // "root" or "user", when it is about one of them
	// that a command may open, when it is not the usual number: a hard limit stays
	files string
}

// callers are what has been seen in the field, and its kin.
func callers() []starter {
	const files = "the limit of this process for open files is too low: ulimit -n is "
	tooFew := func(says, hint string) e2e.Refusal {
		return e2e.Refusal{Status: 125, Says: []string{says}, Hint: hint}
	}
	var all []starter
	for _, mask := range []string{"000", "002", "022", "027", "077", "0177", "0777"} {
		all = append(all, starter{name: "umask " + mask, shell: `umask ` + mask + `; exec "$@"`})
	}
	for _, sig := range []string{"", "=HUP", "=INT", "=TERM", "=PIPE", "=CHLD", "=CONT", "=ALRM"} {
		all = append(all,
			starter{name: "ignored signals" + sig, shell: `exec env --ignore-signal` + sig +
				` "$@"`, tools: "env"},
			starter{name: "blocked signals" + sig, shell: `exec env --block-signal` + sig +
				` "$@"`, tools: "env"})
	}
	return append(all, []starter{
		{name: "no core", shell: `ulimit -c 0; exec "$@"`},
		{name: "64 files", shell: `ulimit -n 64; exec "$@"`, files: "64"},
		{name: "63 files", shell: `ulimit -n 63; exec "$@"`,
			refused: tooFew(files+"63", "ulimit -n 64")},
		{name: "8 files", shell: `ulimit -n 8; exec "$@"`,
			refused: tooFew(files+"8", "LimitNOFILE=")},
		{name: "5 files", shell: `ulimit -n 5; exec "$@"`,
			refused: tooFew(files+"5", "limits.conf(5)")},
		{name: "few files, soft", shell: `ulimit -S -n 8; exec "$@"`},
		// A program with cgo, as the test may be, has more threads' stacks and arenas than a
		// release.
		{name: "address space", shell: `ulimit -v 2097152; exec "$@"`, plain: true},
		{name: "little address space", plain: true, shell: `ulimit -v 2097151; exec "$@"`,
			refused: tooFew(
				"for address space is too low: ulimit -v is 2097151, nsbuild needs 2097152",
				"LimitAS=")},
		{name: "data", shell: `ulimit -d 393216; exec "$@"`, plain: true},
		{name: "little data", plain: true, shell: `ulimit -d 393215; exec "$@"`,
			refused: tooFew("for data is too low: ulimit -d is 393215, nsbuild needs 393216",
				"LimitDATA=")},
		{name: "file size", shell: `ulimit -f 20000; exec "$@"`},
		{name: "small files", shell: `ulimit -f 100; exec "$@"`,
			refused: tooFew(
				"for the size of a file is too low: ulimit -f is 50, nsbuild needs 1024",
				"LimitFSIZE=")},
		{name: "small stack", shell: `ulimit -S -s 256; exec "$@"`},
		{name: "stack without limit", shell: `ulimit -S -s unlimited; exec "$@"`},
		{name: "no locked memory", shell: `ulimit -l 0; exec "$@"`},
		{name: "some processor time", shell: `ulimit -S -t 1; exec "$@"`},
		{name: "no pending signals", shell: `exec prlimit --sigpending=0 -- "$@"`, tools: "prlimit",
			refused: tooFew("for pending signals is too low: ulimit -i is 0", "LimitSIGPENDING=")},
		{name: "no message queues",
			shell: `exec prlimit --msgqueue=0 --locks=0 --nice=0 --rtprio=0 -- "$@"`,
			tools: "prlimit"},
		// Others of the same user count, and the Go runtime needs some to come to main.
		{name: "few processes", tools: "prlimit ps", tries: 5,
			refused: tooFew("the limit of processes is too low: ulimit -u is ", "LimitNPROC="),
			shell:   `n=0; [ "$(id -u)" = 0 ] || n=$(ps -L -U "$(id -u)" -o tid= | wc -l); exec prlimit --nproc=$((n + 24)) -- "$@"`},
		{name: "nice", shell: `exec nice -n 19 "$@"`, tools: "nice"},
		{name: "idle", shell: `exec chrt -i 0 "$@"`, tools: "chrt"},
		{name: "killed first", shell: `exec choom -n 1000 -- "$@"`, tools: "choom"},
		{name: "one processor",
			shell: `exec taskset -c "$(taskset -cp $$ | sed 's/.*[ ,-]//')" "$@"`,
			tools: "taskset"},
		{name: "32-bit personality", shell: `exec setarch linux32 "$@"`, tools: "setarch"},
		{name: "fixed addresses", shell: `exec setarch -R "$@"`, tools: "setarch"},
		{name: "no directory", shell: `mkdir gone; cd gone; rmdir ../gone; exec "$@"`},
		{name: "unreadable directory", shell: `mkdir -p shut; cd shut; chmod 0 ../shut; exec "$@"`},
		{name: "empty environment",
			shell: `exec env -i "NSBUILD_STATE=$NSBUILD_STATE" "NSBUILD_CACHE=$NSBUILD_CACHE" NSBUILD_CONFIG= "$@"`, tools: "env"},
		{name: "no PATH", shell: `unset PATH; exec "$@"`},
		{name: "another PATH", shell: `PATH=/nonexistent:.; exec "$@"`},
		{name: "unknown locale", shell: `LC_ALL=xx_YY.nope LANG=zz_ZZ LANGUAGE=q exec "$@"`},
		{name: "no temporary directory", shell: `TMPDIR=/nonexistent exec "$@"`},
		{name: "no input", shell: `exec <&-; exec "$@"`},
		{name: "input that is written to", shell: `exec 0>in; exec "$@"`},
		{name: "more descriptors", shell: `exec 3</ 4</etc 5>&1 6>/dev/null 7<&0 9<.; exec "$@"`},
		{name: "signal at the parent's death", shell: `exec setpriv --pdeathsig TERM "$@"`,
			tools: "setpriv"},
		{name: "session", shell: `exec setsid -w "$@"`, tools: "setsid"},
		{name: "no new privileges, root", shell: `exec setpriv --no-new-privs "$@"`,
			tools: "setpriv", who: "root"},
		{
			name: "no new privileges", shell: `exec setpriv --no-new-privs "$@"`, tools: "setpriv",
			who:     "user",
			refused: tooFew("write to uid_map failed: Operation not permitted", "no_new_privs"),
		},
		{
			name:  "no capabilities",
			shell: `exec setpriv --bounding-set=-setuid --inh-caps=-all "$@"`, tools: "setpriv",
			who:     "root",
			refused: tooFew("mapping ids", "CAP_SETUID"),
		},
	}...)
}

// TestCallers starts nsbuild from all kinds of processes. It works, and its command sees the same
// each time, or it is refused in words; nothing is left of either that hinders the next.
func TestCallers(t *testing.T) {
	testenv.RequireUserns(t)
	program, w, root := withRoot(t)
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(w.Dir, "shut"), 0o700) }) // only if it was made
	command := []string{program, "run", "--root", root, "--overlay", "-f", root + ".fstab", "--",
		"/bin/sh", "-c", carried}
	usual := startedBy(t, w, `exec "$@"`, command)
	if usual.Status != 0 || !strings.HasPrefix(usual.Stdout, "0022\nSigPnd:\t0000000000000000\n") ||
		!strings.Contains(usual.Stdout, "\nexpendable\n") {
		t.Fatal(usual)
	}
	for _, c := range callers() {
		t.Run(c.name, func(t *testing.T) {
			switch c.who {
			case "root":
				testenv.RequireRoot(t)
			case "user":
				testenv.RequireUser(t)

			}
			if c.plain && e2e.RaceDetector {
				testenv.Missing(t, "norace", "the race detector needs more memory than this leaves")
			}
			if c.tools != "" {
				testenv.RequireTool(t, strings.Fields(c.tools)...)
			}
			o := startedBy(t, w, c.shell, command)
			for i := 1; i < c.tries && o.Status != c.refused.Status; i++ {
				t.Logf("again: %s", o)
				o = startedBy(t, w, c.shell, command)
			}
			if c.refused.Status != 0 {
				c.refused.Check(t, o)
				return
			}
			want := usual.Stdout
			if c.files != "" {
				want = strings.Replace(want, "\n1024\n", "\n"+c.files+"\n", 1)
			}
			if o.Status != 0 || o.Stdout != want || o.Stderr != usual.Stderr {
				t.Errorf("%s\nusual: %s", o, usual)
			}
		})
	}
	// Without standard output or standard error there are no words.
	for _, closed := range []string{`exec >&-; exec "$@"`, `exec 2>&-; exec "$@"`,
		`exec <&- >&- 2>&-; exec "$@"`, `exec >/dev/full; exec "$@"`} {
		o := startedBy(t, w, closed, append(command[:len(command)-1:len(command)-1], "exit 7"))
		if o.Status != 7 {
			t.Errorf("%s: %s", closed, o)
		}
	}
}

// TestBlockedSignals has no shell between nsbuild and the command, since a shell may unblock for
// itself what it was started with.
func TestBlockedSignals(t *testing.T) {
	testenv.RequireUserns(t)
	testenv.RequireTool(t, "env")
	program, w, root := withRoot(t)
	jail := []string{"--root", root, "--overlay", "-f", root + ".fstab"}
	look := []string{"--", "/bin/grep", "^Sig[BI]", "/proc/self/status"}
	check := func(args ...string) {
		t.Helper()
		o := startedBy(t, w, `exec env --block-signal --ignore-signal "$@"`,
			append([]string{program}, args...))
		if want := "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"; o.Status != 0 ||
			o.Stdout != want {
			t.Error(o)
		}
	}
	check(slices.Concat([]string{"run"}, jail, look)...)
	check(slices.Concat([]string{"run", "--memory", "1G"}, jail, look)...)
	o := startedBy(t, w, `exec env --block-signal "$@"`,
		slices.Concat([]string{program, "session", "begin", "--name", "deaf"}, jail))
	if o.Status != 0 {
		t.Fatal(o)
	}
	defer w.Must(t, "session", "end", "deaf")
	check(slices.Concat([]string{"session", "run", "deaf"}, look)...)
}

// TestNoDirectory calls verbs that need a current directory where there is none.
func TestNoDirectory(t *testing.T) {
	testenv.RequireUserns(t)
	program := e2e.Program(t)
	w := e2e.NewWorld(t)
	for args, want := range map[string]e2e.Refusal{
		"build -d bookworm hello":            {Status: 1},
		"run --bind .:/mnt bookworm -- true": {Status: 125},
	} {
		o := startedBy(t, w, `mkdir gone; cd gone; rmdir ../gone; exec "$@"`,
			append([]string{program}, strings.Fields(args)...))
		want.Says, want.Hint = []string{"the current directory is gone"},
			"a directory that is there"
		want.Check(t, o)
	}
}

// TestNohup sends SIGHUP to an nsbuild that was started with it ignored, and to one that was not.
func TestNohup(t *testing.T) {
	testenv.RequireUserns(t)
	program := e2e.Program(t)
	w := e2e.NewWorld(t)
	root := filepath.Join(w.Dir, "root")
	e2e.Check(t, e2e.MakeRoot(root))
	// What has a handler is not ignored in programs that are started, as it is where the tests
	// themselves run under nohup(1).
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	defer signal.Reset(syscall.SIGHUP)
	for shell, want := range map[string]int{`trap '' HUP; exec "$@"`: 0,
		`exec "$@"`: 128 + int(syscall.SIGHUP)} {
		c := exec.CommandContext(t.Context(), "/bin/sh", "-c", shell, "sh", program, "run",
			"--root", root, "--overlay",
			"-f", root+".fstab", "--", "/bin/sh", "-c", "echo begun; read line; echo done")
		c.Dir, c.Env, c.WaitDelay = w.Dir, w.Environment(), time.Second
		in, err := c.StdinPipe()
		e2e.Check(t, err)
		out, err := c.StdoutPipe()
		e2e.Check(t, err)
		e2e.Check(t, c.Start())
		begun := make([]byte, len("begun\n"))
		_, err = io.ReadFull(out, begun)
		e2e.Check(t, err)
		e2e.Check(t, c.Process.Signal(syscall.SIGHUP))
		if want == 0 { // what is ignored never arrives, so now is late enough
			_, err = io.WriteString(in, "\n")
			e2e.Check(t, err)
		}
		rest, err := io.ReadAll(out)
		e2e.Check(t, err)
		if err := c.Wait(); c.ProcessState.ExitCode() != want || want == 0 &&
			string(rest) != "done\n" {
			t.Errorf("%s: %q, %v; want status %d", shell, rest, err, want)
		}
	}
}

// TestSessionAndDescriptors begins a session under a lock of flock(1): the session does not hold
// it.
func TestSessionAndDescriptors(t *testing.T) {
	testenv.RequireUserns(t)
	testenv.RequireTool(t, "flock")
	program, w, root := withRoot(t)
	begin := []string{program, "session", "begin", "--root", root, "--overlay", "-f",
		root + ".fstab", "--name", "locked"}
	if o := startedBy(t, w, `exec 9>lock; flock 9; exec "$@"`, begin); o.Status != 0 {
		t.Fatal(o)
	}
	defer w.Must(t, "session", "end", "locked")
	if o := startedBy(t, w, `exec flock -n lock "$@"`, []string{"true"}); o.Status != 0 {
		t.Errorf("the session holds the lock of its caller: %s", o)
	}
}

// withRoot is the program, a world, and in that a small root directory, with its mounts in
// root.fstab.
func withRoot(t *testing.T) (program string, w *e2e.World, root string) {
	t.Helper()
	program, w = e2e.Program(t), e2e.NewWorld(t)
	testenv.HostState(t)
	root = filepath.Join(w.Dir, "root")
	e2e.Check(t, e2e.MakeRoot(root))
	return program, w, root
}

// startedBy runs a command as a shell's, and reports a hang as a failure.
func startedBy(t *testing.T, w *e2e.World, shell string, command []string) e2e.Outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), e2e.TooLong)
	defer cancel()
	c := exec.CommandContext(ctx, "/bin/sh", append([]string{"-c", shell, "sh"}, command...)...)
	c.Dir, c.Env, c.WaitDelay = w.Dir, w.Environment(), time.Second
	var stdout, stderr strings.Builder
	c.Stdout, c.Stderr = &stdout, &stderr
	err := c.Run()
	if ctx.Err() != nil {
		t.Fatalf("it hangs; stderr: %s", stderr.String())
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	o := e2e.Outcome{Status: c.ProcessState.ExitCode(), Stdout: stdout.String(),
		Stderr: stderr.String()}
	if ws, ok := c.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		o.Status = 128 + int(ws.Signal())
	}
	return o
}
