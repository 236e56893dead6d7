package main

import (
	"runtime/debug"
	"testing"
)

// TestCommit finds the commit in an archive of git's, or in what go has noted of a clone.
func TestCommit(t *testing.T) {
	const commit = "0123456789abcdef0123456789abcdef01234567"
	built := func(modified string) *debug.BuildInfo {
		return &debug.BuildInfo{Settings: []debug.BuildSetting{
			{Key: "vcs.revision", Value: commit}, {Key: "vcs.modified", Value: modified}}}
	}
	const format = "$" + "Format:%H$\n"
	for _, c := range []struct {
		archived string
		built    *debug.BuildInfo
		want     string
	}{
		{format, nil, ""}, {format, &debug.BuildInfo{}, ""}, {"", nil, ""},
		{format, built("false"), "0123456789ab"},
		{format, built("true"), "0123456789ab, modified"},
		{"fedcba9876543210\n", built("true"), "fedcba987654"},
		{"fedcba\n", nil, "fedcba"},
	} {
		if got := commitOf(c.archived, c.built); got != c.want {
			t.Errorf("%q: %q, want %q", c.archived, got, c.want)
		}
	}
}
