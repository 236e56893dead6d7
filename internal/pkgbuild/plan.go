package pkgbuild

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"nsbuild/internal/apt"
	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/hashes"
	"nsbuild/internal/archive/index"
	"nsbuild/internal/base"
	"nsbuild/internal/bases"
	"nsbuild/internal/bootstrap"
	"nsbuild/internal/buildroot"
	"nsbuild/internal/deps"
	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
	"nsbuild/internal/hook"
	"nsbuild/internal/plan"
)

// Plan resolves and pins everything that decides the result of a build. What it fetches is in the
// cache afterwards; nothing is installed or built.
func (e *Env) Plan(ctx context.Context, r Request) (_ *plan.Plan, err error) {
	r.LogDir, r.NoLog, r.Result = "", true, ""
	b := e.newBuilder(r)
	b.dry = true
	defer b.release()
	at, err := b.prepare(ctx)
	if err != nil {
		return nil, e.Work.Hide(fault.Interruption(ctx, err))
	}
	defer func() { at.close(ctx) }()
	defer func() { err = errors.Join(err, b.log.Close()) }()
	if err = b.confirm(); errors.Is(err, errOutdated) {
		at.close(ctx)
		if at, err = b.againOverNew(ctx, at.how); err != nil {
			at = &attempt{builder: b}
		}
	}
	if err != nil {
		return nil, fault.Interruption(ctx, fault.Wrap(fault.GivenBack, "", err))
	}
	p, err := at.plan(ctx)
	if !errors.Is(err, deps.ErrNoPlan) { // which says itself what it means
		err = fault.Wrap(fault.GivenBack, "", err)
	}
	return p, e.Work.Hide(fault.Interruption(ctx, err))
}

// plan makes the plan of what was prepared.
func (at *attempt) plan(ctx context.Context) (*plan.Plan, error) {
	options, err := at.withJobs(at.o.Options)
	if err != nil {
		return nil, err
	}
	at.options = options
	dependencies, err := at.planRelations()
	if err != nil {
		return nil, err
	}
	if dependencies.Packages, err = at.planPackages(ctx); err != nil {
		return nil, err
	}
	return at.planWith(ctx, dependencies)
}

// planWith makes the plan of what was prepared, with dependencies that are known.
func (at *attempt) planWith(ctx context.Context, dependencies plan.Dependencies) (*plan.Plan,
	error) {
	source, err := at.planSource(ctx)
	if err != nil {
		return nil, err
	}
	hooks, err := at.planHooks()
	if err != nil {
		return nil, err
	}
	k := at.o.Kind
	p := &plan.Plan{
		Program: at.env.Program, Created: time.Now().UTC().Truncate(time.Second), Source: source,
		Target: plan.Target{Distribution: at.suite.Name, Asked: at.o.Suite != "",
			BuildArch: at.arch, HostArch: at.host, BuildType: at.o.buildType(),
			Profiles: at.o.Profiles, Options: at.options},
		Kind: plan.Kind{BinNMU: k.BinNMU, BinNMUVersion: k.BinNMUVersion,
			BinNMUChangelog: k.BinNMUChangelog, AppendToVersion: k.AppendToVersion,
			SourceOnlyChanges: k.SourceOnlyChanges, BuildOptions: k.BuildOpts,
			SourceOptions: k.SourceOpts, Maintainer: k.Maintainer, Uploader: k.Uploader},
		Base: plan.Base{Name: at.base.Name, Generation: at.base.Number,
			Digest: baseDigest(at.base.Manifest)},
		Repositories: at.planRepositories(),
		Dependencies: dependencies, Environment: at.environment().Plain(), Hooks: hooks,
		Limits: plan.Limits{Memory: at.o.Limits.Memory, Processors: at.o.Limits.CPUs,
			Processes: int64(at.o.Limits.PIDs), MaxResults: at.o.MaxResults},
	}
	if k.ownVersion() && k.BinNMUChangelog == "" {
		if p.Kind.EntryDate, err = k.settledDate(time.Now()); err != nil {
			return nil, err
		}
		if k.Maintainer == "" { // the caller's own name, who may be another when it is built
			p.Kind.Maintainer = DefaultMaintainer()
		}
	}
	return p, nil
}

