package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"nsbuild/internal/batch"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/fault"
	"nsbuild/internal/plan"
	"nsbuild/internal/result"
)

func newBatchPlan(a *app, build *cobra.Command) *cobra.Command {
	var o batchOptions
	var dir string
	c := &cobra.Command{
		Use:   "plan {NAME | SOURCE...}",
		Short: "Write plans of what a batch can build now, for others to build",
		Long: `plan writes a plan for each source that the batch can build now, and builds
nothing. Whatever can run a command on other machines builds them:

    nsbuild build FILE.plan.json --result FILE.result.json

nsbuild batch collect then takes the results into the batch's journal. What the batch can build
after that is planned by another nsbuild batch plan NAME; when nothing is left, no path is printed.

NAME is a batch that there is. With SOURCEs, or --list, a batch is begun, as by nsbuild batch. The
paths of the plans are printed on standard output.
`,
		Example: "  nsbuild batch plan --name gcc-14 --list sources.txt -d sid -o plans\n" +
			"  nsbuild batch plan gcc-14 -o plans",
		RunE: func(c *cobra.Command, args []string) (err error) {
			if dir == "" {
				return usage("-o DIR", "batch plan: to which directory?")
			}
			if a.planTo, err = filepath.Abs(dir); err != nil {
				return err
			}
			if len(args) == 1 && o.name == "" && o.list == "" {
				store, _, err := a.batches()
				if err != nil {
					return err
				}
				names, err := store.Names()
				if err != nil {
					return err
				}
				if slices.Contains(names, args[0]) {
					b, err := store.Open(args[0])
					if err != nil {
						return err
					}
					return a.resumeBatch(c, b, 0)
				}
			}
			o.engine.engine = engineLocal
			return a.beginBatch(c.Context(), c.LocalNonPersistentFlags(), args, &o)
		},
	}
	f := c.Flags()
	f.StringVarP(&dir, "output", "o", "", "write the plans into `DIR`")
	o.addFlags(f)
	build.Flags().VisitAll(func(flag *pflag.Flag) {
		if !ofOneBuild(flag.Name) && f.Lookup(flag.Name) == nil {
			f.AddFlag(flag)
		}
	})
	return c
}

// resultSuffix is how the name of a plan's result ends, in place of plan.Suffix.
const resultSuffix = ".result.json"

// planAll writes plans of all that a batch can build now.
func (x *batchRun) planAll(ctx context.Context, b *batch.Batch, dir string) error {
	if b.Change != nil {
		return usage("nsbuild batch resume "+b.Name, "%s is a batch of nsbuild rdeps, which is built "+
			"on one machine", b.Name)
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fault.Wrap(fault.Usage, "choose another directory with --output",
			fmt.Errorf("the directory of the plans: %w", err))
	}
	jobs, err := b.Ready()
	if err != nil {
		return err
	}
	for _, j := range jobs {
		begin := now()
		p, ended, err := x.planOf(ctx, j, 0)
		if err != nil {
			return err
		}
		if ended != nil {
			if _, err := b.Record(j, begin, now(), ended); err != nil {
				return err
			}
			continue
		}
		file := filepath.Join(dir, fmt.Sprintf("%d-%d-%s%s", j.Item+1, j.Try, p.Source.Name,
			plan.Suffix))
		if err := plan.Write(file, p); err != nil {
			return err
		}
		if x.events == nil {
			fmt.Fprintln(x.stdout, file)
		}
	}
	if b.Count().Over() {
		return b.Error()
	}
	return nil
}

// planned is a regular expression: the name of a plan's result, with item, try and source.
var planned = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^([1-9][0-9]{0,8})-([1-9][0-9]{0,8})-([a-z0-9][a-z0-9+.-]*)` +
		regexp.QuoteMeta(resultSuffix) + `$`)
})

func newBatchCollect(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "collect NAME DIR",
		Short: "Take results of plans into a batch",
		Long: `collect takes into the journal of a batch the results that lie in DIR, or below
