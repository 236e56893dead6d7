// Package bases makes bases, of a suite, of a lock file or of a tree that was made elsewhere, and
// keeps them fresh: it asks the mirrors for news, and upgrades a copy of what there is.
//
// What a base is on disk is internal/base's, how a tree is filled internal/bootstrap's.
package bases

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/sirupsen/logrus"

	"nsbuild/internal/archive"
	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/index"
	"nsbuild/internal/archive/pool"
	"nsbuild/internal/archive/release"
	"nsbuild/internal/archive/suites"
	"nsbuild/internal/base"
	"nsbuild/internal/bootstrap"
	"nsbuild/internal/budget"
	"nsbuild/internal/fault"
	"nsbuild/internal/hook"
	"nsbuild/internal/jails"
	"nsbuild/internal/lock"
	"nsbuild/internal/machine"
	"nsbuild/internal/progress"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/workdir"
)

// Options say what base to make.
type Options struct {
	Name       string // default: the suite's, with -ARCH when that is not the machine's own
	Suite      suites.Suite
	Arch       string
	Variant    string
	Include    []string
	Exclude    []string
	Components []string // default: the suite's
	Mirror     string   // one for each line; see aptconf.Host.Repos
	Unverified bool     // take the archive's word without a signature
	// file with the keys that may sign the suite; "": the suite's own and the host's
	Keyring      string
	Bootstrapper string // "native", "debootstrap" or "mmdebstrap"
	Replace      bool   // make it anew when it exists
	Hooks        Hooks
	// the time that nothing in it is younger than; default: the date of its suite
	Epoch  time.Time
	LockTo string     // file that gets the lock of the new base
	Locked *lock.File // make it of just these packages; see LockedOptions

	draftLock *lock.Draft // LockTo, on its way
}

// Keeper makes bases and keeps them fresh.
type Keeper struct {
	Store    *base.Store
	Suites   *suites.Table // that are known
	Host     *aptconf.Host
	Client   *archive.Client
	Work     *workdir.Dir
	StateDir string // for hints
	CacheDir string
	IDs      sandbox.IDMap // of new trees
	Log      logrus.FieldLogger
	Progress *progress.Progress
	Meter    *progress.Meter
	Copies   Copier
	Turns    *Turns
}

// Copier makes copies of packages that are unpacked more quickly, beside what else is done, until
// stop is called.
type Copier interface {
	Start(log logrus.FieldLogger, digests []string, form pool.CopyForm) (stop func())
}

// Create makes a base and returns the number of its generation.
func (k *Keeper) Create(ctx context.Context, o Options) (number int, err error) {
	if o.Arch == "" {
		o.Arch = machine.Native()
	}
	if o.Name == "" {
		o.Name = Name(o.Suite.Name, o.Arch)
	}
	if err := o.checkLock(); err != nil {
		return 0, err
	}
	if err := k.refuseExisting(o.Name, o.Replace,
		fmt.Sprintf("nsbuild update %s, or nsbuild create --replace %s", o.Name,
			o.Name)); err != nil {
		return 0, err
	}
	if o.LockTo == "" {
		return k.makeBase(ctx, o)
	}
	if o.draftLock, err = lock.Begin(o.LockTo); err != nil {
		return 0, err
	}
	if number, err = k.makeBase(ctx, o); err != nil {
		return 0, err
	}
	return number, o.draftLock.Commit()
}

// makeBase makes a generation of a base from nothing. When another process made it while we waited
// for it, that one counts.
func (k *Keeper) makeBase(ctx context.Context, o Options) (number int, err error) {
	if err := k.sweepBases(ctx); err != nil {
		return 0, err
	}
	if err := k.checkOld(o.Suite, o.Arch); err != nil {
		return 0, err
	}
	if err := k.checkExec(); err != nil {
		return 0, fmt.Errorf("making base %s: %w", o.Name, err)
	}
	// The holder comes first: without one a draft could not be deleted again.
	h, err := k.Work.HoldFor(ctx, o.Arch, sandbox.HolderSpec{IDs: k.IDs})
	if err != nil {
		return 0, err
	}
	defer h.Close()
	draft, err := k.Store.Begin(ctx, o.Name, k.waitingFor(o.Name))
	if err != nil {
		return 0, err
	}
	number, made, err := k.makeIn(ctx, h, draft, o)
	switch {
	case err != nil:
		return 0, k.abandon(ctx, draft, k.IDs, err)
	case !made:
		return number, k.discard(ctx, draft, k.IDs)
	}
	return number, nil
}

// makeIn makes a draft a generation. made tells whether it did: another process may have made one
// while we waited for it, whose number is returned then.
func (k *Keeper) makeIn(ctx context.Context, h jails.Holder, draft *base.Draft, o Options) (
	number int, made bool, err error) {
	if !o.Replace {
		if g, err := k.Store.Use(o.Name); err == nil {
			return g.Number, false, errors.Join(g.Close(), o.refuseOthers())
		}
	}
	if err := h.MakeRoot(ctx, draft.Tree()); err != nil {
		return 0, false, err
	}
	manifest, err := k.bootstrap(ctx, h, draft.Tree(), o)
	if err != nil {
		return 0, false, err
	}
	if err := k.hookTree(ctx, h, draft.Tree(), manifest, hook.Create, o.Hooks,
		hook.Create.Stages()...); err != nil {
		return 0, false, fmt.Errorf("making base %s: %w", o.Name, err)
	}
	number, err = draft.Commit(*manifest)
	return number, true, err
}

