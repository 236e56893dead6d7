package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// memory makes a base and builds a package once more and watches nsbuild's processes. It is not
// timed: watching costs.
func memory(ctx context.Context, l *lab) (*measured, error) {
	if err := l.empty("state-create", "cache-create"); err != nil {
		return nil, err
	}
	if err := l.sources(ctx, "tree"); err != nil {
		return nil, err
	}
	if err := l.base(ctx); err != nil {
		return nil, err
	}
	if err := l.fresh("out"); err != nil {
		return nil, err
	}
	if err := l.noLayers(); err != nil {
		return nil, err
	}
	m := &measured{}
	for _, work := range []struct {
		name string
		do   func() error
	}{
		{"create", func() error {
			_, err := l.create(ctx, "state-create", "cache-create")
			return err
		}},
		{"build", func() error { return l.do(ctx, l.nsbuildBuild("tree")...) }},
	} {
		watch, stop := context.WithCancel(ctx)
		type result struct {
			peaks map[string]int64
			err   error
		}
		done := make(chan result, 1)
		go func() {
			peaks, err := watchMemory(watch, l.nsbuild)
			done <- result{peaks, err}
		}()
		err := work.do()
		stop()
		r := <-done
		if err == nil {
			err = r.err
		}
		if err == nil && len(r.peaks) == 0 {
			err = fmt.Errorf("no process of %s was seen", l.nsbuild)
		}
		if err != nil {
			return nil, err
		}
		for _, name := range slices.Sorted(maps.Keys(r.peaks)) {
			m.Rows = append(m.Rows, row{Name: work.name + ": " + name, Unit: unitMiB,
				Values: []float64{float64(r.peaks[name]) / (1 << 20)}})
		}
	}
	return m, nil
}

// together is the name under which watchMemory gives the most that all processes had at one time.
const together = "all together"

// watchMemory looks, until ctx ends, at every process that runs a program, and returns the peak of
// each kind (VmHWM of proc_pid_status(5), which is the process's own and not its children's), by
// the process's first argument, and the most that all had at a time (Pss of proc_pid_smaps(5),
// which counts once what they share).
func watchMemory(ctx context.Context, program string) (map[string]int64, error) {
	want, err := os.Stat(program)
	if err != nil {
		return nil, err
	}
	peaks := map[string]int64{}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return peaks, nil
		case <-tick.C:
		}
		found, err := filepath.Glob("/proc/[0-9]*")
		if err != nil {
			return nil, err
		}
		var all int64
		for _, dir := range found {
			// Processes end while they are looked at.
			exe, err := os.Stat(filepath.Join(dir, "exe"))
			if err != nil || !os.SameFile(exe, want) {
				continue
			}
			status, err := os.ReadFile(filepath.Join(dir, "status"))
			if err != nil {
				continue
			}
			line, err := os.ReadFile(filepath.Join(dir, "cmdline"))
			if err != nil {
				continue
			}
			argv0, _, _ := strings.Cut(string(line), "\x00")
			name := filepath.Base(argv0)
			peaks[name] = max(peaks[name], kilobytes(string(status), "VmHWM:"))
			if rollup, err := os.ReadFile(filepath.Join(dir, "smaps_rollup")); err == nil {
				all += kilobytes(string(rollup), "\nPss:")
			}
		}
		peaks[together] = max(peaks[together], all)
	}
}

// kilobytes reads a field of files of proc(5), in bytes.
func kilobytes(text, field string) int64 {
	_, rest, ok := strings.Cut(text, field)
	if !ok {
		return 0
	}
	f := strings.Fields(rest)
	if len(f) < 2 || f[1] != "kB" {
		return 0
	}
	n, err := strconv.ParseInt(f[0], 10, 64)
	if err != nil {
		return 0
	}
	return n << 10
}

// transfers runs each tool once with an empty page cache and tells what the whole machine read from
// its disks and received from the network meanwhile.
func transfers(ctx context.Context, l *lab) (*measured, error) {
	if err := l.sources(ctx, "tree"); err != nil {
		return nil, err
	}
	if err := l.base(ctx); err != nil {
		return nil, err
	}
	if err := l.sbuildReady(ctx); err != nil {
		return nil, err
	}
	if err := l.fresh("out", "out-sbuild"); err != nil {
		return nil, err
	}
	if err := l.do(ctx, l.nsbuildBuild("tree")...); err != nil { // so that it is warm
		return nil, err
	}
	if err := l.fresh("out"); err != nil {
		return nil, err
	}
	if err := l.empty("state-create", "cache-create", "tree"); err != nil {
		return nil, err
	}
	m := &measured{}
	for _, work := range []struct {
		name string
		do   func() error
	}{
		{"nsbuild create, nothing cached", func() error {
			_, err := l.create(ctx, "state-create", "cache-create")
			return err
		}},
		{"mmdebstrap, to a directory", func() error {
			return l.do(ctx, "mmdebstrap", "--quiet", "--variant=buildd", l.suite, l.path("tree"))
		}},
		{"nsbuild build of tree, warm", func() error {
			return l.do(ctx, l.nsbuildBuild("tree")...)
		}},
		{"sbuild of tree, on a tmpfs", func() error {
			return l.do(ctx, append(l.sbuild(true, 2), l.dsc("tree"))...)
		}},
	} {
		syscall.Sync()
		if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0); err != nil {
			return nil, fmt.Errorf("emptying the page cache: %w", err)
		}
		before, err := moved()
		if err != nil {
			return nil, err
		}
		if err := work.do(); err != nil {
			return nil, err
		}
		syscall.Sync()
		after, err := moved()
		if err != nil {
			return nil, err
		}
		for i, what := range []string{"read from disk", "written to disk",
			"received from the network"} {
			m.Rows = append(m.Rows, row{Name: work.name + ": " + what, Unit: unitMiB,
				Values: []float64{float64(after[i]-before[i]) / (1 << 20)}})
		}
	}
	return m, nil
}

// moved is what this machine has read from and written to its disks (pgpgin and pgpgout of
// /proc/vmstat, in KiB) and received from the network (/proc/net/dev), in bytes.
func moved() (out [3]int64, err error) {
	vmstat, err := os.ReadFile("/proc/vmstat")
	if err != nil {
		return out, err
	}
	for line := range strings.Lines(string(vmstat)) {
		f := strings.Fields(line)
		for i, name := range []string{"pgpgin", "pgpgout"} {
			if len(f) == 2 && f[0] == name {
				kib, err := strconv.ParseInt(f[1], 10, 64)
				if err != nil {
					return out, err
				}
				out[i] = kib << 10
			}
		}
	}
	dev, err := os.ReadFile("/proc/net/dev")
	if err != nil {
		return out, err
	}
	for line := range strings.Lines(string(dev)) {
		name, counts, ok := strings.Cut(line, ":")
		f := strings.Fields(counts)
		if !ok || strings.TrimSpace(name) == "lo" || len(f) == 0 {
			continue
		}
		n, err := strconv.ParseInt(f[0], 10, 64)
		if err != nil {
			return out, err
		}
		out[2] += n
	}
	return out, nil
}
