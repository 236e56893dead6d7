package dirorder

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// listed are entries as the kernel gives them, each with its place as what comes behind it.
func listed(nameAt int, names ...string) (all []byte) {
	for i, name := range names {
		size := (nameAt + len(name) + 2 + 7) &^ 7
		e := make([]byte, size)
		binary.NativeEndian.PutUint64(e, uint64(len(name)))
		binary.NativeEndian.PutUint64(e[offsetOff:], uint64(i+1))
		binary.NativeEndian.PutUint16(e[offsetLen:], uint16(size))
		copy(e[nameAt:], name)
		all = append(all, e...)
	}
	return all
}

// order are the names of entries, and the places behind them.
func order(t *testing.T, from []byte, nameAt int) (names []string, places []uint64) {
	t.Helper()
	var p permuter
	if err := p.parse(from, nameAt); err != nil {
		t.Fatal(err)
	}
	for _, e := range p.entries {
		name, _, _ := bytes.Cut(e.bytes[nameAt:], []byte{0})
		names, places = append(names, string(name)), append(places, e.next())
	}
	return names, places
}

// TestPermute gives each number of names another order, and leaves everything else as it was.
func TestPermute(t *testing.T) {
	for _, nameAt := range []int{nameOf64, nameOfOld} {
		for n := range 40 {
			was := []string{".", ".."}
			for i := range n {
				was = append(was, fmt.Sprintf("name-%d", i*i*i))
			}
			given := listed(nameAt, was...)
			for seed := range uint64(20) {
				p := permuter{seed: seed}
				out, err := p.permute(nil, given, nameAt)
				if err != nil {
					t.Fatal(err)
				}
				again, err := p.permute(nil, given, nameAt)
				if err != nil || string(again) != string(out) || len(out) != len(given) {
					t.Fatalf("seed %d, %d names: another result the second time: %v", seed, n, err)
				}
				is, places := order(t, out, nameAt)
				if n > 1 && is[2] == was[2] || is[0] != "." || is[1] != ".." {
					t.Errorf("seed %d: %q", seed, is)
				}
				if !slices.IsSorted(places) {
					t.Errorf("seed %d: the places behind the entries are %d", seed, places)
				}
				slices.Sort(is)
				if diff := cmp.Diff(slices.Sorted(slices.Values(was)), is); diff != "" {
					t.Error(diff)
				}
			}
		}
	}
}

// TestPermuteSeeds has other numbers give other orders.
func TestPermuteSeeds(t *testing.T) {
	given := listed(nameOf64, "a", "b", "c", "d", "e", "f", "g", "h", "i", "j")
	seen := map[string]bool{}
	for seed := range uint64(10) {
		p := permuter{seed: seed}
		out, err := p.permute(nil, given, nameOf64)
		if err != nil {
			t.Fatal(err)
		}
		seen[string(out)] = true
	}
	if len(seen) < 9 {
		t.Errorf("ten seeds give %d orders", len(seen))
	}
}

func TestPermuteMalformed(t *testing.T) {
	whole := listed(nameOf64, "some", "names")
	zero := slices.Clone(whole)
	binary.NativeEndian.PutUint16(zero[offsetLen:], 0)
	long := slices.Clone(whole)
	binary.NativeEndian.PutUint16(long[offsetLen:], uint16(len(long)+1))
	for name, text := range map[string][]byte{"cut": whole[:len(whole)-1], "short": whole[:10],
		"of no length": zero, "too long": long} {
		var p permuter
		if _, err := p.permute(nil, text, nameOf64); err == nil {
			t.Errorf("entries that are %s are taken", name)
		}
	}
	var p permuter
	if out, err := p.permute(nil, nil, nameOf64); err != nil || len(out) != 0 {
		t.Errorf("the end of a directory: %q, %v", out, err)
	}
}

// TestSmall tells which places programs of 32 bits can go on at.
func TestSmall(t *testing.T) {
	given := listed(nameOf64, "a", "b")
	for next, want := range map[uint64]bool{7: true, 1<<31 - 1: true, 1 << 31: false} {
		binary.NativeEndian.PutUint64(given[offsetOff:], next)
		var p permuter
		if _, err := p.permute(nil, given, nameOf64); err != nil || p.small() != want {
			t.Errorf("%d: %v, %v", next, p.small(), err)
		}
	}
}
