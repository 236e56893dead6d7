package config

import (
	"testing"
	"time"
)

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "12": 12, "1k": 1024, "2M": 2 << 20,
		"1.5G": 3 << 29, "20g": 20 << 30, "": -1, "G": -1, "-1": -1, "1e30": -1, "1x": -1,
		"NaN": -1} {
		got, err := ParseSize(text)
		if (err != nil) != (want < 0) || err == nil && got != want {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB",
		3 << 29: "1.5 GiB"} {
		if got := FormatSize(n); got != want {
			t.Errorf("%d: %q", n, got)
		}
	}
}

func TestParseAge(t *testing.T) {
	for text, want := range map[string]time.Duration{"0": 0, "12h": 12 * time.Hour,
		"30d": 720 * time.Hour, "2w": 336 * time.Hour, "d": -1, "-1d": -1, "": -1, "x": -1} {
		got, err := ParseAge(text)
		if (err != nil) != (want < 0) || err == nil && got != want {
			t.Errorf("%q: %s, %v", text, got, err)
		}
	}
}