// planSource is the source as a plan has it. That of a kept build lies where that one had it.
func (at *attempt) planSource(ctx context.Context) (plan.Source, error) {
	if at.retried != nil && at.in.Tree == nil {
		return at.retried.plan.Source, nil
	}
	return at.in.Plan(ctx)
}

// planRelations are the relations of the build, of which no package is known yet.
func (at *attempt) planRelations() (plan.Dependencies, error) {
	reduced, err := at.dependencies(at.context())
	if err != nil {
		return plan.Dependencies{}, err
	}
	a := at.o.Additions
	return plan.Dependencies{Resolver: at.resolver(), Depends: reduced.Depends.String(),
		Conflicts: reduced.Conflicts.String(), Packages: []plan.Package{},
		Added: plan.Added{Depends: slices.Concat(a.AddDepends, a.Include),
			DependsArch: a.AddDependsArch, DependsIndep: a.AddDependsIndep,
			Conflicts: a.AddConflicts, ConflictsArch: a.AddConflictsArch,
			ConflictsIndep: a.AddConflictsIndep, Alternatives: at.o.Alternatives}}, nil
}

// planPackages asks apt what it would install.
func (at *attempt) planPackages(ctx context.Context) ([]plan.Package, error) {
	reduced, err := at.dependencies(at.context())
	if err != nil {
		return nil, err
	}
	packages, err := at.env.deps().Wanted(ctx, at.request(reduced), at.on())
	if errors.Is(err, deps.ErrNoPlan) {
		return nil, fault.Wrap(fault.Usage, "use --build-dep-resolver=apt", err)
	}
	if err != nil {
		return nil, err
	}
	planned := []plan.Package{}
	for _, p := range packages {
		sum, err := at.env.Client.DebSHA256(ctx, p)
		if err != nil {
			return nil, err
		}
		planned = append(planned, plan.Package{Name: p.Package, Version: p.Version,
			Arch: p.Architecture, Size: p.Size, SHA256: sum, SHA512: p.Hashes.SHA512,
			URI: failure.PublicURI(p.Repo.URI), File: p.Filename})
	}
	slices.SortFunc(planned, func(a, b plan.Package) int {
		return strings.Compare(a.Name+" "+a.Arch, b.Name+" "+b.Arch)
	})
	return planned, nil
}

// planRepositories are those that packages are found in.
func (b *builder) planRepositories() (all []plan.Repository) {
	for _, r := range slices.Concat(b.extra.Releases, b.releases) {
		repo := r.Repo()
		all = append(all, plan.Repository{URI: failure.PublicURI(repo.URI), Suite: repo.Suite,
			Components: repo.Components, Date: r.Date(), SHA256: r.Digest()})
	}
	return all
}

// planHooks are the hooks of each stage, with what they do.
func (b *builder) planHooks() (all []plan.Hook, err error) {
	told := hook.Context{Operation: hook.Build, Source: b.header.Package,
		Version: b.header.Version, PkgVer: dsc.PkgVer(b.header.Package, b.version),
		Distribution: b.suite.Name, BuildArch: b.arch,
		HostArch: b.host, BuildType: b.o.buildType(), Profiles: b.o.Profiles,
		Builder: bootstrap.BuilderName, BuildDir: buildroot.Dir}
	for _, stage := range hook.Build.Stages() {
		found := b.o.Hooks.At(stage)
		if len(found) == 0 {
			continue
		}
		h := plan.Hook{Stage: string(stage)}
		for _, one := range found {
			h.Names = append(h.Names, one.Name)
		}
		if h.Digest, err = b.o.Hooks.Digest(told, stage); err != nil {
			return nil, fmt.Errorf("reading the hooks: %w", err)
		}
		all = append(all, h)
	}
	return all, nil
}

