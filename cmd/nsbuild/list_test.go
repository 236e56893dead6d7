package main

import (
	"strings"
	"testing"

	"nsbuild/internal/base"
)

// TestListRemovedMeanwhile has a base that was removed after the names were read.
func TestListRemovedMeanwhile(t *testing.T) {
	store, err := base.Open(t.TempDir())
	check(t, err)
	var out strings.Builder
	if err := listBases(&out, store, []string{"removed"}); err != nil ||
		strings.Contains(out.String(), "removed") {
		t.Errorf("%v\n%s", err, &out)
	}
}
