package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"nsbuild/internal/batch"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/config"
	"nsbuild/internal/debcompare"
	"nsbuild/internal/fault"
	"nsbuild/internal/pkgbuild"
	"nsbuild/internal/rdeps"
	"nsbuild/internal/regular"
	"nsbuild/internal/result"
)

// baselines are those that are remembered, for builds with some options.
type baselines struct {
	rdeps.Baselines
	options []string
}

// key is that of a build whose result is in a file; "": it is not known.
func (b baselines) key(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	r, err := result.Read(file)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return rdeps.Key(r, b.options), nil
}

// of is what is known of a build's baseline; nil: nothing is.
func (b baselines) of(with *batch.Ended) (*batch.Ended, error) {
	key, err := b.key(with.Result)
	if err != nil {
		return nil, err
	}
	return b.Find(key)
}

// followChange is what a batch with a change does when something has ended: nil without a change.
func (x *batchRun) followChange(ctx context.Context, b *batch.Batch) (
	func(*batch.Batch, int) []batch.Source, error) {
	if b.Change == nil {
		return nil, nil
	}
	if err := b.Change.Check(regular.SHA256); err != nil {
		return nil, err
	}
	dirs, err := config.FindDirs(x.stateDir, x.cacheDir)
	if err != nil {
		return nil, err
	}
	x.known = baselines{rdeps.BaselinesIn(dirs.State), b.Options}
	return func(b *batch.Batch, item int) []batch.Source {
		if ctx.Err() != nil {
			return nil
		}
		added, err := x.finished(b, item)
		if err != nil {
			x.env.Log.Warnf("the baseline of %s: %v", b.Items[item].Spec, err)
		}
		return added
	}, nil
}

// finished remembers how a baseline has ended, and has one built where it is needed. Of what is
// built with the change, too, it is used if one is known: it may be that the change mends it.
func (x *batchRun) finished(b *batch.Batch, item int) ([]batch.Source, error) {
	it := &b.Items[item]
	if it.Baseline > 0 {
		key, err := x.known.key(it.Last.Result)
		if err == nil {
			err = x.known.Save(key, it.Last)
		}
		return nil, err
	}
	needed := b.NeedsBaseline(item)
	var err error
	if !needed && it.Last.Well() && b.BaselineOf(item) == nil && len(it.Last.With) > 0 {
		var known *batch.Ended
		known, err = x.known.of(it.Last)
		needed = known != nil && !known.Well()
	}
	if !needed {
		return nil, err
	}
	spec := it.Spec
	if !strings.ContainsAny(spec, "=/.") && it.Last.Version != "" {
		spec += "=" + it.Last.Version // though there may be a newer one by now
	}
	return []batch.Source{{Spec: spec, Baseline: item + 1, Seconds: it.Last.Seconds,
		Memory: it.Last.Memory}}, err
}

// reuseBaseline is how a source is built without the change, if that is known; else nil. One that
// is tried again is built.
func (x *batchRun) reuseBaseline(ctx context.Context, j batch.Job) *batch.Ended {
	if j.Try > 1 {
		return nil
	}
	e, err := x.known.of(j.Of)
	if err != nil {
		x.env.Log.Debugf("the baseline of %s: %v", j.Spec, err)
	}
	if err != nil || e == nil {
		return nil
	}
	if x.change.Compare && j.Of.Good() && e.Good() && slices.ContainsFunc(e.Artefacts,
		func(file string) bool { _, err := os.Stat(file); return err != nil }) {
		return nil // there is nothing left to be compared with
	}
	e.Reused = true
	x.compareBaseline(ctx, j, e)
	return e
}

// apart has a baseline's files not replace those of the build with the change.
func apart(r *pkgbuild.Request) error {
	for _, dir := range []*string{&r.Output, &r.LogDir} {
		if *dir == "" {
			continue
		}
		*dir = filepath.Join(*dir, "baseline")
		if err := os.MkdirAll(*dir, 0o777); err != nil {
			return fmt.Errorf("the directory for what is built without the change: %w", err)
		}
	}
	return nil
}

// noteChange notes which of the changed packages a build was made with, and how its tests ended.
func noteChange(e *batch.Ended, r *result.Result, c *batch.Change) {
	e.Installed = len(r.Inputs.Dependencies) > 0
	for _, p := range r.Inputs.Dependencies {
		if slices.ContainsFunc(c.Packages, func(x batch.Changed) bool {
			return x.Name == p.Name && x.Version == p.Version &&
				(p.SHA256 == "" || p.SHA256 == x.SHA256)
		}) {
			e.With = append(e.With, p.Name)
		}
	}
	for _, check := range r.Checks {
		if check.Name == "autopkgtest" {
			e.Tests = check.Outcome
		}
	}
}

// compareBaseline compares what was built with the change with what was built without.
func (x *batchRun) compareBaseline(ctx context.Context, j batch.Job, e *batch.Ended) {
	if j.Of == nil || !x.change.Compare || e.Status != batch.Successful ||
		j.Of.Status != batch.Successful {
		return
	}
	c := &batch.Comparison{Status: result.CompareFailed}
	e.Compared = c
	was, err := debcompare.Identify(ctx, packagesOf(e))
	is, err2 := debcompare.Identify(ctx, packagesOf(j.Of))
	if err = errors.Join(err, err2); err != nil {
		c.Summary = []string{err.Error()}
		return
	}
	whole, err := debcompare.Packages(ctx, was, is)
	switch {
	case err != nil:
		c.Summary = []string{err.Error()}
	case whole.Same:
		c.Status = result.CompareSame
	default:
		c.Status, c.Summary = result.CompareDiffers, whole.Summary()
	}
}

