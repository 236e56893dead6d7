package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"nsbuild/internal/batch"
	"nsbuild/internal/fault"
)

// batchOptions are the flags of batch beyond those of build.
type batchOptions struct {
	name        string
	list        string
	selection   selection
	order       string
	cycles      string
	maxFailures int
	repository  repositoryOptions
	engine      engineOptions
}

// resumed is a batch that a command goes on with: see resumeBatch.
type resumed struct {
	batch       *batch.Batch
	maxFailures int
	order       string
	repository  *repositoryOptions
	engine      *engineOptions
	checked     bool // its options are
}

func newBatch(a *app, build *cobra.Command) *cobra.Command {
	var o batchOptions
	c := &cobra.Command{
		Use:   "batch [SOURCE...]",
		Short: "Build many source packages, and go on after a kill",
		Long: `batch builds many source packages, each as nsbuild build would, as many at a time
as processors and memory allow. A journal has all that happens: whatever ends the command, a
reboot, too, nsbuild batch resume goes on. What has ended is not built again.

A source that cannot be begun (the mirror, the disk) is tried again later, three times in all. One
that failed while others ran is built once more, alone, before the failure counts. The longest
builds begin first, as far as earlier builds tell.

Results and logs go to one directory, ./NAME or --output. The options are those of nsbuild build,
which are kept for resume and retry. The exit status is as of nsbuild build.
`,
		Example: "  nsbuild batch -d bookworm hello tree sl\n" +
			"  nsbuild batch --name gcc-14 --list sources.txt -d sid --timeout 4h\n" +
			"  nsbuild batch -d bookworm --all --section perl --repository perl\n" +
			"  nsbuild batch resume",
		RunE: func(c *cobra.Command, args []string) error {
			if a.resumed != nil {
				a.resumed.order, a.resumed.repository = o.order, &o.repository
				a.resumed.engine = &o.engine
				return a.runBatch(c.Context(), c.LocalNonPersistentFlags(), a.resumed)
			}
			return a.beginBatch(c.Context(), c.LocalNonPersistentFlags(), args, &o)
		},
	}
	f := c.Flags()
	o.addFlags(f)
	o.repository.addFlags(f)
	addMaxFailures(f, &o.maxFailures)
	o.engine.addFlags(f)
	build.Flags().VisitAll(func(flag *pflag.Flag) {
		if !ofOneBuild(flag.Name) {
			f.AddFlag(flag) // the same one, so that what is configured for build holds, too
		}
	})
	c.AddCommand(newBatchResume(a), newBatchList(a), newBatchStatus(a), newBatchReport(a),
		newBatchRetry(a), newBatchCancel(a), newBatchRemove(a), newBatchPlan(a, build),
		newBatchCollect(a))
	return c
}

// addFlags adds the flags that say which batch there is to be.
func (o *batchOptions) addFlags(f *pflag.FlagSet) {
	f.StringVar(&o.name, "name", "", "call the batch `NAME` (default: today's date)")
	f.StringVar(&o.list, "list", "", "build what `FILE` names, too: a SOURCE a line, with options "+
		"of its own; what follows a # is a comment; - is standard input")
	o.selection.addFlags(f)
	f.StringVar(&o.order, "order", orderNone, "build sources in this `ORDER`: none (each with the "+
		"archive's packages), or needs (after those of the batch whose packages it is built with)")
	f.StringVar(&o.cycles, "cycles", "refuse", "`WHAT` is done where sources need each other: "+
		"refuse, or archive (they are built with the archive's packages)")
}

// addMaxFailures adds the flag of all that run a batch.
func addMaxFailures(f *pflag.FlagSet, most *int) {
	f.IntVar(most, "max-failures", 0, "begin no other when `N` builds have failed; 0: always go on")
}

// ofOneBuild tells whether a flag of build says something that cannot be said of many.
func ofOneBuild(flag string) bool {
	switch flag {
	case "chain", "plan", "lock", "result", "junit", "report", "shell-on-failure", "annotations",
		"help", "provenance", "provenance-key", "builder-id":
		return true
	}
	return false
}

// beginBatch makes a batch of the command line, and runs it.
func (a *app) beginBatch(ctx context.Context, set *pflag.FlagSet, args []string,
	o *batchOptions) error {
	switch {
	case o.order != orderNone && o.order != orderNeeds:
		return usage("none or needs", "--order %q", o.order)
	case o.cycles != "refuse" && o.cycles != "archive":
		return usage("refuse or archive", "--cycles %q", o.cycles)
	}
	if err := o.engine.check(set); err != nil {
		return err
	}
	if o.maxFailures < 0 {
		return usage("0 for none", "--max-failures %d: it cannot be negative", o.maxFailures)
	}
	if err := o.selection.check(); err != nil {
		return err
	}
	if err := a.checkBatch(set, args); err != nil {
		return err
	}
	store, needs, err := a.batches()
	if err != nil {
		return err
	}
	if err := store.Free(o.name); err != nil {
		return err
	}
	picks, suite, err := a.pickSources(ctx, args, o)
	if err != nil {
		return err
	}
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	h := batch.Head{Program: program(), Name: o.name, Created: now(), Dir: dir,
		Options: typed(set)}
	if a.planTo != "" { // of the plans
		h.Options = slices.DeleteFunc(h.Options, func(option string) bool {
			return strings.HasPrefix(option, "--output=")
		})
	}
	if o.engine.engine != engineLocal {
		h.Engine = o.engine.engine
	}
	h.Sources = needs.sourcesOf(picks)
	specs := specsOfSources(h.Sources)
	if err := checkOutput(o.name, a.buildFlags.Output, specs); err != nil {
		return err
	}
	if err := a.checkSources(specs); err != nil {
		return err
	}
	if err := o.engine.ready(ctx); err != nil {
		return err
	}
	if err := o.repository.begin(ctx); err != nil {
		return err
	}
	if o.order == orderNeeds {
		if err := a.orderBatch(ctx, h.Sources, suite, o.cycles == "archive"); err != nil {
			return err
		}
	}
	b, err := store.Create(h)
	if err != nil {
		return err
	}
	return a.runBatch(ctx, set, &resumed{b, o.maxFailures, o.order, &o.repository, &o.engine, true})
}

