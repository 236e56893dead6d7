package main

import (
	"testing"

	"nsbuild/internal/base"
)

// TestListRemovedMeanwhile has a base that was removed after the names were read.
func TestListRemovedMeanwhile(t *testing.T) {
	store, err := base.Open(t.TempDir())
	check(t, err)
	all, err := lookAt(t.Context(), store, nil, []string{"removed"})
	if err != nil || len(all) > 0 {
		t.Errorf("%v, %v", all, err)
	}
}
