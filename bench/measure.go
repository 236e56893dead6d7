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
	"time"
)

// measure runs a benchmark's contestants in turn and returns the table, as Markdown.
func (b benchmark) measure(ctx context.Context, l *lab) (string, error) {
	if b.instead != nil {
		lines, err := b.instead(ctx, l)
		return b.title() + lines, err
	}
	for _, c := range b.contestants {
		if c.once == nil {
			continue
		}
		if err := c.once(ctx, l); err != nil {
			return "", fmt.Errorf("preparing %s: %w", c.name, err)
		}
	}
	rounds := l.runs * max(1, b.times)
	times := make([][]time.Duration, len(b.contestants))
	for round := range rounds {
		for i, c := range b.contestants {
			if c.before != nil {
				if err := c.before(ctx, l); err != nil {
					return "", fmt.Errorf("preparing %s: %w", c.name, err)
				}
			}
			took, err := c.run(ctx, l)
			if err != nil {
				return "", err
			}
			times[i] = append(times[i], took)
			if b.times <= 1 {
				l.say("%s, round %d of %d: %s: %s", b.name, round+1, rounds, c.name, seconds(took))
			}
		}
	}
	return b.table(times), nil
}

func (b benchmark) title() string { return fmt.Sprintf("\n## %s: %s\n\n", b.name, b.what) }

// table shows medians, what they are of, and how the first contestant compares.
func (b benchmark) table(times [][]time.Duration) string {
	var t strings.Builder
	t.WriteString(b.title())
	fmt.Fprintf(&t, "| | median | least | most | %s takes |\n| --- | ---: | ---: | ---: | ---: |\n", b.contestants[0].name)
	ours := median(times[0])
	for i, c := range b.contestants {
		ratio := ""
		if i > 0 {
			ratio = fmt.Sprintf("%.2f ×", ours.Seconds()/median(times[i]).Seconds())
		}
		fmt.Fprintf(&t, "| %s | %s | %s | %s | %s |\n", c.name, seconds(median(times[i])), seconds(slices.Min(times[i])), seconds(slices.Max(times[i])), ratio)
	}
	return t.String()
}

// median is the middle, or the mean of the two in the middle.
func median(times []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// seconds shows a duration in the unit that suits it.
func seconds(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

// createMemory makes a base from nothing once more and watches nsbuild's processes. It is not timed: watching costs.
func createMemory(ctx context.Context, l *lab) (string, error) {
	l.based = false
	if err := l.empty("state", "cache"); err != nil {
		return "", err
	}
	cmd := l.command(ctx, l.nsbuild, "create", l.suite)
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
	err := l.finish(cmd)
	stop()
	r := <-done
	if err == nil {
		err = r.err
	}
	if err != nil {
		return "", err
	}
	if len(r.peaks) == 0 {
		return "", fmt.Errorf("no process of %s was seen", l.nsbuild)
	}
	var t strings.Builder
	t.WriteString("| process | peak resident memory |\n| --- | ---: |\n")
	for _, name := range slices.Sorted(maps.Keys(r.peaks)) {
		fmt.Fprintf(&t, "| %s | %.0f MiB |\n", name, float64(r.peaks[name])/(1<<20))
	}
	return t.String(), nil
}

// watchMemory looks, until ctx ends, at every process that runs a program, and returns the peak of each kind (VmHWM of proc_pid_status(5), which is the process's own and not its
// children's), by the process's first argument.
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
			peaks[name] = max(peaks[name], highWater(string(status)))
		}
	}
}

// highWater reads VmHWM, in bytes.
func highWater(status string) int64 {
	_, rest, ok := strings.Cut(status, "VmHWM:")
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