// checkExec refuses, before anything is downloaded, a place for bases where no program can be run.
func (k *Keeper) checkExec() error {
	err := sandbox.CheckExec(k.Store.Dir())
	if hint := fault.HintOf(err); hint != "" {
		err = &fault.Error{Kind: fault.Internal, Err: err,
			Hint: hint + ", or choose another place with --state-dir"}
	}
	return err
}

// hintFull tells what to do when the disk of the bases is full. What failed for want of space may
// be a program in the jail, so the disk itself is asked.
func (k *Keeper) hintFull(err error) error {
	if free, statErr := budget.FreeSpace(k.Store.Dir()); statErr != nil || free >= 1<<20 {
		return err
	}
	return fault.Wrap(fault.KindOf(err), "free some space under "+k.StateDir+
		", or choose another place with --state-dir", err)
}

// abandon deletes what there is of a generation that cannot be made, and says why that is so.
func (k *Keeper) abandon(ctx context.Context, draft *base.Draft, ids sandbox.IDMap,
	err error) error {
	return errors.Join(k.hintFull(fault.Interruption(ctx, err)), k.discard(ctx, draft, ids))
}

// discard deletes a draft with a holder of its own: the one that made it ends with its context.
func (k *Keeper) discard(ctx context.Context, draft *base.Draft, ids sandbox.IDMap) error {
	ctx, cancel := workdir.Afterwards(ctx)
	defer cancel()
	h, err := k.Work.Hold(ctx, ids)
	if err != nil {
		return err
	}
	defer h.Close()
	return workdir.UnlessLate(k.Log, draft.Discard(ctx, h))
}

func (k *Keeper) waitingFor(name string) func() {
	return func() { k.Log.Infof("another nsbuild is making base %s; waiting for it", name) }
}

// sweepBases deletes what killed processes left, and generations that nobody uses any more. What
// cannot be deleted is no failure of the command that comes by.
func (k *Keeper) sweepBases(ctx context.Context) error {
	stale, err := k.Store.Stale()
	if err != nil || len(stale) == 0 {
		return err
	}
	h, err := k.Work.Hold(ctx, k.IDs)
	if err != nil {
		return err
	}
	defer h.Close()
	short, cancel := workdir.Sweeping(ctx)
	defer cancel()
	for _, name := range stale {
		err := k.Store.Sweep(short, name, h)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil && !errors.Is(err, workdir.ErrSweepTime) {
			k.Log.Warnf("base %s: what nobody uses any more cannot be deleted: %v", name, err)
		}
	}
	return nil
}

// Remove deletes a base, and tells how many bytes it took.
func (k *Keeper) Remove(ctx context.Context, name string) (freed int64, err error) {
	h, err := k.Work.Hold(ctx, k.IDs)
	if err != nil {
		return 0, err
	}
	defer h.Close()
	return k.Store.Remove(ctx, name, h)
}

// Repos are the repositories of a base, and the keys that may sign them.
func (k *Keeper) Repos(o Options) ([]aptconf.Repo, error) {
	if len(o.Components) > 0 {
		o.Suite.Components = o.Components
	}
	arch := o.Arch
	if arch == "" {
		arch = machine.Native()
	}
	repos, err := k.Host.Repos(o.Suite, o.Mirror, arch)
	if err != nil {
		return nil, err
	}
	for i := range repos {
		if o.Keyring != "" {
			repos[i].Keyrings = []string{o.Keyring}
		}
		if o.Unverified {
			repos[i] = repos[i].WithoutVerification("--no-check-gpg")
		}
	}
	return repos, nil
}

// remembered are the options that a base was made with, as far as they say where its packages come
// from.
func (k *Keeper) remembered(m base.Manifest) Options {
	suite, err := k.Suites.Lookup(m.Suite)
	if err != nil {
		suite = suites.Custom(m.Suite)
	}
	return Options{Suite: suite, Arch: m.Arch, Mirror: m.Mirror, Keyring: m.Keyring,
		Components: m.Components, Unverified: m.Unverified}
}

// RememberedRepos are the repositories that a base was made of, as they are chosen now.
func (k *Keeper) RememberedRepos(m base.Manifest) ([]aptconf.Repo, error) {
	return k.Repos(k.remembered(m))
}

// releases fetches the Release files of a base's suite.
func (k *Keeper) releases(ctx context.Context, m base.Manifest) ([]*release.File, error) {
	repos, err := k.RememberedRepos(m)
	if err != nil {
		return nil, err
	}
	return k.Client.Releases(ctx, repos)
}

