package pkgbuild

import (
	"math"
	"time"

	"nsbuild/internal/base"
	"nsbuild/internal/jails"
	"nsbuild/internal/result"
	"nsbuild/internal/sampler"
)

// sample begins to look at what a holder's processes take of the machine.
func (b *builder) sample(h jails.Holder) {
	pid := h.PID()
	if pid == 0 {
		return
	}
	if b.sampler == nil {
		b.sampler = sampler.Start(b.result.Started)
	}
	b.sampler.Watch(pid)
}

// leave ends the looking at a holder that is going to end.
func (b *builder) leave() {
	if b.sampler != nil {
		b.sampler.Leave()
	}
}

// noteSamples ends the looking. The result has what was seen.
func (b *builder) noteSamples() {
	if b.sampler == nil {
		return
	}
	s := b.sampler.Stop()
	if len(s.CPU) > 0 {
		b.result.Samples = &result.Samples{Start: hundredths(s.Start), Every: s.Every.Seconds(),
			CPU: s.CPU, Memory: s.Memory, Processes: s.Processes, Compilers: s.Compilers}
	}
}

// hundredths are seconds, to a hundredth.
func hundredths(d time.Duration) float64 {
	const digits = 100
	return math.Round(d.Seconds()*digits) / digits
}

// sinceStart are the seconds from the build's start to a time.
func (b *builder) sinceStart(t time.Time) float64 { return hundredths(t.Sub(b.result.Started)) }

// noteSteps has the result say what dpkg-buildpackage did one after the other.
func (b *builder) noteSteps(end time.Time) {
	steps := b.log.Steps()
	b.result.Steps = nil
	for i, s := range steps {
		until := end
		if i+1 < len(steps) {
			until = steps[i+1].Begun
		}
		b.result.Steps = append(b.result.Steps, result.Step{Name: s.Name, Line: s.Line,
			Start: b.sinceStart(s.Begun), Seconds: hundredths(until.Sub(s.Begun))})
	}
}

// noteSizes has the result say what the packages take that were installed for the build.
func (b *builder) noteSizes(sizes map[base.Package]int64) {
	for i := range b.result.Inputs.Dependencies {
		p := &b.result.Inputs.Dependencies[i]
		p.InstalledKiB = sizes[base.Package{Name: p.Name, Version: p.Version, Arch: p.Arch}]
	}
}
