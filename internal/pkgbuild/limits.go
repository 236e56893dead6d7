package pkgbuild

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"nsbuild/internal/buildlog"
	"nsbuild/internal/fault"
	"nsbuild/internal/sandbox"
)

// limitedJobs is how many of the processes that the machine feeds the build's own limits feed, too:
// one for each processor and each GiB.
func (b *builder) limitedJobs(jobs int) int {
	if l := b.o.Limits; l.CPUs > 0 {
		jobs = min(jobs, max(1, int(math.Ceil(l.CPUs))))
	}
	if l := b.o.Limits; l.Memory > 0 {
		jobs = min(jobs, max(1, int(l.Memory>>30)))
	}
	return jobs
}

// describeLimits is the header's field about them.
func describeLimits(l sandbox.Limits) string {
	var all []string
	if l.Memory > 0 {
		all = append(all, fmt.Sprintf("memory %d MiB", l.Memory>>20))
	}
	if l.CPUs > 0 {
		all = append(all, fmt.Sprintf("processors %g", l.CPUs))
	}
	if l.PIDs > 0 {
		all = append(all, fmt.Sprintf("processes %d", l.PIDs))
	}
	return strings.Join(all, ", ")
}

// describeJail writes what the jail that builds had to do without, and what became of the limits:
// the jail before it may have been told of them.
func (at *attempt) describeJail() {
	notes := slices.Clone(at.root.jail.Notes())
	for _, n := range at.holder.Spared() {
		if !slices.Contains(notes, n) {
			notes = append(notes, n)
		}
	}
	for _, n := range notes {
		at.log.Info("%s", n)
	}
}

// exhausted is what the kernel has killed in this attempt because memory ran out; nil when nothing.
func (at *attempt) exhausted() *sandbox.Exhaustion {
	if at.o.Limits.Memory == 0 || at.holder == nil {
		return nil
	}
	e, err := at.holder.Exhausted()
	if err != nil {
		at.env.Log.Warnf("whether memory ran out is not known: %v", err)
		return nil
	}
	if e != nil {
		at.result.Use.OOMKills = e.Kills
	}
	return e
}

// outOfMemory is the error that stands for a stage which failed when its memory had run out. The
// limit is not the package's fault.
func (at *attempt) outOfMemory(e *sandbox.Exhaustion, failed error) error {
	return &stageError{buildlog.StageCheckMemory,
		fault.Wrap(fault.GivenBack, "use a larger --memory, or fewer processes (-j)",
			fmt.Errorf("%s: %w", e, failed))}
}

// tellKilled tells of what was killed in a build that went well all the same.
func (at *attempt) tellKilled() {
	if e := at.exhausted(); e != nil {
		at.log.Warning("%s", e)
		at.env.Log.Warn(e)
	}
}
