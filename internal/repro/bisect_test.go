package repro

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestBisect has builds differ by some variations alone, and by some pairs. All of it is found, and
// with as few builds as it takes.
func TestBisect(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 19))
		var all []string
		for i := range 1 + r.IntN(16) {
			all = append(all, fmt.Sprintf("v%02d", i))
		}
		left := slices.Clone(all)
		r.Shuffle(len(left), func(i, j int) { left[i], left[j] = left[j], left[i] })
		var want [][]string
		for range 1 + r.IntN(3) {
			n := 1
			if len(left) > 2 && r.IntN(4) == 0 {
				n = 2
			}
			if len(left) < n {
				break
			}
			want = append(want, slices.Sorted(slices.Values(left[:n])))
			left = left[n:]
		}
		builds := 0
		got, err := bisect(all, func(set []string) (bool, error) {
			builds++
			return slices.ContainsFunc(want, func(cause []string) bool {
				return !slices.ContainsFunc(cause, func(v string) bool {
					return !slices.Contains(set, v)
				})
			}), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		most := 0
		for _, cause := range want {
			most += len(cause)*(bits.Len(uint(len(all)))+1) + 1
		}
		for _, cause := range got {
			slices.Sort(cause)
		}
		slices.SortFunc(got, slices.Compare)
		slices.SortFunc(want, slices.Compare)
		if d := cmp.Diff(want, got); d != "" || builds > most {
			t.Fatalf("seed %d, %d variations: %d builds of %d: %s", seed, len(all), builds, most, d)
		}
	}
}

// TestBisectFails passes on that a build could not be made.
func TestBisectFails(t *testing.T) {
	all := []string{"a", "b", "c"}
	for after := range 2 {
		builds := 0
		_, err := bisect(all, func(set []string) (bool, error) {
			if builds++; builds > after {
				return false, fmt.Errorf("no build")
			}
			return slices.Contains(set, "a"), nil
		})
		if err == nil {
			t.Errorf("after %d builds: no error", after)
		}
	}
}