// What --order may be.
const (
	orderNone  = "none"
	orderNeeds = "needs"
)

// typed are the flags of build that were given on the command line, so that they can be given
// again.
func typed(set *pflag.FlagSet) (all []string) {
	set.VisitAll(func(f *pflag.Flag) { // Visit knows of no flags that another set has parsed
		if !f.Changed || rankOf(f) != rankFlag || ofOneBatch(f.Name) {
			return
		}
		if several, ok := f.Value.(pflag.SliceValue); ok {
			for _, value := range several.GetSlice() {
				all = append(all, "--"+f.Name+"="+value)
			}
			return
		}
		all = append(all, "--"+f.Name+"="+f.Value.String())
	})
	return all
}

// ofOneBatch tells whether a flag says something that the journal has, or that is for one call.
func ofOneBatch(flag string) bool {
	return slices.Contains([]string{"name", "list", "all", "match", "section", "limit", "cycles",
		"max-failures", "json", "dry-run"},
		flag)
}

// checkBatch refuses what cannot be built as it is asked for, before there is a batch of it.
func (a *app) checkBatch(set *pflag.FlagSet, specs []string) error {
	o := a.buildFlags
	o.Sources = specs
	// configured, they are for commands of which one file tells
	o.Result, o.JUnit, o.Report, o.Provenance = "", "", "", ""
	if err := o.complete(a.verbose, set); err != nil {
		return err
	}
	if len(o.Suites) > 0 || len(o.Archs) > 0 {
		return usage("call nsbuild batch once for each", "a batch is of one suite and one architecture")
	}
	return a.checkSources(specs)
}

// checkSources refuses sources that are not there.
func (a *app) checkSources(specs []string) error {
	for _, spec := range specs {
		if !strings.HasSuffix(spec, ".dsc") || strings.Contains(spec, "://") {
			continue
		}
		if _, err := os.Stat(spec); err != nil {
			return fault.Wrap(fault.Usage, "give the path of an existing .dsc, or a package name to "+
				"have it fetched", err)
		}
	}
	a.buildFlags.Sources = specs
	return a.buildFlags.Validate()
}

func specsOfSources(sources []batch.Source) (specs []string) {
	for _, s := range sources {
		specs = append(specs, s.Spec)
	}
	return specs
}

// resumeBatch goes on with a batch, with the options that it was begun with: they are given once
// more, to a command line of their own.
func (a *app) resumeBatch(c *cobra.Command, b *batch.Batch, maxFailures int) (err error) {
	defer func() { err = errors.Join(err, b.Close()) }()
	if err := os.Chdir(b.Dir); err != nil {
		return fault.Wrap(fault.Internal, "make it again, since paths start from there",
			fmt.Errorf("the directory of the batch %s: %w", b.Name, err))
	}
	a.resumed = &resumed{batch: b, maxFailures: maxFailures}
	// before another root has its flags, which are set to their defaults
	general := typed(c.Root().PersistentFlags())
	root := newRoot(a)
	verb := "batch"
	if b.Change != nil {
		verb = "rdeps"
	}
	root.SetArgs(slices.Concat([]string{verb}, general, b.Options))
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	return root.ExecuteContext(c.Context())
}

// checkOutput refuses a directory for the results that is one of the sources, or that would be
// taken for one once it is there: a SOURCE is the name of a directory first, then of a package.
func checkOutput(name, asked string, specs []string) error {
	dir, err := filepath.Abs(cmp.Or(asked, name))
	if err != nil {
		return err
	}
	for _, spec := range specs {
		if source, err := filepath.Abs(spec); err == nil && source == dir {
			return usage("choose another --name, or a directory with --output",
				"the results would go to %s, which is the source %s, too", dir, spec)
		}
	}
	return nil
}

// outputOf is where the results of a batch go.
func outputOf(b *batch.Batch, asked string) (string, error) {
	dir, err := filepath.Abs(cmp.Or(asked, b.Name))
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", fault.Wrap(fault.Usage, "choose another directory with --output",
			fmt.Errorf("the directory of the results: %w", err))
	}
	return dir, nil
}
