package pkgbuild

import (
	"context"
	"errors"
	"fmt"
	"time"

	"nsbuild/internal/buildlog"
	"nsbuild/internal/fault"
	"nsbuild/internal/output"
	"nsbuild/internal/result"
)

// report ends the log and the result, and gives the error its kind. Where there is no log yet, the
// error has it already.
func (b *builder) report(ctx context.Context, at *attempt, failed error) error {
	found, r := &at.found, b.result
	b.noteSamples()
	b.end(failed, failStage(failed))
	b.outcome.Artefacts = found.files
	r.Hooks, r.Strays, r.Checks, r.Artefacts, r.Inputs.Layer = found.hooks, found.strays,
		found.checks, found.artefacts, found.layer
	r.Tried, r.Compare = found.tried, at.beside.result
	r.Use.Downloaded = b.env.Meter.Transferred()
	if b.log == nil {
		return failed
	}
	b.outcome.Refused = found.refused
	if b.outcome.Tail = found.tail; found.tail == nil {
		b.outcome.Tail = b.log.Tail(output.TailLines)
	}
	if failed != nil {
		b.outcome.Located = b.log.Located()
		b.outcome.Causes = at.explained(ctx, failed)
		for _, c := range b.outcome.Causes {
			r.Outcome.Causes = append(r.Outcome.Causes,
				result.Cause{Kind: c.Kind, Line: c.Line.Number, Text: c.Text, Certain: c.Sure,
					Packages: c.Packages})
		}
	}
	closed := b.closeLog(found)
	status := b.outcome.Status
	kind, isFailure := status.Kind()
	switch {
	case failed == nil, status == buildlog.Skipped:
		return closed
	case fault.KindOf(failed) == fault.Interrupted || !isFailure:
		return errors.Join(failed, closed)
	}
	return fault.Wrap(kind, "", errors.Join(failed, closed))
}

// closeLog writes the summary, with which a log ends.
func (b *builder) closeLog(found *findings) error {
	s, r := &b.summary, b.result
	s.Own, s.Header, s.Job, s.Finished = found.own, b.header, b.in.Spec, r.Finished
	s.Status, s.FailStage, s.Error = b.outcome.Status, r.Outcome.FailStage, r.Outcome.Error
	s.PackageTime = s.Finished.Sub(b.header.Start)
	if s.Space > 0 {
		r.Use.SpaceKiB = s.Space
	}
	b.log.Section("Cleanup")
	b.log.Printf("The sandbox ends with its processes and mounts.")
	b.log.Summary(*s)
	err := b.log.Close()
	b.dropLogs()
	if err != nil {
		return b.env.Work.Hide(fmt.Errorf("writing %s: %w", b.log.Path, err))
	}
	return nil
}

// end says how the build ended: with an error in a stage, or well. Without a log there were no
// stages, and the error alone says what it means.
func (c *record) end(failed error, stage string) {
	o, out := c.outcome, &c.result.Outcome
	o.Result, o.Status, o.Stage = c.result, buildlog.Successful, stage
	switch {
	case errors.Is(failed, errSkipped):
		o.Status = buildlog.Skipped
	case failed != nil && fault.KindOf(failed) == fault.Interrupted:
		o.Status, o.Stage = buildlog.Failed, buildlog.StageAbort
	case failed != nil && c.log == nil:
		o.Status = buildlog.StatusOfError(failed)
	case failed != nil:
		o.Status = buildlog.StatusOf(stage)
	}
	c.result.Finished = time.Now().UTC()
	out.Status, out.Hint = string(o.Status), fault.HintOf(failed)
	if failed != nil && o.Status != buildlog.Skipped {
		out.FailStage, out.Error = o.Stage, failed.Error()
	}
}
