package pkgbuild

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"nsbuild/internal/buildlog"
	"nsbuild/internal/dsc"
	"nsbuild/internal/hook"
	"nsbuild/internal/kept"
	"nsbuild/internal/source"
)

// TestStages has the stages of a build in their order, and no others than it needs.
func TestStages(t *testing.T) {
	for _, c := range []struct {
		name   string
		o      Request
		tree   *dsc.Tree
		stages []string
	}{
		{name: "usual", stages: []string{"check architectures", "build dependencies", "unpack",
			"build", "collect"}},
		{name: "directory", tree: &dsc.Tree{}, stages: []string{"check architectures",
			"source package", "build dependencies", "unpack", "build", "collect"}},
		{name: "all", tree: &dsc.Tree{},
			o: Request{Kind: Kind{BinNMU: "why", Sign: true}, Checks: Checks{Lintian: true,
				CheckInstall: true, Piuparts: true, Autopkgtest: true}},
			stages: []string{"check architectures", "source package", "build dependencies",
				"unpack", "changelog entry", "build", "collect", "lintian", "install check",
				"piuparts", "autopkgtest", "sign"}},
	} {
		b := &builder{task: task{o: c.o, in: &source.Source{Tree: c.tree}}}
		var names []string
		for _, s := range append(b.stages(), b.signing()...) {
			names = append(names, s.name)
			if s.run == nil || s.fails == "" {
				t.Errorf("%s: stage %s is not whole", c.name, s.name)
			}
		}
		if !slices.Equal(names, c.stages) {
			t.Errorf("%s: %q, want %q", c.name, names, c.stages)
		}
	}
}

// TestFailedStage: only the failure of a stage as a whole runs the hooks of its failure, and may be
// an overlay's fault.
func TestFailedStage(t *testing.T) {
	build := stage{name: "build", fails: buildlog.StageBuild, onFailed: hook.BuildFailed,
		foreign: true}
	whole := error(&stageError{build.fails, &wholeStage{build, errors.New("status 2")}})
	for _, c := range []struct {
		name, stage string
		err         error
		whole       bool
	}{
		{"none", "", nil, false},
		{"before there were stages", "", errors.New("x"), false},
		{"the stage", buildlog.StageBuild, whole, true},
		{"with more", buildlog.StageBuild, fmt.Errorf("again: %w", whole), true},
		{"a hook within", hook.BuildEnded.FailStage(),
			&stageError{hook.BuildEnded.FailStage(), errors.New("status 1")}, false},
		{"no room", buildlog.StageCheckSpace, &stageError{buildlog.StageCheckSpace,
			fmt.Errorf("%w: %w", errFull, whole)}, false},
	} {
		if got := failStage(c.err); got != c.stage {
			t.Errorf("%s: stage %q, want %q", c.name, got, c.stage)
		}
		if got := failedStage(c.err); (got.name == build.name) != c.whole {
			t.Errorf("%s: as a whole %q failed", c.name, got.name)
		}
	}
}

// TestNext tries again where another attempt may end otherwise.
func TestNext(t *testing.T) {
	build := stage{name: "build", fails: buildlog.StageBuild, foreign: true}
	failed := &stageError{build.fails, &wholeStage{build, errors.New("status 2")}}
	full := &stageError{buildlog.StageCheckSpace, fmt.Errorf("%w: %w", errFull, failed)}
	keeps, err := kept.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		err     error
		how     how
		scratch string
		again   bool
	}{
		{"success", nil, how{}, ScratchAuto, false},
		{"a newer base", errOutdated, how{}, ScratchAuto, true},
		{"a newer base, on disk", errOutdated, how{disk: true}, ScratchDisk, true},
		{"the disk is full", full, how{disk: true}, ScratchAuto, false},
		{"failed in a plain tree", failed, how{plain: true}, ScratchAuto, false},
		{"failed, and no other tree is wanted", failed, how{}, ScratchDisk, false},
		{"failed before there was a jail", failed, how{}, ScratchAuto, false},
	} {
		b := &builder{env: &Env{Kept: keeps}, task: task{o: Request{How: How{Scratch: c.scratch}}}}
		at := &attempt{builder: b, how: c.how, place: place{dir: "/scratch"}}
		if got := at.next(t.Context(), c.err) != nil; got != c.again {
			t.Errorf("%s: another attempt: %t", c.name, got)
		}
	}
}
