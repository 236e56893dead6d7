// Package nearest finds what a misspelt name was meant to be.
package nearest

import (
	"cmp"
	"slices"
)

// Names returns up to n of the names that a slip of the fingers could have turned into want,
// nearest first: those within a third of its length in edits, and those that it is the beginning
// of.
func Names(want string, names []string, n int) []string {
	type candidate struct {
		name string
		dist int
	}
	limit := max(1, len(want)/3)
	var found []candidate
	for _, name := range names {
		d := Distance(want, name, limit)
		if d > limit && len(want) >= 3 && len(name) > len(want) && name[:len(want)] == want {
			d = limit
		}
		if d <= limit && !slices.ContainsFunc(found, func(c candidate) bool {
			return c.name == name
		}) {
			found = append(found, candidate{name, d})
		}
	}
	slices.SortStableFunc(found, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.dist, b.dist), cmp.Compare(a.name, b.name))
	})
	var out []string
	for _, c := range found[:min(n, len(found))] {
		out = append(out, c.name)
	}
	return out
}

// Distance counts insertions, deletions, substitutions and swaps of neighbours between a and b
// (optimal string alignment); anything above limit comes back as limit+1.
func Distance(a, b string, limit int) int {
	if d := len(a) - len(b); d > limit || -d > limit {
		return limit + 1
	}
	before, prev, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		best := i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
			best = min(best, row[j])
		}
		if best > limit {
			return limit + 1
		}
		before, prev, row = prev, row, before
	}
	return min(prev[len(b)], limit+1)
}
