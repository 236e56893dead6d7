package pkgbuild

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"nsbuild/internal/buildlog"
	"nsbuild/internal/buildroot"
	"nsbuild/internal/fault"
	"nsbuild/internal/result"
	"nsbuild/internal/sandbox"
)

// untold are where a build may write, and what the jail itself has made.
func untold() []string {
	return []string{strings.Trim(buildroot.Dir, "/"), "tmp", "dev", "proc", "sys", "run",
		"etc/hosts", "etc/hostname"}
}

// shownTraces is how many written files the log names.
const shownTraces = 20

// tellTraces says in the log and in the result what a stage tried in the open jail that no build
// should need: to reach other machines, and to write outside of its directory. That it cannot be
// told changes nothing.
func (at *attempt) tellTraces(ctx context.Context, s stage) {
	if at.root.open == nil {
		return
	}
	traces, err := at.holder.Traces(ctx, at.root.open.ID(),
		append(untold(), at.o.Vary.writes()...))
	if err != nil {
		at.log.Warning("what the build tried cannot be told: %v", err)
		return
	}
	slices.SortFunc(traces.Written, func(a, b sandbox.Written) int {
		return strings.Compare(a.Path, b.Path)
	})
	t := result.Tried{Stage: s.name, Unreachable: traces.Unreachable,
		Unanswered: traces.Unanswered, WrittenMore: traces.More}
	for _, w := range traces.Written {
		t.Written = append(t.Written, result.Written{Path: w.Path, Deleted: w.Deleted})
	}
	attempts, files := t.Unreachable+t.Unanswered, len(t.Written)+t.WrittenMore
	if attempts == 0 && files == 0 {
		return
	}
	at.found.tried = append(at.found.tried, t)
	at.log.Subsection("What the build tried")
	if t.Unreachable > 0 {
		at.log.Printf("%s to reach another machine: there is no network.",
			fault.Count(int(t.Unreachable), "attempt", "attempts"))
	}
	if t.Unanswered > 0 {
		at.log.Printf("%s where nobody answers, such as questions for the address of a name.",
			fault.Count(int(t.Unanswered), "datagram", "datagrams"))
	}
	if attempts > 0 {
		at.found.own = append(at.found.own, buildlog.Field{Name: "Network-Attempts",
			Value: strconv.FormatInt(attempts, 10)})
	}
	if files == 0 {
		return
	}
	at.log.Printf("%s written outside of the build directory and /tmp:",
		fault.Count(files, "file was", "files were"))
	for i, w := range t.Written {
		if i == shownTraces {
			at.log.Printf("  and %d more", files-i)
			break
		}
		gone := ""
		if w.Deleted {
			gone = " (deleted)"
		}
		at.log.Printf("  %s%s", strings.ReplaceAll(w.Path, "\n", `\n`), gone)
	}
}