// baseDigest identifies what a base has installed, and what else was done to it. Its ids are the
// machine's.
func baseDigest(m base.Manifest) string {
	sum := sha256.New()
	packages := make([]string, 0, len(m.Packages))
	for _, p := range m.Packages {
		packages = append(packages, p.Name+" "+p.Version+" "+p.Arch)
	}
	slices.Sort(packages)
	fmt.Fprintf(sum, "%q", append([]string{m.Suite, m.Arch, m.Variant, m.Bootstrapper, m.Digest},
		packages...))
	return hex.EncodeToString(sum.Sum(nil))
}

// withJobs adds how many processes the build may use, where nobody has said that.
func (b *builder) withJobs(options []string) ([]string, error) {
	if slices.ContainsFunc(options, saysJobs) {
		return options, nil
	}
	n, err := b.env.jobs()
	return append(slices.Clone(options), "parallel="+strconv.Itoa(b.limitedJobs(n))), err
}

// follow takes from a plan all that it decides. Where the results go, and what is shown, is left.
func (r *Request) follow(p *plan.Plan) error {
	types := strings.Split(p.Target.BuildType, ",")
	has := func(names ...string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return slices.Contains(types, n) })
	}
	r.Source = has("source", "full")
	r.ArchAny = has("any", "binary", "full")
	r.ArchAll = has("all", "binary", "full")
	if got := r.buildType(); got != p.Target.BuildType {
		return fault.New(fault.Usage, "plan the build anew",
			"the plan builds %q, which is no kind of build", p.Target.BuildType)
	}
	r.Target = Target{Base: p.Base.Name, Arch: p.Target.BuildArch, Host: p.Target.HostArch,
		Profiles: p.Target.Profiles}
	if p.Target.Asked {
		r.Suite = p.Target.Distribution
	}
	r.Options, r.Jobs, r.Git = p.Target.Options, 0, ""
	r.Resolver, r.Alternatives = p.Dependencies.Resolver, p.Dependencies.Added.Alternatives
	k, added := p.Kind, p.Dependencies.Added
	r.Kind = Kind{BinNMU: k.BinNMU, BinNMUTimestamp: k.EntryDate,
		BinNMUChangelog: k.BinNMUChangelog, AppendToVersion: k.AppendToVersion,
		SourceOnlyChanges: k.SourceOnlyChanges, BuildOpts: k.BuildOptions,
		SourceOpts: k.SourceOptions, Maintainer: k.Maintainer, Uploader: k.Uploader,
		Sign: r.Sign, KeyID: r.KeyID}
	if k.BinNMU != "" {
		r.BinNMUVersion = k.BinNMUVersion
	}
	r.Additions = Additions{AddDepends: added.Depends, AddDependsArch: added.DependsArch,
		AddDependsIndep: added.DependsIndep, AddConflicts: added.Conflicts,
		AddConflictsArch: added.ConflictsArch, AddConflictsIndep: added.ConflictsIndep}
	r.Limits.Memory, r.Limits.CPUs = p.Limits.Memory, p.Limits.Processors
	r.Limits.PIDs, r.MaxResults = int(p.Limits.Processes), p.Limits.MaxResults
	// what they need is no part of the plan
	r.Checks = Checks{}
	r.Said = Said{} // a plan did
	return nil
}

