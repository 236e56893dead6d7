package config

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"nsbuild/internal/fault"
)

// defaultCacheLimit is what a cache may take, in bytes: bases of a few suites, and the layers of
// some fifty packages.
const defaultCacheLimit = 20 << 30

// FindCacheLimit is how many bytes the cache may take: the flag's value, else NSBUILD_CACHE_LIMIT,
// else the default.
func FindCacheLimit(flag string) (int64, error) {
	for _, from := range []struct{ name, value string }{{"--cache-limit", flag},
		{"NSBUILD_CACHE_LIMIT", os.Getenv("NSBUILD_CACHE_LIMIT")}} {
		if from.value != "" {
			n, err := ParseSize(from.value)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", from.name, err)
			}
			return n, nil
		}
	}
	return defaultCacheLimit, nil
}

// ParseSize reads a number of bytes with one of the suffixes k, M, G and T, which stand for powers
// of 1024.
func ParseSize(text string) (int64, error) {
	number, shift := text, 0
	if text != "" {
		if i := strings.IndexByte("kmgt", text[len(text)-1]|0x20); i >= 0 {
			number, shift = text[:len(text)-1], 10*(i+1)
		}
	}
	n, err := strconv.ParseFloat(number, 64)
	if bytes := n * float64(int64(1)<<shift); err == nil && n >= 0 && bytes < math.MaxInt64 {
		return int64(bytes), nil
	}
	return 0,
		fault.New(fault.Usage,
			"write a number of bytes, or one with k, M, G or T behind it: 500M, 20G",
			"%q is no size", text)
}

// FormatSize writes a number of bytes for people, with one digit behind the point.
func FormatSize(n int64) string {
	if n < 1<<10 {
		return strconv.FormatInt(n, 10) + " B"
	}
	value, unit := float64(n)/1024, 0
	for value >= 1024 && unit < 4 {
		value, unit = value/1024, unit+1
	}
	return fmt.Sprintf("%.1f %ciB", value, "KMGTP"[unit])
}

// ParseAge reads a span of time: as Go writes them (36h, 90m), or a number of days or weeks (30d,
// 2w).
func ParseAge(text string) (time.Duration, error) {
	day := 24 * time.Hour
	for suffix, unit := range map[string]time.Duration{"d": day, "w": 7 * day} {
		if number, ok := strings.CutSuffix(text, suffix); ok {
			if n, err := strconv.ParseFloat(number, 64); err == nil && n >= 0 &&
				n*float64(unit) < math.MaxInt64 {
				return time.Duration(n * float64(unit)), nil
			}
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return d, nil
	}
	return 0, fault.New(fault.Usage, "write a span of time: 12h, 30d, 2w", "%q is no span of time",
		text)
}
