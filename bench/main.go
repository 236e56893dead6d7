// Command bench measures nsbuild beside the tools that it wants to replace, on one machine and in one run, and prints the ratios.
//
// It is started by bench/run, which gives it a mount namespace of its own, and needs root. Contestants of one benchmark run in turn, round after round, so that what else the machine
// does hits all alike; medians are compared. What is only prepared is not timed. What nsbuild is made of is of no interest here: it is a program like the others.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
		stop()
		os.Exit(1)
	}
}

// settings are the command line.
type settings struct {
	suite   string
	runs    int
	short   bool
	only    string
	out     string
	work    string
	nsbuild string
	verbose bool
}

const usage = `usage: bench/run [options]

Measures nsbuild against debootstrap, mmdebstrap, sbuild, bwrap and a bare dpkg-buildpackage, which it installs
from the distribution's packages. Needs root, the network and some 5 GB below --work.

`

func parse(args []string) (settings, error) {
	var s settings
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.Usage = func() {
		fmt.Fprint(os.Stderr, usage)
		f.PrintDefaults()
		fmt.Fprintln(os.Stderr, "\nbenchmarks:", strings.Join(names(), ", "))
	}
	f.StringVar(&s.suite, "suite", "bookworm", "the `suite` to make and to build for")
	f.IntVar(&s.runs, "runs", 5, "`rounds` of each benchmark; ten times as many for what takes milliseconds")
	f.BoolVar(&s.short, "short", false, "one round of the quicker benchmarks: whether it works, not how fast")
	f.StringVar(&s.only, "only", "", "only benchmarks whose `names` begin so, separated by commas")
	f.StringVar(&s.out, "output", "", "also write the tables as Markdown into this `file`, such as docs/performance/bookworm.md")
	f.StringVar(&s.work, "work", "/var/tmp", "work in a new directory below this `directory`; all tools use its file system")
	f.StringVar(&s.nsbuild, "nsbuild", "", "measure this `program` instead of one built from the tree")
	f.BoolVar(&s.verbose, "verbose", false, "show what the tools print")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	if f.NArg() > 0 {
		return s, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if s.short {
		s.runs = 1
	}
	if s.runs < 1 {
		return s, errors.New("--runs must be at least 1")
	}
	return s, nil
}

func run(ctx context.Context, args []string) (err error) {
	s, err := parse(args)
	if err != nil {
		return err
	}
	if os.Getuid() != 0 {
		return errors.New("needs root: the peers do, and so do tmpfs and chroot")
	}
	l := &lab{settings: s}
	if l.dir, err = os.MkdirTemp(s.work, "bench."); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.clean()) }()
	if err := os.Chmod(l.dir, 0o755); err != nil {
		return err
	}
	if err := l.prepare(ctx); err != nil {
		return fmt.Errorf("preparing: %w", err)
	}
	report := &strings.Builder{}
	fmt.Fprintf(report, "# nsbuild and its peers\n\n%s\n", machine(s))
	fmt.Print(report.String())
	for _, b := range benchmarks {
		if !b.chosen(s) {
			continue
		}
		table, err := b.measure(ctx, l)
		if err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
		fmt.Print(table)
		report.WriteString(table)
	}
	if s.out == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(s.out), 0o755); err != nil {
		return err
	}
	return os.WriteFile(s.out, []byte(report.String()), 0o644)
}

// machine says where and when the figures were taken.
func machine(s settings) string {
	kernel := "unknown kernel"
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		kernel = "Linux " + strings.TrimSpace(string(b))
	}
	cpu := runtime.GOARCH
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, rest, ok := strings.Cut(string(b), "model name"); ok {
			line, _, _ := strings.Cut(rest, "\n")
			cpu = strings.TrimSpace(strings.TrimLeft(line, " \t:"))
		}
	}
	return fmt.Sprintf("%s. %d cores (%s), %s. Suite %s, %d rounds in turn, medians.\n", time.Now().UTC().Format("2 January 2006"), runtime.NumCPU(), cpu, kernel, s.suite, s.runs)
}

// lab is where the contestants work.
type lab struct {
	settings
	dir  string // everything below it is ours
	user string // runs sbuild
	tar  string // the suite's build base, for sbuild and the bare chroot
	// mounted are directories with mounts in them: chroots by package, and "sbuild".
	mounted map[string]string
	based   bool // nsbuild has its base
}

func (l *lab) path(elem ...string) string { return filepath.Join(append([]string{l.dir}, elem...)...) }

// command is one that the lab runs in its directory, with an environment that holds nothing of the caller's but what programs need.
func (l *lab) command(ctx context.Context, argv ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = l.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", "NSBUILD_STATE="+l.path("state"), "NSBUILD_CACHE="+l.path("cache"))
	// A tool that starts others gets a chance to end them.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// do runs a command; what it printed is shown when it fails.
func (l *lab) do(ctx context.Context, argv ...string) error { return l.finish(l.command(ctx, argv...)) }

func (l *lab) finish(cmd *exec.Cmd) error {
	var out tail
	cmd.Stdout, cmd.Stderr = &out, &out
	if l.verbose {
		w := io.MultiWriter(os.Stderr, &out)
		cmd.Stdout, cmd.Stderr = w, w
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out.last())
	}
	return nil
}

// tail keeps the end of what is written to it.
type tail struct{ b []byte }

func (t *tail) Write(b []byte) (int, error) {
	t.b = append(t.b, b...)
	if over := len(t.b) - 1<<16; over > 0 {
		t.b = slices.Delete(t.b, 0, over)
	}
	return len(b), nil
}

func (t *tail) last() string {
	lines := strings.Split(strings.TrimSpace(string(t.b)), "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}

func (l *lab) say(format string, args ...any) { fmt.Fprintf(os.Stderr, "… "+format+"\n", args...) }
