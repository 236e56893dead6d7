package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"nsbuild/internal/batch"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
	"nsbuild/internal/pkgbuild"
	"nsbuild/internal/rdeps"
)

// rdepsOptions are the flags of rdeps beyond those of build.
type rdepsOptions struct {
	name        string
	depth       int
	limit       int
	match       []string
	exclude     []string
	tests       bool
	compare     bool
	dryRun      bool
	json        bool
	maxFailures int
}

func newRdeps(a *app, build *cobra.Command) *cobra.Command {
	var o rdepsOptions
	c := &cobra.Command{
		Use:   "rdeps CHANGES|SOURCE...",
		Short: "Build what depends on changed packages, with them and without",
		Long: `rdeps finds the sources of the suite that are built with packages of yours, and builds
each of them with these packages. What is not built is built once more, without them: so it tells
what the change breaks, what was broken before, and what the change mends. How a source is built
without a change is remembered: as long as neither source nor archives change it is not built again.

CHANGES is a .changes file of a build. SOURCE is as in nsbuild build, and is built first.

It is a batch: nsbuild batch resume goes on with it after a kill, batch status shows how far it is,
and batch report makes a page of it. The other options are those of nsbuild build.
`,
		Example: "  nsbuild rdeps libfoo_1.2-3_amd64.changes -d sid\n" +
			"  nsbuild rdeps . --depth 2 --limit 50 --dry-run",
		Args: func(c *cobra.Command, args []string) error {
			if a.resumed != nil {
				return nil
			}
			return rangeArgs(1, -1, "of which packages?")(c, args)
		},
		RunE: func(c *cobra.Command, args []string) error {
			a.buildFlags.Autopkgtest = o.tests
			a.rdepsJSON = o.json
			if a.resumed != nil {
				a.resumed.ofChange()
				return a.runBatch(c.Context(), c.LocalNonPersistentFlags(), a.resumed)
			}
			return a.beginRdeps(c.Context(), c.LocalNonPersistentFlags(), args, &o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.name, "name", "", "call the batch `NAME` (default: rdeps-SOURCE)")
	f.IntVar(&o.depth, "depth", 1, "also build what is built with a package that depends on a "+
		"changed one, up to `N` steps away; 1: what is built with a changed one itself")
	f.IntVar(&o.limit, "limit", 0, "build the first `N` of them; 0: all")
	f.StringArrayVar(&o.match, "match", nil, "build those whose names fit `PATTERN` (* and ?)")
	f.StringArrayVar(&o.exclude, "exclude", nil, "leave out those whose names fit `PATTERN`")
	f.BoolVar(&o.tests, "autopkgtest", false, "run the tests of each source, too, and build what "+
		"is tested with a changed package")
	f.BoolVar(&o.compare, "compare", false, "build each also without the changed packages, and "+
		"compare what came of both")
	f.BoolVar(&o.dryRun, "dry-run", false, "list them, and build nothing")
	f.BoolVar(&o.json, "json", false, "write the outcome as a JSON document, for programs "+
		"(docs/many.md)")
	addMaxFailures(f, &o.maxFailures)
	build.Flags().VisitAll(func(flag *pflag.Flag) {
		if !ofOneBuild(flag.Name) && f.Lookup(flag.Name) == nil && flag.Name != "run-autopkgtest" {
			f.AddFlag(flag) // the same one, so that what is configured for build holds, too
		}
	})
	return c
}

// check finds what is wrong with them.
func (o *rdepsOptions) check() error {
	switch {
	case o.depth < 1:
		return usage("1 for what is built with a changed package itself",
			"--depth %d: it is at least 1", o.depth)
	case o.limit < 0:
		return usage("0 for all", "--limit %d: it cannot be negative", o.limit)
	case o.maxFailures < 0:
		return usage("0 for none", "--max-failures %d: it cannot be negative", o.maxFailures)
	}
	for _, pattern := range slices.Concat(o.match, o.exclude) {
		if _, err := path.Match(pattern, ""); err != nil {
			return usage("* stands for any letters, ? for one, [ab] for one of these",
				"%q is no pattern", pattern)
		}
	}
	return nil
}

// change is what rdeps is asked about.
type change struct {
	sources []string // that are to be built first
	debs    []string
	own     []string // names of the sources
	suite   string   // that a .changes file names
}

// beginRdeps finds what depends on packages, and makes a batch of it.
func (a *app) beginRdeps(ctx context.Context, set *pflag.FlagSet, args []string,
	o *rdepsOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	c, err := a.readChange(args)
	if err != nil {
		return err
	}
	if err := a.checkBatch(set, c.sources); err != nil {
		return err
	}
	said := typed(set)
	r := &a.buildFlags.Request
	r.Suite = a.buildFlags.Suite
	if r.Suite == "" && c.suite != "" {
		r.Suite = c.suite
		said = append(said, "--dist="+c.suite)
	}
	env, err := a.open(ctx)
	if err != nil {
		return err
	}
	a.makesBases(r)
	search := &rdeps.Search{Own: c.own, Depth: o.depth, Tests: o.tests, Match: o.match,
		Exclude: o.exclude, Limit: o.limit}
	var h batch.Head
	if o.dryRun {
		err = a.lookAtChange(ctx, env, c, search)
	} else {
		h, err = a.changeHead(ctx, env, c, o, search)
	}
	if err != nil {
		return err
	}
	found, suite, err := a.findRdeps(ctx, env, search)
	if err != nil {
		return err
	}
	if o.dryRun {
		return a.listRdeps(found, suite, search, o.json)
	}
	if len(found) == 0 {
		fmt.Fprintf(a.stdout, "nothing in %s is built with %s\n", suite,
			strings.Join(names(h.Change), ", "))
		return nil
	}
	store, needs, err := a.batches()
	if err != nil {
		return err
	}
	h.Options = said
	for _, f := range found {
		h.Sources = append(h.Sources, needs.source(f.Name))
	}
	b, err := store.Create(h)
	if err != nil {
		return err
	}
	of := &resumed{batch: b, maxFailures: o.maxFailures}
	of.ofChange()
	return a.runBatch(ctx, set, of)
}

// ofChange has builds be done as those of a change are: here, each for itself.
func (r *resumed) ofChange() {
	r.order, r.repository = orderNone, &repositoryOptions{}
	r.engine = &engineOptions{engine: engineLocal}
}

func names(c *batch.Change) (all []string) {
	for _, p := range c.Packages {
		all = append(all, p.Name)
	}
	return all
}

// readChange reads the .changes files among the arguments.
func (a *app) readChange(args []string) (*change, error) {
	c := &change{}
	for _, arg := range args {
		if !strings.HasSuffix(arg, ".changes") {
			c.sources = append(c.sources, arg)
			continue
		}
		f, err := os.Open(arg)
		if err != nil {
			return nil, fault.Wrap(fault.Usage, "name a .changes file of a build", err)
		}
		changes, err := dsc.ParseChanges(arg, f, nil)
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, fault.Wrap(fault.Usage, "", err)
		}
		if err := changes.Verify(dsc.Dir(filepath.Dir(arg))); err != nil {
			return nil, fault.Wrap(fault.Usage, "build the packages again", err)
		}
		c.own = append(c.own, changes.Source)
		c.debs = append(c.debs, debsOf(filepath.Dir(arg), changes)...)
		if _, err := a.suites().Lookup(changes.Distribution); err == nil && c.suite == "" {
			c.suite = changes.Distribution
		}
	}
	if len(c.sources) == 0 && len(c.debs) == 0 {
		return nil, usage("name one of a build with binary packages", "%s: there is no .deb in it",
			strings.Join(args, ", "))
	}
	return c, nil
}

// debsOf are the packages of a .changes file that something can be built with.
func debsOf(dir string, changes *dsc.Changes) (all []string) {
	for _, f := range changes.Files {
		if isChanged(f.Name) {
			all = append(all, filepath.Join(dir, f.Name))
		}
	}
	return all
}

// isChanged tells whether a file is a package that something can be built with.
func isChanged(file string) bool {
	return strings.HasSuffix(file, ".deb") && !strings.Contains(filepath.Base(file), "-dbgsym_")
}

// lookAtChange fills in what is changed, without building anything.
func (a *app) lookAtChange(ctx context.Context, env *pkgbuild.Env, c *change,
	search *rdeps.Search) (err error) {
	if search.Changed, err = env.ExtraPackages(ctx, c.debs); err != nil {
		return err
	}
	for _, spec := range c.sources {
		r := a.buildFlags.Request
		r.From = spec
		looked, err := env.Look(ctx, r)
		if err != nil {
			return fault.Wrap(fault.KindOf(err), "", fmt.Errorf("%s: %w", spec, err))
		}
		search.Own = append(search.Own, looked.Name)
		search.Changed = append(search.Changed, looked.Packages()...)
	}
	return nil
}

// changeHead is the batch, but for its sources. What is not built yet is built, each source with
// the packages of those before it.
func (a *app) changeHead(ctx context.Context, env *pkgbuild.Env, c *change, o *rdepsOptions,
	search *rdeps.Search) (h batch.Head, err error) {
	h = batch.Head{Program: program(), Name: o.name, Created: now(),
		Change: &batch.Change{Compare: o.compare, Tests: o.tests}}
	if h.Dir, err = os.Getwd(); err != nil {
		return h, err
	}
	if h.Name == "" {
		if h.Name, err = a.rdepsName(c); err != nil {
			return h, err
		}
	}
	if err := a.buildChange(ctx, env, c, h.Name); err != nil {
		return h, err
	}
	for _, file := range c.debs {
		packages, err := env.ExtraPackages(ctx, []string{file})
		if err != nil {
			return h, err
		}
		if file, err = filepath.Abs(file); err != nil {
			return h, err
		}
		for _, p := range packages {
			if source := rdeps.SourceOf(p); !slices.Contains(search.Own, source) {
				search.Own = append(search.Own, source)
			}
			search.Changed = append(search.Changed, p)
			h.Change.Packages = append(h.Change.Packages, batch.Changed{Name: p.Package,
				Version: p.Version, Path: file, SHA256: p.Hashes.SHA256})
		}
	}
	h.Change.Sources = search.Own
	return h, nil
}

// rdepsName is a name for a batch that has none.
func (a *app) rdepsName(c *change) (string, error) {
	store, _, err := a.batches()
	if err != nil {
		return "", err
	}
	have, err := store.Names()
	if err != nil {
		return "", err
	}
	of := slices.Concat(c.own, c.sources)[0]
	if of, err = filepath.Abs(of); err != nil {
		return "", err
	}
	of, _, _ = strings.Cut(strings.TrimSuffix(filepath.Base(of), ".dsc"), "_")
	of, _, _ = strings.Cut(of, "=")
	name := "rdeps-" + of
	for n := 2; slices.Contains(have, name); n++ {
		name = fmt.Sprintf("rdeps-%s.%d", of, n)
	}
	return name, nil
}

// buildChange builds the sources whose packages are the change.
func (a *app) buildChange(ctx context.Context, env *pkgbuild.Env, c *change, name string) error {
	if len(c.sources) == 0 {
		return nil
	}
	if err := checkOutput(name, a.buildFlags.Output, c.sources); err != nil {
		return err
	}
	output, err := outputOf(&batch.Batch{Head: batch.Head{Name: name}}, a.buildFlags.Output)
	if err != nil {
		return err
	}
	x := &batchRun{app: a, env: env}
	var built []string
	for _, spec := range c.sources {
		r := a.buildFlags.Request
		r.From, r.Output = spec, output
		r.Packages = slices.Concat(r.Packages, built)
		r.Autopkgtest = false // it is not what is tested
		d := env.BuildOneOf(ctx, 1, r, x.tell, x.tellKept)
		if d.Err != nil {
			return reported{d.Err}
		}
		for _, file := range d.Outcome.Artefacts {
			if isChanged(file) {
				built = append(built, file)
			}
		}
		c.own = append(c.own, d.Outcome.Result.Source.Name)
	}
	if len(built) == 0 {
		return fault.New(fault.Usage, "build it for another architecture",
			"%s builds no package here", strings.Join(c.sources, ", "))
	}
	c.debs = append(c.debs, built...)
	return nil
}

// findRdeps looks for what depends on the change.
func (a *app) findRdeps(ctx context.Context, env *pkgbuild.Env, s *rdeps.Search) (
	found []*rdeps.Found, suite string, err error) {
	ph := env.Progress.Phase("reverse dependencies")
	defer func() { ph.Done(err) }()
	looked, err := env.Suite(ctx, a.buildFlags.Request)
	if err != nil {
		return nil, "", err
	}
	s.Context, s.FirstOnly = looked.Context, looked.FirstOnly
	s.Binaries = looked.EachBinary(ctx)
	found, err = s.Sources(looked.Sources)
	return found, looked.Name, err
}

// listRdeps lists what depends on the change: a name a line, with what makes it depend.
func (a *app) listRdeps(found []*rdeps.Found, suite string, s *rdeps.Search, asJSON bool) error {
	if asJSON {
		l := rdeps.List{Schema: rdeps.ListSchema, Suite: suite, Sources: found,
			Changed: []string{}}
		if l.Sources == nil {
			l.Sources = []*rdeps.Found{}
		}
		for _, p := range s.Changed {
			l.Changed = append(l.Changed, p.Package)
		}
		return a.printJSON(l)
	}
	for _, f := range found {
		how := "with "
		if f.Depth == 0 {
			how = "tested with "
		}
		if _, err := fmt.Fprintln(a.stdout, buildlog.VisibleString(fmt.Sprintf("%s %s  # %s%s",
			f.Name, f.Version, how, strings.Join(f.Via, ", ")))); err != nil {
			return err
		}
	}
	return nil
}
