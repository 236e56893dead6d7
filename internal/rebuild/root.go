package rebuild

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/index"
	"nsbuild/internal/archive/pool"
	"nsbuild/internal/base"
	"nsbuild/internal/bases"
	"nsbuild/internal/bootstrap"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/fault"
	"nsbuild/internal/lock"
	"nsbuild/internal/pkgbuild"
	"nsbuild/internal/plan"
)

// prefix begins the names of the roots of rebuilds, which are bases while they are needed.
const prefix = "rebuild-"

// digits is how many digits of the digest of its packages the name of a root has.
const digits = 12

// abandoned: a root that nobody has used for as long as this, and nobody uses, is of a rebuild that
// was killed. One that has just been made is not used yet.
const abandoned = time.Minute

// makeRoot makes a base of just the packages that were found, or takes the one that a rebuild has
// left which was killed. It is used until dropRoot.
func (w *run) makeRoot(ctx context.Context) error {
	begin := time.Now()
	f, err := w.lock(ctx)
	if err != nil {
		return err
	}
	name := prefix + f.Digest[:digits]
	w.sweepRoots(ctx, name)
	for range 2 { // another rebuild over the same root may have deleted it in the end
		w.root, err = w.env.Store.Use(name)
		if !errors.Is(err, base.ErrNone) {
			break
		}
		o, err := bases.LockedOptions(f, w.env.Suites)
		if err != nil {
			return err
		}
		o.Name = name
		if _, err := w.env.Bases().Create(ctx, o); err != nil {
			return fmt.Errorf("making the root of the build: %w", err)
		}
		w.report.RootTime = time.Since(begin).Seconds()
	}
	if w.root == nil {
		w.root, err = w.env.Store.Use(name)
	}
	if err == nil && w.root.Manifest.Lock != f.Digest {
		return fault.New(fault.Internal, "nsbuild remove "+name,
			"there is a base %s, of other packages", name)
	}
	return err
}

// sweepRoots deletes the roots of rebuilds that were killed, but the one that is wanted. What is
// used, or kept builds lie on, stays.
func (w *run) sweepRoots(ctx context.Context, wanted string) {
	names, err := w.env.Store.Names()
	if err != nil {
		w.env.Log.Warnf("what killed rebuilds have left stays: %v", err)
		return
	}
	for _, name := range names {
		if name == wanted || !w.abandonedRoot(name) {
			continue
		}
		if _, err := w.env.Bases().Remove(ctx, name); err != nil {
			w.env.Log.Debugf("the root %s of another rebuild stays: %v", name, err)
		}
	}
}

// dropRoot deletes the root, unless something lies on it.
func (w *run) dropRoot(ctx context.Context) {
	if w.root == nil {
		return
	}
	name := w.root.Name
	err := w.root.Close()
	if w.report.Build != nil && w.report.Build.Kept != "" {
		return
	}
	if err == nil {
		_, err = w.env.Bases().Remove(context.WithoutCancel(ctx), name)
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		w.env.Log.Warnf("the root of the rebuild stays: %v", err)
	}
}

// abandonedRoot tells whether a base is the root of a rebuild, and has not been used for a while.
func (w *run) abandonedRoot(name string) bool {
	digest, ok := strings.CutPrefix(name, prefix)
	if !ok || len(digest) != digits {
		return false
	}
	g, err := w.env.Store.Look(name)
	if err != nil {
		return false
	}
	used, err := g.Used()
	return err == nil && g.Close() == nil && strings.HasPrefix(g.Manifest.Lock, digest) &&
		time.Since(used) > abandoned
}

// lock is what the root is made of. Its digest stands for the packages.
func (w *run) lock(ctx context.Context) (*lock.File, error) {
	f := &lock.File{Name: w.File, Format: lock.Format, Suite: w.suite.Name,
		Arch: w.info.BuildArch, Variant: bootstrap.VariantBuildd, Layout: w.suite.Layout(),
		Epoch: w.epoch()}
	number := map[string]int{}
	sum := sha256.New()
	fmt.Fprintf(sum, "%s %s %q\n", f.Suite, f.Arch, f.Layout)
	for _, p := range w.find.want {
		key := p.found.Repo.String()
		i, ok := number[key]
		if !ok {
			i = len(f.Repositories)
			number[key] = i
			repo := lock.Repository{URI: p.found.Repo.URI, Suite: p.found.Repo.Suite,
				Components: p.found.Repo.Components}
			if p.from != nil {
				repo.Date, repo.SHA256, repo.Keys = p.from.Date(), p.from.Digest(),
					p.from.SignedBy()
			}
			f.Repositories = append(f.Repositories, repo)
		}
		digest, err := w.env.Client.DebSHA256(ctx, p.found)
		if err != nil {
			return nil, err
		}
		f.Repositories[i].Packages = append(f.Repositories[i].Packages, lock.Package{
			Name: p.found.Package, Version: p.found.Version, Arch: p.found.Architecture,
			Required: required(p.found), Size: p.found.Size, SHA256: digest,
			File: p.found.Filename})
		fmt.Fprintf(sum, "%s\n", digest)
		w.report.Packages = append(w.report.Packages, used(p, digest))
	}
	f.Digest = hex.EncodeToString(sum.Sum(nil))
	return f, nil
}

