package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"nsbuild/internal/buildlog"
	"nsbuild/internal/pkgbuild"
	"nsbuild/internal/progress"
	"nsbuild/internal/result"
)

// TestTellWithoutStage: a failure that belongs to no stage, as of a full disk when the log is
// written, has no line for one.
func TestTellWithoutStage(t *testing.T) {
	for stage, want := range map[string]string{
		"":      "a 1: failed, 1m3s · log: x.build\n",
		"build": "stage: build\na 1: failed, 1m3s · log: x.build\n",
	} {
		var out strings.Builder
		env := &pkgbuild.Env{Progress: progress.New(&out, progress.Options{})}
		o := &pkgbuild.Outcome{Stage: stage, LogPath: "x.build", Status: buildlog.Failed,
			Result: &result.Result{Source: result.Source{Name: "a", Version: "1"},
				Finished: time.Time{}.Add(63_400 * time.Millisecond)}}
		(&app{}).tell(env, o, errors.New("full"))
		if out.String() != want {
			t.Errorf("stage %q: %q, want %q", stage, out.String(), want)
		}
	}
}