// openPlannedBase takes the base of the plan into use. One that is missing is made, and one with
// other packages brought up to date: a machine that has built nothing lately has the same then as
// the one that has planned, unless the mirror has something newer.
func (b *builder) openPlannedBase(ctx context.Context, p *plan.Plan) (err error) {
	const hint = "plan the build again"
	b.base, err = b.env.Store.Use(p.Base.Name)
	switch {
	case errors.Is(err, base.ErrNone) && p.Base.Name != bases.Name(b.suite.Name, b.arch):
		return fault.New(fault.GivenBack, hint,
			"the plan's base %s (generation %d) is not here", p.Base.Name, p.Base.Generation)
	case errors.Is(err, base.ErrNone):
		b.base, err = b.env.Bases().Take(ctx, bases.Options{Name: p.Base.Name, Suite: b.suite,
			Arch: b.arch}, b.o.NewBase)
	case err == nil && baseDigest(b.base.Manifest) != p.Base.Digest:
		err = b.renewPlannedBase(ctx)
	}
	if err != nil {
		return err
	}
	if baseDigest(b.base.Manifest) != p.Base.Digest {
		return fault.New(fault.GivenBack, hint,
			"the plan's base, generation %d of %s, is not here any more: generation %d has other "+
				"packages", p.Base.Generation, p.Base.Name, b.base.Number)
	}
	b.repos, err = b.env.Bases().RememberedRepos(b.base.Manifest)
	return err
}

// renewPlannedBase brings the base up to date, where the mirror can be asked.
func (b *builder) renewPlannedBase(ctx context.Context) error {
	releases, err := b.env.Bases().Ask(ctx, b.base).Wait()
	if ctx.Err() != nil {
		return err
	}
	if err != nil || bases.Unchanged(b.base.Manifest, releases) {
		return nil //nolint:nilerr // it stays another one, which is said
	}
	g := b.base
	b.base = nil
	b.base, err = b.env.Bases().Renew(ctx, g, releases, b.o.UpdateHooks)
	return err
}

// bringPlanned has the packages of the plan in the cache, and makes the one repository of them that
// apt is shown.
func (b *builder) bringPlanned(ctx context.Context, p *plan.Plan) error {
	var packages []*index.Package
	for _, w := range p.Dependencies.Packages {
		packages = append(packages, &index.Package{Package: w.Name, Version: w.Version,
			Architecture: w.Arch, Filename: w.File, Size: w.Size,
			Hashes: hashes.Set{SHA256: w.SHA256, SHA512: w.SHA512},
			Repo:   &aptconf.Repo{URI: w.URI, Suite: b.suite.Name}, Locked: true})
	}
	ph := b.env.Progress.Phase("planned packages")
	defer b.env.Meter.During(ph)()
	debs, err := b.env.Client.Debs(ctx, packages)
	ph.Done(err)
	if err != nil {
		return fault.Wrap(fault.GivenBack, "", fmt.Errorf("a package of the plan: %w", err))
	}
	var files []string
	for _, deb := range debs {
		files = append(files, deb)
	}
	if len(files) == 0 {
		return nil
	}
	b.extra.Local, err = b.env.Client.Local(ctx, apt.Extra, files)
	return err
}

// plannedFiles are the names that apt gives the packages of a plan.
func plannedFiles(p *plan.Plan) []string {
	names := make([]string, 0, len(p.Dependencies.Packages))
	for _, w := range p.Dependencies.Packages {
		names = append(names, apt.FileName(w.Name, w.Version, w.Arch))
	}
	return names
}

// checkPlanned refuses to build what this program would not build as it was planned.
func (at *attempt) checkPlanned(context.Context) error {
	p := at.planned
	const hint = "plan the build again"
	reduced, err := at.dependencies(at.context())
	if err != nil {
		return err
	}
	hooks, err := at.planHooks()
	if err != nil {
		return err
	}
	name, version := at.in.Identity()
	for _, same := range []struct {
		what string
		is   bool
	}{
		{"the source", name == p.Source.Name && version == p.Source.Version},
		{"the build dependencies", reduced.Depends.String() == p.Dependencies.Depends &&
			reduced.Conflicts.String() == p.Dependencies.Conflicts},
		{"the environment", slices.Equal(at.environment().Plain(), p.Environment)},
		{"the hooks", slices.EqualFunc(hooks, p.Hooks, func(a, b plan.Hook) bool {
			return a.Stage == b.Stage && a.Digest == b.Digest
		})},
	} {
		if !same.is {
			return fault.New(fault.GivenBack, hint, "%s would not be as planned", same.what)
		}
	}
	return nil
}