it, of plans which nsbuild batch plan has written: FILE.result.json of FILE.plan.json. Those that it
has taken before, it leaves. The packages stay where they are.
`,
		Example: "  nsbuild batch collect gcc-14 plans",
		Args:    rangeArgs(2, 2, "which batch, and from which directory?"),
		RunE: func(_ *cobra.Command, args []string) error {
			store, _, err := a.batches()
			if err != nil {
				return err
			}
			b, err := store.Open(args[0])
			if err != nil {
				return err
			}
			return errors.Join(a.collect(b, args[1]), b.Close())
		},
	}
}

// collect takes the results below a directory into a batch.
func (a *app) collect(b *batch.Batch, dir string) error {
	files, err := filesBelow(dir)
	if err != nil {
		return err
	}
	taken, wrong := 0, 0
	for _, file := range files {
		m := planned().FindStringSubmatch(filepath.Base(file))
		if m == nil {
			continue
		}
		ok, err := collectOne(b, file, m, files)
		switch {
		case err != nil:
			wrong++
			fmt.Fprintf(a.stderr, "nsbuild: warning: %s is left: %s\n",
				buildlog.VisibleString(file), buildlog.VisibleString(err.Error()))
		case ok:
			taken++
		}
	}
	if !a.quiet {
		c := b.Count()
		fmt.Fprintf(a.stderr, "batch %s: %s taken; %s of %d\n", b.Name,
			fault.Count(taken, "result", "results"), strings.Join(countsText(c, 0), ", "), c.Total)
	}
	switch c := b.Count(); {
	case wrong > 0:
		return fault.New(fault.Internal, "have those built again, and collect once more",
			"%s could not be taken", fault.Count(wrong, "result", "results"))
	case c.Over():
		return b.Error()
	}
	return nil
}

// collectOne takes one result, unless it is taken already. Its packages are looked for where it
// says that they are, and among the files, which may have been moved from another machine.
func collectOne(b *batch.Batch, file string, m, files []string) (bool, error) {
	item, err := strconv.Atoi(m[1])
	if err != nil {
		return false, err
	}
	try, err := strconv.Atoi(m[2])
	if err != nil {
		return false, err
	}
	if item > len(b.Items) {
		return false, fmt.Errorf("the batch %s has no source %d", b.Name, item)
	}
	r, err := result.Read(file)
	if err != nil {
		return false, err
	}
	if r.Source.Name != "" && r.Source.Name != m[3] {
		return false, fmt.Errorf("it is the result of %s", r.Source.Name)
	}
	if batch.Stopped(r) {
		return false, errors.New("its build was stopped")
	}
	for i := range r.Artefacts {
		p := &r.Artefacts[i]
		p.Path = whereIs(p.Path, p.Name, files)
	}
	if r.Log != "" {
		r.Log = whereIs(r.Log, filepath.Base(r.Log), files)
	}
	e := batch.EndedAs(r)
	e.Transient = e.Status == batch.GivenBack
	j := batch.Job{Item: item - 1, Try: try}
	if err := result.Write(b.ResultFile(item-1, try), r); err != nil {
		return false, err
	}
	e.Result = b.ResultFile(item-1, try)
	return b.Record(j, r.Started, r.Finished, e)
}

// whereIs is a file of the name among those that there are, unless it is where it was.
func whereIs(path, name string, files []string) string {
	if _, err := os.Stat(path); err == nil {
		return path
	}
	for _, file := range files {
		if filepath.Base(file) == name {
			if abs, err := filepath.Abs(file); err == nil {
				return abs
			}
		}
	}
	return path
}

// filesBelow are the ordinary files below a directory.
func filesBelow(dir string) (all []string, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		return nil, fault.Wrap(fault.Usage, "", fmt.Errorf("looking for results: %w", err))
	}
	return all, nil
}
