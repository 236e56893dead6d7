package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nsbuild/internal/batch"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/fault"
	"nsbuild/internal/report"
	"nsbuild/internal/result"
)

func newBatchReport(a *app) *cobra.Command {
	var output, baseline string
	c := &cobra.Command{
		Use:   "report [NAME]",
		Short: "Make a page of a batch",
		Long: `report makes a page (HTML) of a batch: how many builds were successful, what failed, by its
reason, what ran when, the slowest and the largest. With --baseline what has failed newly comes
first. Beside the page FILE.html is a directory FILE.builds, with a page of each build.

The page is one file. It works without a network and without scripts. Without NAME it is about the
newest batch.
`,
		Example: "  nsbuild batch report -o batch.html\n" +
			"  nsbuild batch report gcc-15 --baseline gcc-14 -o gcc-15.html",
		Args: rangeArgs(0, 1, "one batch at a time"),
		RunE: func(_ *cobra.Command, args []string) error {
			store, name, err := a.findBatch(args)
			if err != nil {
				return err
			}
			if output == "" {
				return usage("-o FILE.html", "batch report: to which file?")
			}
			b, err := store.Read(name)
			if err != nil {
				return err
			}
			held, err := store.Held(name)
			if err != nil {
				return err
			}
			page := &report.Batch{Name: name, State: batchState(b, held), Program: program()}
			if baseline != "" {
				if page.Baseline, err = readBaseline(store, baseline); err != nil {
					return err
				}
			}
			return reportBatch(b, page, output)
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "", "write the page to `FILE`")
	c.Flags().StringVar(&baseline, "baseline", "", "show first what fails newly against `WHAT`: "+
		"another batch, a file of batch status --json or of build --result, or a directory with "+
		"logs of sbuild")
	return c
}

// reportBatch writes the page of a batch, and those of its builds.
func reportBatch(b *batch.Batch, page *report.Batch, output string) error {
	beside := strings.TrimSuffix(output, filepath.Ext(output)) + ".builds"
	beside, err := filepath.Abs(beside)
	if err != nil {
		return err
	}
	verdicts := make([]batch.Verdict, len(b.Items))
	if b.Change != nil {
		verdicts = b.Verdicts()
	}
	pages := map[int]*result.Result{}
	for i, it := range b.Items {
		if it.Phase != batch.Finished {
			page.Waiting++
			continue
		}
		one, r, err := reportedBuild(&it)
		if err != nil {
			return err
		}
		one.Verdict = string(verdicts[i])
		if it.Baseline > 0 {
			one.Source, one.Aside = one.Source+" (without the change)", true
		}
		if r != nil {
			pages[i] = r
			one.Page = filepath.Join(beside, pageName(i, &it))
		}
		page.Builds = append(page.Builds, *one)
	}
	if len(page.Builds) == 0 {
		return fault.New(fault.Internal, "nsbuild batch status "+b.Name,
			"no build of the batch %s has ended", b.Name)
	}
	if err := claimFile("output", output); err != nil {
		return err
	}
	if len(pages) > 0 {
		if err := os.MkdirAll(beside, 0o755); err != nil {
			return fmt.Errorf("the directory for the pages of the builds: %w", err)
		}
	}
	for i, r := range pages {
		it := &b.Items[i]
		err := report.Write(filepath.Join(beside, pageName(i, it)),
			[]report.Build{{Result: r, Dir: filepath.Dir(it.Last.Result), Brief: it.Last.Good()}})
		if err != nil {
			return err
		}
	}
	return report.WriteBatch(output, page)
}

// pageName is the name of the page of a build: nothing of it is what a package says of itself.
func pageName(i int, it *batch.Item) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || strings.ContainsRune("+-.", r) {
			return r
		}
		return -1
	}, cmp.Or(it.Last.Name, "build"))
	return strconv.Itoa(i+1) + "-" + name + ".html"
}

