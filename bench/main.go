// Command bench measures nsbuild beside the tools that it wants to replace, on one machine and in
// one run, and writes the ratios down.
//
// It is started by bench/run, which gives it a mount namespace of its own, and needs root.
// Contestants of one benchmark run in turn, round after round, so that what else the machine does
// hits all alike; medians are compared. What is only prepared is not timed. What nsbuild is made of
// is of no interest here: it is a program like the others.
//
// What was measured is kept as results.json beside the report, so that it can be measured in
// pieces: a benchmark that is run again replaces its part.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
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
	list    bool
	only    string
	skip    string
	out     string
	work    string
	lab     string
	nsbuild string
	verbose bool
}

const usage = `usage: bench/run [options]

Measures nsbuild against debootstrap, mmdebstrap, pbuilder, sbuild, bwrap, unshare and a bare dpkg-buildpackage,
which it installs from the distribution's packages. Needs root, the network and some 10 GB below --work.

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
	f.IntVar(&s.runs, "n", 5,
		"`rounds` of each benchmark; ten times as many for what takes milliseconds")
	f.IntVar(&s.runs, "runs", 5, "the same as -n")
	f.BoolVar(&s.short, "short", false, "one round of the quicker benchmarks and contestants, "+
		"written nowhere: whether it works, not how fast")
	f.BoolVar(&s.list, "list", false, "measure nothing: list the benchmarks, and how long -n "+
		"rounds of each take by what was measured last")
	f.StringVar(&s.only, "only", "", "only benchmarks whose `names` begin so, separated by commas")
	f.StringVar(&s.skip, "skip", "", "leave out contestants whose name has one of these `words`, "+
		"separated by commas, such as pbuilder,debootstrap")
	f.StringVar(&s.out, "output", "docs/performance", "`directory` of results.json, and of the "+
		"table and the plot that are made of it; - for none")
	f.StringVar(&s.work, "work", "/var/tmp",
		"work in a new directory below this `directory`; all tools use its file system")
	f.StringVar(&s.lab, "lab", "",
		"work in this `directory` and keep what was prepared there, for the next run")
	f.StringVar(&s.nsbuild, "nsbuild", "",
		"measure this `program` instead of one built from the tree")
	f.BoolVar(&s.verbose, "verbose", false, "show what the tools print")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	if f.NArg() > 0 {
		return s, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if s.short {
		s.runs, s.out = 1, "-"
	}
	if s.runs < 1 {
		return s, errors.New("-n must be at least 1")
	}
	if s.only != "" {
		for prefix := range strings.SplitSeq(s.only, ",") {
			if !strings.Contains(" "+strings.Join(names(), " "), " "+strings.TrimSpace(prefix)) {
				return s, fmt.Errorf("no benchmark begins with %q; there are %s", prefix,
					strings.Join(names(), ", "))
			}
		}
	}
	return s, nil
}

func run(ctx context.Context, args []string) (err error) {
	s, err := parse(args)
	if err != nil {
		return err
	}
	res, err := readResults(s.out)
	if err != nil {
		return err
	}
	if s.list {
		fmt.Print(res.list(s))
		return nil
	}
	if os.Getuid() != 0 {
		return errors.New("needs root: the peers do, and so do tmpfs and chroot")
	}
	l, err := openLab(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.clean()) }()
	for _, b := range benchmarks() {
		if !b.chosen(s) {
			continue
		}
		began := time.Now()
		m, err := b.measure(ctx, l)
		if err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
		m.Took = time.Since(began).Seconds()
		m.Date, m.Suite, m.Runs, m.Machine = time.Now().UTC().Truncate(time.Second), s.suite,
			s.runs, machine()
		fmt.Print(m.markdown())
		res.put(*m)
		// After each: a long run that is cut short has not been for nothing.
		if err := res.write(s.out); err != nil {
			return err
		}
	}
	return nil
}

// machine says where the figures were taken.
func machine() string {
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
	return fmt.Sprintf("%d cores (%s), %s", runtime.NumCPU(), cpu, kernel)
}