// packagesOf are the .deb files that a build has made.
func packagesOf(e *batch.Ended) (all []string) {
	for _, file := range e.Artefacts {
		if strings.HasSuffix(file, ".deb") {
			all = append(all, file)
		}
	}
	return all
}

// tellEffects tells what a change does to what depends on it, and makes the exit status of it.
func (a *app) tellEffects(b *batch.Batch) error {
	if a.rdepsJSON {
		if err := a.printJSON(b.Document(batchState(b, false))); err != nil {
			return err
		}
	} else {
		resume := a.env.Progress.Pause()
		_, err := io.WriteString(a.stdout, effectsText(b))
		resume()
		if err != nil {
			return err
		}
	}
	verdicts := b.Verdicts()
	switch {
	case slices.Contains(verdicts, batch.Breaks):
		return commandStatus(exitStatus(&fault.Error{Kind: fault.Differs}))
	case slices.Contains(verdicts, batch.Undecided), slices.Contains(verdicts, batch.Pending):
		return fault.New(fault.GivenBack, "nsbuild batch retry "+b.Name+" tries again",
			"it is not known of each source what the change does to it")
	}
	return nil
}

// effects are the verdicts as people are told of them, in this order. Those without a heading are
// counted alone.
func effects() []struct {
	verdict       batch.Verdict
	heading, word string
} {
	return []struct {
		verdict       batch.Verdict
		heading, word string
	}{
		{batch.Breaks, "the change breaks", "broken by the change"},
		{batch.Before, "broken before", "broken before"},
		{batch.Mends, "the change mends", "mended"},
		{batch.Undecided, "not known", "not known"},
		{batch.Pending, "", "to be built"},
		{batch.Untouched, "not touched: apt took none of the changed packages", "not touched"},
		{batch.NotBuilt, "", "skipped"},
		{batch.Fine, "", "fine"},
	}
}

// effectsText says what a change does to what depends on it: lists, and a line of numbers.
func effectsText(b *batch.Batch) string {
	verdicts := b.Verdicts()
	var text, counts strings.Builder
	w := tabwriter.NewWriter(&text, 0, 8, 2, ' ', 0)
	for _, e := range effects() {
		n := 0
		for i, v := range verdicts {
			if v != e.verdict {
				continue
			}
			if n++; e.heading != "" {
				if n == 1 {
					fmt.Fprintln(w, e.heading+":")
				}
				fmt.Fprintln(w, "  "+effectLine(b, i, v))
			}
		}
		if n > 0 {
			fmt.Fprintf(&counts, ", %d %s", n, e.word)
		}
	}
	_ = w.Flush() // into memory
	text.WriteString(comparedText(b))
	if reused := reusedOf(b); len(reused) > 0 {
		fmt.Fprintf(&text, "known from earlier builds without the change: %s\n",
			buildlog.VisibleString(strings.Join(reused, ", ")))
	}
	fmt.Fprintf(&text, "%s: %s\n", b.Name, strings.TrimPrefix(counts.String(), ", "))
	return text.String()
}

// effectLine is what is said of one source.
func effectLine(b *batch.Batch, item int, v batch.Verdict) string {
	e := b.Items[item].Last
	cells := []string{b.Items[item].Spec, e.Version, howItEnded(e)}
	if v == batch.Mends {
		cells[2] = ""
		if base := b.BaselineOf(item); base != nil && base.Last != nil {
			cells[2] = "without: " + howItEnded(base.Last)
		}
	}
	if e.Log != "" && v != batch.Untouched {
		cells = append(cells, e.Log)
	}
	for i := range cells {
		cells[i] = buildlog.VisibleString(cells[i])
	}
	return strings.Join(cells, "\t")
}

// howItEnded is a few words for how a build, or its tests, have failed.
func howItEnded(e *batch.Ended) string {
	switch {
	case !e.Good() && e.Stage != "":
		return fmt.Sprintf("%s (%s)", e.Status, e.Stage)
	case !e.Good():
		return e.Status
	case e.Tests != "":
		return "its tests: " + e.Tests
	}
	return ""
}

// reusedOf are the sources of which it was known how they are built without the change.
func reusedOf(b *batch.Batch) (all []string) {
	for i := range b.Items {
		if it := &b.Items[i]; it.Baseline > 0 && it.Last != nil && it.Last.Reused {
			all = append(all, b.Items[it.Baseline-1].Spec)
		}
	}
	return all
}

// comparedText says what differs between what was built with the change and without.
func comparedText(b *batch.Batch) string {
	var text strings.Builder
	same := 0
	for i := range b.Items {
		it := &b.Items[i]
		if it.Baseline == 0 || it.Last == nil || it.Last.Compared == nil {
			continue
		}
		c := it.Last.Compared
		if c.Status == result.CompareSame {
			same++
			continue
		}
		fmt.Fprintf(&text, "%s with the change %s:\n", b.Items[it.Baseline-1].Spec, c.Status)
		for _, l := range c.Summary {
			fmt.Fprintln(&text, "  "+buildlog.VisibleString(l))
		}
	}
	if same > 0 {
		fmt.Fprintf(&text, "%s the same bytes with the change and without\n",
			fault.Count(same, "source gives", "sources give"))
	}
	return text.String()
}
