package bootstrap

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"nsbuild/internal/apt"
	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/index"
	"nsbuild/internal/archive/pool"
	"nsbuild/internal/bootstrap/unpack"
	"nsbuild/internal/fault"
	"nsbuild/internal/jails"
)

// Native is nsbuild's own bootstrapper; the others are programs of the host.
const (
	Native      = "native"
	Debootstrap = "debootstrap"
	Mmdebstrap  = "mmdebstrap"
)

// Bootstrappers lists what Options.Bootstrapper accepts.
func Bootstrappers() []string { return []string{Native, Debootstrap, Mmdebstrap} }

// Run fills the tree.
func Run(ctx context.Context, o Options) (*Result, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	j := &job{o: o, info: map[string]control{}}
	if o.Bootstrapper != Native {
		return j.foreign(ctx)
	}
	j.begin("packages to install")
	selection, err := j.choose(ctx)
	if err != nil {
		return nil, err
	}
	// What a suite offers takes more memory than all that follows, which does not grow enough for
	// the runtime to give it back by itself.
	debug.FreeOSMemory()
	packages := j.arrange(selection)
	res := &Result{Selection: selection, Epoch: o.Epoch}
	if !o.UseDpkg {
		j.begin("download and unpack")
		err = j.inJail(ctx, packages, pool.CopyZstd, j.native)
		var inexact *errInexact
		if !errors.As(err, &inexact) {
			return j.finish(ctx, res, err)
		}
		res.Fallback = inexact.reason
		fmt.Fprintf(j.o.Log, "dpkg unpacks the packages: %s\n", inexact.reason)
		if err := errors.Join(o.Holder.RemoveTree(ctx, o.Tree),
			o.Holder.MakeRoot(ctx, o.Tree)); err != nil {
			return nil, err
		}
		clear(j.info)
	}
	j.begin("download and unpack with dpkg")
	form, err := dpkgForm(packages)
	if err != nil {
		return nil, err
	}
	return j.finish(ctx, res, j.inJail(ctx, packages, form, j.byDpkg))
}

func (j *job) begin(phase string) {
	if j.o.Progress.Phase != nil {
		j.o.Progress.Phase(phase)
	}
}

// choose reads the indices and chooses, unless that was done before.
func (j *job) choose(ctx context.Context) (Selection, error) {
	if j.o.Selection != nil {
		return *j.o.Selection, nil
	}
	start := time.Now()
	if err := errors.Join(j.checkArch(), j.checkComponents()); err != nil {
		return Selection{}, err
	}
	u := universe{}
	err := j.eachOffer(ctx, u.add)
	if err != nil {
		return Selection{}, err
	}
	c, err := choose(u, j.o.Suite, j.o.Variant, j.o.Include, j.o.Exclude)
	if err != nil {
		return Selection{}, err
	}
	var s Selection
	if s.Required, err = u.read(c.required); err != nil {
		return Selection{}, err
	}
	if s.Base, err = u.read(c.base); err != nil {
		return Selection{}, err
	}
	if err := s.checkPreDepends(j.o.Suite.Name, u); err != nil {
		return Selection{}, err
	}
	j.phase("choose", start)
	return s, nil
}

// arrange notes what is to be installed, and returns it in the order in which debootstrap unpacks
// it.
func (j *job) arrange(s Selection) []*index.Package {
	byName := map[string]*index.Package{}
	names := func(packages []*index.Package) []string {
		var out []string
		for _, p := range packages {
			byName[p.Package] = p
			out = append(out, p.Package)
		}
		slices.Sort(out)
		return out
	}
	j.plan = choice{required: names(s.Required), base: names(s.Base)}
	j.order = j.plan.order(j.o.Arch)
	packages := make([]*index.Package, len(j.order))
	for i, name := range j.order {
		packages[i] = byName[name]
	}
	return packages
}

// checkArch refuses an architecture that the suite says it does not have.
func (j *job) checkArch() error {
	has := map[string]bool{}
	for _, r := range j.o.Releases {
		archs := r.Architectures()
		if len(archs) == 0 { // a flat repository need not say
			return nil
		}
		for _, a := range archs {
			has[a] = a != "all"
		}
	}
	if has[j.o.Arch] || len(has) == 0 {
		return nil
	}
	var names []string
	for a, real := range has {
		if real {
			names = append(names, a)
		}
	}
	slices.Sort(names)
	return fault.New(fault.Usage, "it has "+strings.Join(names, ", ")+
		"; or name a mirror that has more with --mirror",
		"suite %s has no packages of architecture %s there", j.o.Suite.Name, j.o.Arch)
}

// checkComponents refuses a component that no repository says it has: one that was mistyped.
func (j *job) checkComponents() error {
	has := map[string]bool{}
	for _, r := range j.o.Releases {
		list := r.Components()
		if len(list) == 0 { // it need not say
			return nil
		}
		for _, c := range list {
			has[c] = true
		}
	}
	for _, r := range j.o.Releases {
		for _, c := range r.Repo().Components {
			if !has[c[strings.LastIndexByte(c, '/')+1:]] {
				return fault.New(fault.Usage, "it has "+strings.Join(slices.Sorted(maps.Keys(has)),
					", "), "suite %s has no component %s there", j.o.Suite.Name, c)
			}
		}
	}
	return nil
}

