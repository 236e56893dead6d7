package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// contestant is one tool's way of doing a benchmark's work.
type contestant struct {
	name string
	// prepare is not timed; once is done before the first round, before in front of each.
	once, before func(context.Context, *lab) error
	run          func(context.Context, *lab) (time.Duration, error)
	// needs are the packages with the tools that it is made of.
	needs []string
	long  bool // left out by --short
	// optional contestants that cannot be prepared are left out, with a word.
	optional bool
}

// benchmark is work that several tools can do. The first contestant is the one that the others are
// compared with.
type benchmark struct {
	name, what  string
	times       int  // multiplies the rounds
	long        bool // left out by --short
	newDisks    bool // each contestant works on a new, empty one in each round
	contestants []contestant
	// instead of a race, this takes the figures, with tools of these packages.
	instead func(context.Context, *lab) (*measured, error)
	needs   []string
}

func names() []string {
	var out []string
	for _, b := range benchmarks() {
		out = append(out, b.name)
	}
	return out
}

func (b benchmark) chosen(s settings) bool {
	if s.only == "" {
		return !s.short || !b.long
	}
	for prefix := range strings.SplitSeq(s.only, ",") {
		if strings.HasPrefix(b.name, strings.TrimSpace(prefix)) {
			return true
		}
	}
	return false
}

// racing are the contestants that are wanted: the first in any case.
func (b benchmark) racing(s settings) []contestant {
	var racing []contestant
	for i, c := range b.contestants {
		if i == 0 || !c.skipped(s) {
			racing = append(racing, c)
		}
	}
	return racing
}

// peers are the packages of what is measured beside nsbuild, and of what is used to prepare it.
func peers(s settings) []string {
	needs := []string{"debian-archive-keyring", "fakeroot", "mmdebstrap", "uidmap"}
	for _, b := range benchmarks() {
		if !b.chosen(s) {
			continue
		}
		needs = append(needs, b.needs...)
		for _, c := range b.racing(s) {
			needs = append(needs, c.needs...)
		}
	}
	slices.Sort(needs)
	return slices.Compact(needs)
}

// skipped tells whether a contestant is not wanted.
func (c contestant) skipped(s settings) bool {
	if s.short && c.long {
		return true
	}
	for word := range strings.SplitSeq(s.skip, ",") {
		if word = strings.TrimSpace(word); word != "" && strings.Contains(" "+c.name, " "+word) {
			return true
		}
	}
	return false
}

// measure runs a benchmark's contestants in turn.
func (b benchmark) measure(ctx context.Context, l *lab) (m *measured, err error) {
	if b.instead != nil {
		m, err = b.instead(ctx, l)
		if err == nil {
			m.Name, m.What = b.name, b.what
		}
		return m, err
	}
	m = &measured{Name: b.name, What: b.what, Race: true}
	if b.newDisks { // what is done once wants one, too
		if err := l.newDisk(ctx); err != nil {
			return nil, fmt.Errorf("making a new disk: %w", err)
		}
		defer func() { err = errors.Join(err, l.noDisk()) }()
	}
	var racing []contestant
	for _, c := range b.racing(l.settings) {
		if c.once != nil {
			if err := c.once(ctx, l); err != nil && c.optional && ctx.Err() == nil {
				l.say("%s: without %s: %v", b.name, c.name, err)
				continue
			} else if err != nil {
				return nil, fmt.Errorf("preparing %s: %w", c.name, err)
			}
		}
		racing = append(racing, c)
		m.Rows = append(m.Rows, row{Name: c.name, Unit: unitSeconds})
	}
	rounds := l.runs * max(1, b.times)
	for round := range rounds {
		for i, c := range racing {
			if b.newDisks {
				if err := l.newDisk(ctx); err != nil {
					return nil, fmt.Errorf("making a new disk: %w", err)
				}
			}
			if c.before != nil {
				if err := c.before(ctx, l); err != nil {
					return nil, fmt.Errorf("preparing %s: %w", c.name, err)
				}
			}
			took, err := c.run(ctx, l)
			if err != nil {
				return nil, err
			}
			m.Rows[i].Values = append(m.Rows[i].Values, took.Seconds())
			if b.times <= 1 {
				l.say("%s, round %d of %d: %s: %s", b.name, round+1, rounds, c.name,
					show(took.Seconds(), unitSeconds))
			}
		}
	}
	return m, nil
}

// median is the middle, or the mean of the two in the middle.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// Units of rows.
const (
	unitSeconds = "s"
	unitMiB     = "MiB"
	unitCount   = ""
)

// show gives a value in the unit that suits it.
func show(v float64, unit string) string {
	switch {
	case unit == unitMiB && v < 10:
		return fmt.Sprintf("%.1f MiB", v)
	case unit == unitCount:
		return fmt.Sprintf("%.0f", v)
	case unit == unitMiB:
		return fmt.Sprintf("%.0f MiB", v)
	case v < 1:
		return fmt.Sprintf("%.1f ms", v*1000)
	}
	return fmt.Sprintf("%.2f s", v)
}
