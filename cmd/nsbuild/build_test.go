package main

import (
	"errors"
	"strings"
	"testing"

	"nsbuild/internal/pkgbuild"
	"nsbuild/internal/progress"
)

// TestTellWithoutStage: a failure that belongs to no stage, as of a full disk when the log is
// written, has no line for one.
func TestTellWithoutStage(t *testing.T) {
	for stage, want := range map[string]string{
		"":      "log: x.build\n",
		"build": "stage: build\nlog: x.build\n",
	} {
		var out strings.Builder
		env := &pkgbuild.Env{Progress: progress.New(&out, progress.Options{})}
		(&app{}).tell(env, &pkgbuild.Outcome{Stage: stage, LogPath: "x.build"}, errors.New("full"))
		if out.String() != want {
			t.Errorf("stage %q: %q, want %q", stage, out.String(), want)
		}
	}
}