// eachOffer reads what may go into a base: as with apt, nothing of a suite that only offers what
// something asks for.
func (j *job) eachOffer(ctx context.Context, fn func(*index.Offer) error) error {
	for _, r := range j.o.Releases {
		if r.NotAutomatic() {
			continue
		}
		for _, component := range r.Repo().IndexComponents() {
			err := j.o.Client.Offers(ctx, r, component, j.o.Arch, fn)
			if err != nil && !errors.Is(err, failure.ErrNoIndex) {
				return err
			}
		}
	}
	return nil
}

// dpkgForm is the form of copies that the suite's own dpkg can read.
func dpkgForm(packages []*index.Package) (pool.CopyForm, error) {
	for _, p := range packages {
		if p.Package == "dpkg" {
			return pool.CopyFormFor(p.Version)
		}
	}
	return pool.CopyOld, nil
}

// inJail opens the jail, starts fetching, and has work unpack and configure what arrives: the
// packages, or their copies of the form. When a package cannot be had, the context of work ends.
func (j *job) inJail(ctx context.Context, packages []*index.Package, form pool.CopyForm,
	work func(context.Context, jails.Jail, <-chan ready) error) error {
	jail, err := j.openJail(ctx)
	if err != nil {
		return err
	}
	debs := make(chan ready)
	fetching, cancel := context.WithCancelCause(ctx)
	fetched := make(chan error, 1)
	go func() {
		defer close(debs)
		err := j.o.Client.EachCopy(fetching, fetchOrder(packages, j.first()), form,
			func(p *index.Package, file string) error {
				rel, err := filepath.Rel(j.o.CacheDir, file)
				if err != nil {
					return err
				}
				select {
				case debs <- ready{p.Package, filepath.ToSlash(rel)}:
					return nil
				case <-fetching.Done():
					return context.Cause(fetching)
				}
			})
		if err == nil && j.o.Progress.Fetched != nil {
			j.o.Progress.Fetched(packages)
		}
		if err != nil {
			cancel(err) // what the jail does with the others is of no use
		}
		fetched <- err
	}()
	err = work(fetching, jail, debs)
	cancel(nil)
	if fetchErr := <-fetched; fetchErr != nil && !errors.Is(fetchErr, context.Canceled) {
		err = fetchErr // what work says is only its consequence
	}
	if err == nil {
		err = j.apply(ctx, jail, "finish", j.finished(j.o.Repos))
	}
	strays, closeErr := jail.Close()
	for _, s := range strays {
		fmt.Fprintf(j.o.Log, "a maintainer script left a process, which was ended: %s\n", s.Command)
	}
	return errors.Join(err, closeErr)
}

// fetchOrder is the order in which packages are fetched and, where fetching is quicker, unpacked:
// that which all others wait for, then the largest first, so that at the end no processor waits for
// another that has just begun with the compiler.
func fetchOrder(packages []*index.Package, first string) []*index.Package {
	return slices.SortedStableFunc(slices.Values(packages), func(a, b *index.Package) int {
		if (a.Package == first) != (b.Package == first) {
			if a.Package == first {
				return -1
			}
			return 1
		}
		return cmp.Compare(b.Size, a.Size)
	})
}

// finish lists what the tree has.
func (j *job) finish(ctx context.Context, res *Result, err error) (*Result, error) {
	if err != nil {
		return nil, err
	}
	jail, err := j.openJail(ctx)
	if err != nil {
		return nil, err
	}
	if res.Packages, err = apt.Installed(jail); err != nil {
		return nil, err
	}
	_, err = jail.Close()
	res.Timings = j.timings
	return res, err
}

// byDpkg unpacks with the tree's own dpkg, which must first be there: the required packages are
// extracted once without dpkg's knowledge, as debootstrap does.
func (j *job) byDpkg(ctx context.Context, jail jails.Jail, debs <-chan ready) error {
	start := time.Now()
	all := map[string]string{}
	noted := make(chan ready)
	go func() {
		defer close(noted)
		for d := range debs {
			all[d.name] = path.Join(jailDebs, d.path)
			if slices.Contains(j.plan.required, d.name) {
				noted <- d
			}
		}
	}()
	plan := unpack.Plan{
		Tree: jailTree, Debs: jailDebs, Workers: j.o.Workers, Epoch: j.o.Epoch, Links: j.links(),
		Files: map[string]string{"/var/lib/dpkg/status": "", "/var/lib/dpkg/available": ""},
	}
	if j.first() != "" {
		plan.First = 1
	}
	j.flagUnmerged(plan.Files)
	if err := j.unpack(ctx, jail, plan, noted); err != nil {
		return err
	}
	if err := j.apply(ctx, jail, "finish", j.prepared()); err != nil {
		return err
	}
	dpkg := []string{"dpkg", "--force-depends", "--force-confold", "--force-unsafe-io"}
	core := coreOrder(j.o.Arch)
	for _, name := range core {
		if file, ok := all[name]; ok {
			if err := j.command(ctx, jail, append(dpkg, "--install", file)...); err != nil {
				return err
			}
		}
	}
	for _, group := range [][]string{j.plan.required, j.plan.base} {
		args := append(dpkg, "--unpack")
		n := len(args)
		for _, name := range group {
			if file, ok := all[name]; ok {
				args = append(args, file)
			}
		}
		if len(args) == n {
			continue
		}
		if err := j.command(ctx, jail, args...); err != nil {
			return err
		}
		if err := j.command(ctx, jail, append(dpkg, "--configure", "-a")...); err != nil {
			return err
		}
	}
	j.phase("dpkg", start)
	return nil
}
