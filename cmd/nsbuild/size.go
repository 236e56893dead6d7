package main

import (
	"math"
	"strconv"
	"strings"

	"nsbuild/internal/fault"
)

// parseSize reads a number of bytes, with K, M, G or T behind it for powers of 1024. "" is 0.
func parseSize(flag, text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	number, shift := text, 0
	if i := strings.IndexByte("KMGT", strings.ToUpper(text)[len(text)-1]); i >= 0 {
		number, shift = text[:len(text)-1], 10*(i+1)
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n <= 0 || n > math.MaxInt64>>shift {
		return 0, fault.New(fault.Usage, "give a number with K, M, G or T behind it, such as 800M",
			"%s %q is no size", flag, text)
	}
	return n << shift, nil
}
