package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// crowd is how many processes are to die.
const crowd = 1000

// dying compares how long it takes from SIGKILL, which nobody can answer, until the last process of
// a sandbox is dead. All hold standard output, so its end is theirs.
func dying() benchmark {
	script := fmt.Sprintf(
		"i=0; while [ $i -lt %d ]; do sleep 1000 & i=$((i+1)); done; echo ready; wait", crowd)
	killed := func(name string, once func(context.Context, *lab) error, argv func(*lab) []string,
		needs ...string) contestant {
		return contestant{name: name, needs: needs, once: once,
			run: func(ctx context.Context, l *lab) (time.Duration, error) {
				return l.die(ctx, argv(l)...)
			}}
	}
	return benchmark{
		name: "death",
		what: fmt.Sprintf("from SIGKILL until all of %d processes that sleep are dead", crowd),
		contestants: []contestant{
			killed("nsbuild run", func(ctx context.Context, l *lab) error { return l.base(ctx) },
				func(l *lab) []string {
					return []string{l.nsbuild, "run", l.suite, "--", "sh", "-c", script}
				}),
			killed("the kernel alone: a PID namespace", nil, func(*lab) []string {
				return []string{"unshare", "--user", "--map-root-user", "--pid", "--fork",
					"--kill-child", "--mount-proc", "sh", "-c", script}
			}),
			killed("bwrap --die-with-parent", nil, func(*lab) []string {
				return []string{"bwrap", "--unshare-all", "--die-with-parent", "--bind", "/", "/",
					"--proc", "/proc", "--dev", "/dev", "sh", "-c", script}
			}, "bubblewrap"),
		},
	}
}

// die starts a program, kills it once it has said that it is ready, and waits for the last holder
// of its output.
func (l *lab) die(ctx context.Context, argv ...string) (time.Duration, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	cmd := l.command(ctx, argv...)
	var errs tail
	cmd.Stdout, cmd.Stderr = w, &errs
	if err := errors.Join(cmd.Start(), w.Close()); err != nil {
		return 0, err
	}
	out := bufio.NewReader(r)
	line, err := out.ReadString('\n')
	if err != nil || line != "ready\n" {
		return 0, errors.Join(fmt.Errorf("%s: it said %q: %w\n%s", argv[0], line, err, errs.last()),
			cmd.Process.Kill())
	}
	began := time.Now()
	if err := cmd.Process.Kill(); err != nil {
		return 0, err
	}
	if _, err := io.Copy(io.Discard, out); err != nil {
		return 0, err
	}
	took := time.Since(began)
	if err := cmd.Wait(); err == nil {
		return 0, fmt.Errorf("%s survived SIGKILL", argv[0])
	}
	return took, nil
}

// leaks runs a command often and compares what the machine has in use before and after. Other
// programs use it, too: what counts is what grows with the runs.
func leaks(ctx context.Context, l *lab) (*measured, error) {
	const perRun = 2000 // with five runs, ten thousand
	if err := l.base(ctx); err != nil {
		return nil, err
	}
	argv := []string{l.nsbuild, "run", l.suite, "--", "true"}
	for range 20 { // so that caches are filled
		if err := l.do(ctx, argv...); err != nil {
			return nil, err
		}
	}
	before, err := l.inUse()
	if err != nil {
		return nil, err
	}
	times := perRun * l.runs
	for i := range times {
		if err := l.do(ctx, argv...); err != nil {
			return nil, err
		}
		if (i+1)%500 == 0 {
			l.say("leaks: %d of %d", i+1, times)
		}
	}
	after, err := l.inUse()
	if err != nil {
		return nil, err
	}
	m := &measured{}
	for i, b := range before {
		m.Rows = append(m.Rows,
			row{Name: b.name + ", before", Unit: b.unit, Values: []float64{b.value}},
			row{Name: fmt.Sprintf("%s, after %d runs", b.name, times), Unit: b.unit,
				Values: []float64{after[i].value}})
	}
	return m, nil
}

type amount struct {
	name, unit string
	value      float64
}

// inUse counts what a run could leave behind.
func (l *lab) inUse() ([]amount, error) {
	// proc_sys_fs(5): the first number is how many are open
	nr, err := os.ReadFile("/proc/sys/fs/file-nr")
	if err != nil {
		return nil, err
	}
	open, err := strconv.ParseFloat(strings.Fields(string(nr))[0], 64)
	if err != nil {
		return nil, err
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	groups, files := 0, 0
	count := func(dir string, counts func(fs.DirEntry) bool, n *int) error {
		return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && counts(d) {
				*n++
			}
			if err == nil && d.IsDir() && d.Name() == "tree" {
				return fs.SkipDir // of a base, which is only read
			}
			if errors.Is(err, fs.ErrNotExist) {
				return nil // another program's, which has gone
			}
			return err
		})
	}
	if err := count("/sys/fs/cgroup", fs.DirEntry.IsDir, &groups); err != nil {
		return nil, err
	}
	for _, dir := range []string{l.path("state"), l.path("cache")} {
		if err := count(dir, func(fs.DirEntry) bool { return true }, &files); err != nil {
			return nil, err
		}
	}
	memory, err := meminfo("Shmem", "SUnreclaim", "AnonPages")
	if err != nil {
		return nil, err
	}
	return []amount{
		{"open files of the machine", unitCount, open},
		{"mounts", unitCount, float64(strings.Count(string(mounts), "\n"))},
		{"control groups", unitCount, float64(groups)},
		{"files of nsbuild's state and cache", unitCount, float64(files)},
		{"memory in tmpfs", unitMiB, memory[0]},
		{"memory of the kernel that cannot be reclaimed", unitMiB, memory[1]},
		{"memory of processes", unitMiB, memory[2]},
	}, nil
}

// meminfo reads sizes of /proc/meminfo, in MiB.
func meminfo(names ...string) ([]float64, error) {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return nil, err
	}
	out := make([]float64, len(names))
	for line := range strings.Lines(string(data)) {
		for i, name := range names {
			if rest, ok := strings.CutPrefix(line, name+":"); ok {
				kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
				if err != nil {
					return nil, err
				}
				out[i] = kib / 1024
			}
		}
	}
	return out, nil
}
