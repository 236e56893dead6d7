package pkgbuild

import (
	"errors"
	"fmt"
	"time"

	"nsbuild/internal/buildlog"
	"nsbuild/internal/fault"
	"nsbuild/internal/output"
	"nsbuild/internal/result"
)

// report ends the log and the result, and gives the error its kind.
func (b *builder) report(at *attempt, failed error) error {
	o, found := b.outcome, &at.found
	o.Stage, o.Tail, o.Artefacts = failStage(failed), found.tail, found.files
	status := buildlog.Successful
	switch {
	case errors.Is(failed, errSkipped):
		status = buildlog.Skipped
	case failed != nil && fault.KindOf(failed) == fault.Interrupted:
		status, o.Stage = buildlog.Failed, buildlog.StageAbort
	case failed != nil:
		status = buildlog.StatusOf(o.Stage)
	}
	s := &b.summary
	s.Own = found.own
	s.Header, s.Job, s.Status, s.FailStage, s.Finished = b.header, b.in.Spec, status,
		o.Stage, time.Now()
	s.PackageTime = s.Finished.Sub(b.header.Start)
	if failed != nil && status != buildlog.Skipped {
		s.Error = failed.Error()
	}
	if status == buildlog.Successful || status == buildlog.Skipped {
		s.FailStage = ""
	}
	if o.Tail == nil {
		o.Tail = b.log.Tail(output.TailLines)
	}
	b.log.Section("Cleanup")
	b.log.Printf("The sandbox ends with its processes and mounts.")
	b.log.Summary(*s)
	closed := b.log.Close()
	o.Status, o.Result = status, b.result
	r := b.result
	r.Hooks, r.Strays, r.Checks, r.Artefacts, r.Inputs.Layer = found.hooks, found.strays,
		found.checks, found.artefacts, found.layer
	r.Finished = s.Finished.UTC()
	r.Outcome.Status, r.Outcome.FailStage, r.Outcome.Error, r.Outcome.Hint = string(status),
		s.FailStage, s.Error, fault.HintOf(failed)
	r.Use.SpaceKiB = s.Space
	r.Use.Downloaded = b.env.Meter.Transferred()
	if failed != nil {
		o.Causes = at.causes()
		for _, c := range o.Causes {
			r.Outcome.Causes = append(r.Outcome.Causes,
				result.Cause{Kind: c.Kind, Line: c.Line.Number, Text: c.Text})
		}
	}
	if b.o.Result != "" {
		closed = errors.Join(closed, result.Write(b.o.Result, r))
	}
	if closed != nil {
		closed = fmt.Errorf("writing %s: %w", b.log.Path, closed)
	}
	kind, isFailure := status.Kind()
	switch {
	case failed == nil:
		return closed
	case status == buildlog.Skipped:
		return closed
	case fault.KindOf(failed) == fault.Interrupted || !isFailure:
		return errors.Join(failed, closed)
	}
	return fault.Wrap(kind, "", errors.Join(failed, closed))
}
