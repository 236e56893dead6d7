package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// row is what was measured of one contestant.
type row struct {
	Name   string    `json:"name"`
	Unit   string    `json:"unit"`
	Values []float64 `json:"values"`
}

// measured is one benchmark's figures, and where and when they were taken.
type measured struct {
	Name    string    `json:"name"`
	What    string    `json:"what"`
	Date    time.Time `json:"date"`
	Machine string    `json:"machine"`
	Suite   string    `json:"suite"`
	Runs    int       `json:"runs"`
	Took    float64   `json:"took"` // seconds, with what had to be prepared
	Race    bool      `json:"race"` // the first row is what the others are compared with
	Rows    []row     `json:"rows"`
}

// results are the figures of all benchmarks, each of the last time that it was run.
type results struct {
	Benchmarks []measured `json:"benchmarks"`
}

const resultsFile = "results.json"

func readResults(dir string) (*results, error) {
	if dir == "-" {
		return &results{}, nil
	}
	data, err := os.ReadFile(filepath.Join(dir, resultsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return &results{}, nil
	}
	r := &results{}
	if err == nil {
		err = json.Unmarshal(data, r)
	}
	if err != nil {
		return nil, fmt.Errorf("reading earlier results: %w", err)
	}
	return r, nil
}

// put replaces a benchmark's figures. The order is that in which the benchmarks are defined.
func (r *results) put(m measured) {
	r.Benchmarks = slices.DeleteFunc(r.Benchmarks, func(old measured) bool {
		return old.Name == m.Name
	})
	r.Benchmarks = append(r.Benchmarks, m)
	order := names()
	slices.SortStableFunc(r.Benchmarks, func(a, b measured) int {
		return slices.Index(order, a.Name) - slices.Index(order, b.Name)
	})
}

func (r *results) get(name string) *measured {
	for i := range r.Benchmarks {
		if r.Benchmarks[i].Name == name {
			return &r.Benchmarks[i]
		}
	}
	return nil
}

// value is the median of the first row whose name begins so; ok is false when it was not measured.
func (r *results) value(name, prefix string) (v float64, ok bool) {
	m := r.get(name)
	if m == nil {
		return 0, false
	}
	for _, row := range m.Rows {
		if strings.HasPrefix(row.Name, prefix) && len(row.Values) > 0 {
			return median(row.Values), true
		}
	}
	return 0, false
}

// write stores the figures, and the report that is made of them.
func (r *results) write(dir string) error {
	if dir == "-" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	for name, text := range map[string]string{resultsFile: string(data) + "\n",
		"README.md": r.report(), "bench.svg": r.plot()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// list tells how long each benchmark takes.
func (r *results) list(s settings) string {
	var t strings.Builder
	var all float64
	fmt.Fprintf(&t, "%-16s %-14s  %s\n", "benchmark", fmt.Sprintf("-n %d takes", s.runs),
		"what is measured")
	for _, b := range benchmarks() {
		takes := "not known"
		if m := r.get(b.name); m != nil && m.Runs > 0 {
			rounds := 0.0
			if m.Race {
				for _, row := range m.Rows {
					for _, v := range row.Values {
						rounds += v
					}
				}
			}
			// What was not rounds was prepared once.
			seconds := m.Took - rounds + rounds/float64(m.Runs)*float64(s.runs)
			all += seconds
			takes = (time.Duration(seconds) * time.Second).String()
		}
		fmt.Fprintf(&t, "%-16s %-14s  %s\n", b.name, takes, b.what)
	}
	fmt.Fprintf(&t, "%-16s %s\n", "all of these", time.Duration(all)*time.Second)
	return t.String()
}