// reportedBuild is a build of a batch's page, and its result where there is one.
func reportedBuild(it *batch.Item) (*report.BatchBuild, *result.Result, error) {
	e := it.Last
	one := report.BatchBuild{}
	var r *result.Result
	if e.Result != "" {
		var err error
		if r, err = result.Read(e.Result); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, nil, err
		}
	}
	if r != nil {
		one = report.NewBatchBuild(r)
	}
	one.Source = cmp.Or(e.Name, one.Source, it.Spec)
	one.Version = cmp.Or(e.Version, one.Version)
	one.Status, one.Stage, one.Error = e.Status, e.Stage, e.Error
	one.Seconds, one.Memory = e.Seconds, max(e.Memory, one.Memory)
	one.Log = cmp.Or(e.Log, one.Log)
	return &one, r, nil
}

// readBaseline is how sources were built before, or elsewhere.
func readBaseline(store *batch.Store, what string) (*report.Baseline, error) {
	names, err := store.Names()
	if err != nil {
		return nil, err
	}
	base := &report.Baseline{Name: what, Of: map[string]report.Earlier{}}
	const hint = "another batch, a file of batch status --json or of build --result, or a " +
		"directory with logs of sbuild"
	st, missing := os.Stat(what)
	switch {
	case slices.Contains(names, what):
		var b *batch.Batch
		if b, err = store.Read(what); err == nil {
			noteDocument(base, b.Document(""))
		}
	case missing != nil:
		err = fault.New(fault.Usage, hint, "--baseline %s: there is neither a batch nor a file",
			what)
	case st.IsDir():
		base.Name = filepath.Base(what)
		err = noteLogs(base, what)
	default:
		base.Name = filepath.Base(what)
		err = noteFile(base, what)
	}
	if err == nil && len(base.Of) == 0 {
		err = fault.New(fault.Usage, hint, "--baseline %s: no build is in it", what)
	}
	return base, err
}

// noteDocument notes what became of a batch's sources.
func noteDocument(base *report.Baseline, d batch.Document) {
	for _, s := range d.Sources {
		if e := s.Last; e != nil && s.Phase == batch.Finished && s.BaselineOf == nil {
			base.Of[cmp.Or(e.Name, s.Source)] = report.Earlier{Version: e.Version, Status: e.Status,
				Stage: e.Stage}
		}
	}
}

// noteFile notes what a file says, which another program may have written.
func noteFile(base *report.Baseline, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fault.Wrap(fault.Usage, "", err)
	}
	var d batch.Document
	if json.Unmarshal(text, &d) == nil && len(d.Sources) > 0 {
		if d.Schema > batch.DocumentSchema {
			return fault.New(fault.Usage, "use that version",
				"--baseline %s: a later version of nsbuild has written it", file)
		}
		noteDocument(base, d)
		return nil
	}
	all, err := result.ReadAll(file)
	if err != nil {
		return fault.Wrap(fault.Usage, "", fmt.Errorf("--baseline: %w", err))
	}
	for _, r := range all {
		base.Of[r.Source.Name] = report.Earlier{Version: r.Source.Version,
			Status: r.Outcome.Status, Stage: r.Outcome.FailStage}
	}
	return nil
}

// noteLogs notes what the logs of sbuild in a directory, or of nsbuild, say. Of several logs of a
// source the latest counts.
func noteLogs(base *report.Baseline, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fault.Wrap(fault.Usage, "", err)
	}
	ended := map[string]time.Time{}
	for _, e := range entries {
		if !e.Type().IsRegular() || !slices.Contains([]string{".build", ".log"},
			filepath.Ext(e.Name())) {
			continue
		}
		p, err := readSummary(filepath.Join(dir, e.Name()))
		if err != nil {
			continue // it is no log
		}
		name, status := buildlog.Get(p.Summary, "Package"), buildlog.Get(p.Summary, "Status")
		if name == "" || status == "" || p.Finished.Before(ended[name]) {
			continue // it is none, or was cut
		}
		ended[name] = p.Finished
		base.Of[name] = report.Earlier{Status: status, Version: buildlog.Get(p.Summary, "Version"),
			Stage: buildlog.Get(p.Summary, "Fail-Stage")}
	}
	return nil
}

// readSummary reads what stands at the end of a log.
func readSummary(file string) (*buildlog.Parsed, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return buildlog.Read(f)
}