// epoch is the time that nothing in the root is younger than.
func (w *run) epoch() time.Time {
	if w.info.Date.IsZero() {
		return time.Unix(1, 0).UTC()
	}
	return w.info.Date.UTC()
}

// required tells whether a package is unpacked before those that are not.
func required(p *index.Package) bool { return p.Essential || p.Priority == "required" }

func used(p *wanted, digest string) Used {
	u := Used{Name: p.found.Package, Version: p.found.Version, Arch: p.found.Architecture,
		SHA256: digest, From: "cache"}
	if p.found.Repo.URI != pool.CachedOrigin {
		u.From = failure.PublicURI(p.found.Repo.URI) + " " + p.found.Repo.Suite
	}
	if p.from != nil {
		u.Release = p.from.Digest()
	}
	return u
}

// request is the build as the .buildinfo describes it.
func (w *run) request(name string) (pkgbuild.Request, error) {
	r := w.Build
	r.From, r.ArchAny, r.ArchAll, r.Source, r.Git = w.source.file, w.info.Any, w.info.All, false, ""
	r.Suite, r.Base, r.Arch, r.Mirror = w.suite.Name, name, w.info.BuildArch, ""
	r.Additions, r.Checks, r.Said = pkgbuild.Additions{}, pkgbuild.Checks{}, pkgbuild.Said{}
	r.Kind = pkgbuild.Kind{}
	if w.info.Changelog != "" {
		r.BinNMUChangelog = w.info.Changelog
	}
	exact := &pkgbuild.Exact{Tree: w.info.BuildPath, Environment: []string{},
		Packages: w.exactPackages()}
	for _, v := range w.info.Variables {
		exact.Environment = append(exact.Environment, v)
		switch name, value, _ := strings.Cut(v, "="); name {
		case "DEB_BUILD_OPTIONS":
			r.Options, r.Jobs = strings.Fields(value), 0
		case "DEB_BUILD_PROFILES":
			r.Profiles = strings.Fields(value)
		}
	}
	r.Exact = exact
	w.report.From = w.source.from
	if r.Output != "" {
		return r, w.separate(r.Output)
	}
	dir, err := w.env.Work.Make("rebuilt-")
	r.Output = dir
	r.NoLog = r.NoLog || r.LogDir == ""
	return r, err
}

// exactPackages are the files of the root.
func (w *run) exactPackages() (all []plan.Package) {
	for i, p := range w.find.want {
		u := w.report.Packages[i]
		one := plan.Package{Name: u.Name, Version: u.Version, Arch: u.Arch, Size: p.found.Size,
			SHA256: u.SHA256, Release: u.Release}
		if p.found.Repo.URI != pool.CachedOrigin {
			one.URI, one.File = failure.PublicURI(p.found.Repo.URI), p.found.Filename
		}
		all = append(all, one)
	}
	return all
}

// separate refuses to put what is built in the place of what it is compared with.
func (w *run) separate(output string) error {
	out, err := filepath.EvalSymlinks(output)
	if err != nil {
		return nil //nolint:nilerr // it is not there yet
	}
	for _, dir := range []string{filepath.Dir(w.File), w.Against} {
		if dir == "" || dir == Archive {
			continue
		}
		if is, err := filepath.EvalSymlinks(dir); err == nil && same(is, out) {
			return fault.New(fault.Usage, "choose another directory with --output",
				"--output %s is where the packages are that are compared with", output)
		}
	}
	return nil
}

func same(a, b string) bool {
	x, err := filepath.Abs(a)
	y, err2 := filepath.Abs(b)
	return err == nil && err2 == nil && x == y
}

// versionsOf lists the packages of the root for people.
func (r *Report) versionsOf(from string) int {
	return len(slices.DeleteFunc(slices.Clone(r.Packages), func(u Used) bool {
		return u.From != from
	}))
}

// Lines are the report for people, without the escapes that names may have.
func (r *Report) Lines() (lines []string) {
	add := func(format string, args ...any) {
		lines = append(lines, buildlog.VisibleString(fmt.Sprintf(format, args...)))
	}
	if r.Signature != "" {
		add("%s: %s", filepath.Base(r.Buildinfo), r.Signature)
	}
	if n := len(r.Packages); n > 0 {
		add("root: %s, %d of them from the cache; source: %s", fault.Count(n, "package",
			"packages"), r.versionsOf("cache"), cmp.Or(r.From, "–"))
	}
	for _, n := range r.Notes {
		add("note: %s", n)
	}
	for _, m := range r.Missing {
		add("missing: %s", m)
	}
	for _, f := range r.Files {
		add("%s: %s", f.Name, f.State)
		for _, d := range f.Differences {
			add("    %s", d)
		}
		if f.Note != "" {
			add("    %s", f.Note)
		}
	}
	return lines
}