// recorded is what a manifest keeps of Release files.
func recorded(releases []*release.File) []base.Release {
	var out []base.Release
	for _, r := range releases {
		repo := r.Repo()
		out = append(out, base.Release{URI: repo.URI, Suite: repo.Suite, Date: r.Date(),
			SHA256: r.Digest(), Keys: r.SignedBy()})
	}
	return out
}

// bootstrap fills a tree.
func (k *Keeper) bootstrap(ctx context.Context, h jails.Holder, tree string, o Options) (
	*base.Manifest, error) {
	if o.Bootstrapper == "" {
		o.Bootstrapper = bootstrap.Native
	}
	if o.Variant == "" {
		o.Variant = bootstrap.VariantBuildd
	}
	from, err := k.origin(ctx, &o)
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(filepath.Dir(tree), "bootstrap.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	watch := &watcher{k: k}
	defer watch.end(nil)
	copies := make(chan func(), 1)
	copies <- func() {}
	defer func() { (<-copies)() }()
	fetched := func(packages []*index.Package) {
		(<-copies)()
		copies <- k.Copies.Start(k.Log, k.Client.Copies.Missing(packages, pool.CopyZstd),
			pool.CopyZstd)
	}
	machine, err := budget.Read()
	if err != nil {
		return nil, err
	}
	done, err := bootstrap.Run(ctx, bootstrap.Options{
		Workers: machine.Processors,
		Holder:  h, Tree: tree, Client: k.Client, CacheDir: k.CacheDir, Releases: from.releases,
		Selection: from.selection, Repos: from.repos, Epoch: o.Epoch,
		Suite: o.Suite, Arch: o.Arch, Variant: o.Variant, Include: o.Include, Exclude: o.Exclude,
		Bootstrapper: o.Bootstrapper,
		Log:          log, Progress: bootstrap.Progress{Phase: watch.begin,
			Unpacked: watch.unpacked, Fetched: fetched},
	})
	watch.end(err)
	if err != nil {
		return nil,
			o.explainUnknown(ctx, o.explainLocked(fmt.Errorf("making base %s: %w", o.Name, err)))
	}
	if o.draftLock != nil {
		if err := k.writeLock(ctx, o, from.releases, done); err != nil {
			return nil, err
		}
	}
	m := &base.Manifest{
		Suite: o.Suite.Name, Distribution: o.Suite.Distribution, Arch: o.Arch, Variant: o.Variant,
		Bootstrapper: o.Bootstrapper, Include: o.Include, Exclude: o.Exclude,
		Components: o.Components, Mirror: o.Mirror, Unverified: o.Unverified, Keyring: o.Keyring,
		IDs: h.IDs(), Created: time.Now().UTC().Truncate(time.Second), Releases: from.recorded,
	}
	o.recordLock(m)
	for _, p := range done.Packages {
		m.Packages = append(m.Packages, base.Package{Name: p.Name, Version: p.Version,
			Arch: p.Arch})
	}
	return m, nil
}

// explainUnknown tells what may be wrong when a suite of no table could not be made: how it is made
// was only guessed.
func (o Options) explainUnknown(ctx context.Context, err error) error {
	if o.Suite.Distribution != "" || o.Locked != nil || ctx.Err() != nil ||
		fault.HintOf(err) != "" {
		return err
	}
	hint := "the suite is in no table, so it was made as the newest ones are; which one it is " +
		"like can be said in suites.deb822 (docs/suites.md)"
	return fault.Wrap(fault.KindOf(err), hint, err)
}

// origin is where the packages of a base come from.
type origin struct {
	releases  []*release.File      // none for what a lock fixes
	selection *bootstrap.Selection // likewise only for that
	repos     []aptconf.Repo
	recorded  []base.Release
}

// origin asks the mirrors, and completes the suite by what they say; for what a lock fixes there is
// nothing to be asked.
func (k *Keeper) origin(ctx context.Context, o *Options) (origin, error) {
	if o.Locked != nil {
		return k.lockedOrigin(*o)
	}
	repos, err := k.Repos(*o)
	if err != nil {
		return origin{}, err
	}
	lists := k.Progress.Phase("package lists")
	stop := k.Meter.During(lists)
	releases, err := k.Client.Releases(ctx, repos)
	stop()
	lists.Done(err)
	if err != nil {
		return origin{}, err
	}
	r := releases[0]
	o.Suite = k.Suites.Complete(o.Suite, r.Repo().Components, r.Codename(), r.Suite())
	return origin{releases: releases, recorded: recorded(releases)}, nil
}

// watcher shows bootstrap's progress.
type watcher struct {
	k     *Keeper
	phase interface {
		Done(error)
		Note(string)
	}
	stop func()
}

func (w *watcher) begin(name string) {
	w.end(nil)
	ph := w.k.Progress.Phase(name)
	w.phase, w.stop = ph, w.k.Meter.During(ph)
}

func (w *watcher) unpacked(name string, _ int64) {
	if w.phase != nil {
		w.phase.Note(name)
	}
}

func (w *watcher) end(err error) {
	if w.phase != nil {
		w.stop()
		w.phase.Done(err)
		w.phase = nil
	}
}
