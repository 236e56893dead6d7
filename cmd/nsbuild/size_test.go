package main

import (
	"testing"
)

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{"": 0, "1": 1, "800M": 800 << 20, "4g": 4 << 30,
		"2T": 2 << 40, "3k": 3 << 10} {
		if got, err := parseSize("--size", text); got != want || err != nil {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	for _, bad := range []string{"0", "-1G", "G", "1.5G", "1P", "99999999999T", "M1"} {
		if got, err := parseSize("--size", bad); err == nil {
			t.Errorf("%q is %d", bad, got)
		}
	}
}
