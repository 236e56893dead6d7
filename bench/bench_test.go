package main

import (
	"strings"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		times []time.Duration
		want  time.Duration
	}{
		{nil, 0},
		{[]time.Duration{7}, 7},
		{[]time.Duration{9, 1, 5}, 5},
		{[]time.Duration{4, 1, 2, 9}, 3},
	} {
		if got := median(c.times); got != c.want {
			t.Errorf("median of %v is %v, want %v", c.times, got, c.want)
		}
	}
}

func TestTable(t *testing.T) {
	b := benchmark{name: "start", what: "a jail", contestants: []contestant{{name: "ours"}, {name: "theirs"}}}
	got := b.table([][]time.Duration{{3 * time.Millisecond, 5 * time.Millisecond}, {2 * time.Second, 2 * time.Second}})
	for _, want := range []string{"| ours | 4.0 ms | 3.0 ms | 5.0 ms |  |", "| theirs | 2.00 s | 2.00 s | 2.00 s | 0.00 × |"} {
		if !strings.Contains(got, want) {
			t.Errorf("no line %q in\n%s", want, got)
		}
	}
}

func TestHighWater(t *testing.T) {
	if got := highWater("VmPeak:\t  9999 kB\nVmHWM:\t    2048 kB\nVmRSS:\t 1 kB\n"); got != 2<<20 {
		t.Errorf("got %d", got)
	}
	if got := highWater("Name:\tkthreadd\n"); got != 0 {
		t.Errorf("got %d for a process without memory", got)
	}
}

func TestParse(t *testing.T) {
	s, err := parse([]string{"--short", "--only", "create,start"})
	if err != nil {
		t.Fatal(err)
	}
	var chosen []string
	for _, b := range benchmarks {
		if b.chosen(s) {
			chosen = append(chosen, b.name)
		}
	}
	if got := strings.Join(chosen, " "); got != "create create-cached start create-memory" {
		t.Errorf("chosen: %s", got)
	}
	if s.runs != 1 {
		t.Errorf("%d rounds with --short", s.runs)
	}
	for _, bad := range [][]string{{"--runs", "0"}, {"x"}, {"--no-such"}} {
		if _, err := parse(bad); err == nil {
			t.Errorf("%v was accepted", bad)
		}
	}
}

func TestTail(t *testing.T) {
	var out tail
	for i := range 100000 {
		if _, err := out.Write([]byte(strings.Repeat("x", i%70) + "\n")); err != nil {
			t.Fatal(err)
		}
	}
	if len(out.b) > 1<<16 {
		t.Errorf("%d bytes kept", len(out.b))
	}
	if n := strings.Count(out.last(), "\n") + 1; n > 30 {
		t.Errorf("%d lines shown", n)
	}
}
