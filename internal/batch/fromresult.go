package batch

import (
	"slices"

	"nsbuild/internal/buildlog"
	"nsbuild/internal/result"
)

// EndedAs is how a try has ended, by the result of its build. What no result says is left: whether
// others ran beside it, where the result lies.
func EndedAs(r *result.Result) *Ended {
	e := &Ended{Status: r.Outcome.Status, Stage: r.Outcome.FailStage, Error: r.Outcome.Error,
		Hint: r.Outcome.Hint, Name: r.Source.Name, Version: r.Source.Version,
		Seconds: r.Finished.Sub(r.Started).Seconds(), Log: r.Log, Memory: memoryOf(r)}
	for _, a := range r.Artefacts {
		e.Artefacts = append(e.Artefacts, a.Path)
	}
	return e
}

// memoryOf is what a build had in memory, about: its processes, and what they have written to a
// tmpfs.
func memoryOf(r *result.Result) int64 {
	if r.Samples == nil || len(r.Samples.Memory) == 0 {
		return 0
	}
	m := slices.Max(r.Samples.Memory)
	if r.Isolation.Scratch == "tmpfs" && r.Use.SpaceKiB > 0 {
		m += r.Use.SpaceKiB << 10
	}
	return m
}

// Stopped tells whether a result is of a build that was stopped, which says nothing about it.
func Stopped(r *result.Result) bool { return r.Outcome.FailStage == buildlog.StageAbort }
