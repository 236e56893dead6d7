package pkgbuild

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"nsbuild/internal/buildlog"
	"nsbuild/internal/fault"
)

// explained are the causes of a failure, the most probable first: what nsbuild itself knows, what
// the log says, and what the jail's network counts.
func (at *attempt) explained(ctx context.Context, failed error) []buildlog.Cause {
	causes := at.causes()
	if own, ok := at.ownCause(failed); ok {
		causes = slices.DeleteFunc(causes, func(c buildlog.Cause) bool {
			return c.Kind == own.Kind
		})
		for i := range causes {
			causes[i].Sure = false
		}
		return slices.Insert(causes, 0, own)
	}
	if c, ok := at.triedNetwork(); ok && !slices.ContainsFunc(causes, func(c buildlog.Cause) bool {
		return !c.Vague()
	}) {
		causes = slices.Insert(causes, 0, c)
	}
	at.nameOwners(ctx, causes)
	return causes
}

// ownCause is a cause that nsbuild has seen itself, and need not guess at.
func (at *attempt) ownCause(failed error) (c buildlog.Cause, ok bool) {
	c = buildlog.Cause{Sure: true, Line: buildlog.Line{Number: at.log.Lines()}}
	var limit *timeLimit
	switch stage := failStage(failed); {
	case errors.As(failed, &limit):
		c.Kind, c.Text = buildlog.KindTime, limit.text
	case stage == buildlog.StageCheckMemory:
		c.Kind, c.Text = buildlog.KindMemory, firstPart(failed)
	case stage == buildlog.StageCheckSpace:
		c.Kind, c.Text = buildlog.KindDiskFull, firstPart(failed)
	default:
		return c, false
	}
	return c, true
}

// firstPart is what an error says before the error that it wraps last.
func firstPart(err error) string {
	text, _, _ := strings.Cut(err.Error(), ": Build failure")
	text, _, _ = strings.Cut(text, "\n")
	return text
}

// triedNetwork is the cause of a failure that is known of no other, where something would have
// reached the network.
func (at *attempt) triedNetwork() (buildlog.Cause, bool) {
	for _, t := range at.found.tried {
		if n := t.Unreachable + t.Unanswered; n > 0 {
			return buildlog.Cause{Kind: buildlog.KindNetwork,
				Line: buildlog.Line{Number: at.log.Lines()},
				Text: fmt.Sprintf("the build tried to use the network, %s",
					fault.Count(int(n), "time", "times"))}, true
		}
	}
	return buildlog.Cause{}, false
}
