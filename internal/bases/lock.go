package bases

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/hashes"
	"nsbuild/internal/archive/index"
	"nsbuild/internal/archive/release"
	"nsbuild/internal/archive/suites"
	"nsbuild/internal/base"
	"nsbuild/internal/bootstrap"
	"nsbuild/internal/fault"
	"nsbuild/internal/lock"
)

// ErrLocked means that a base is fixed by a lock file, so that there is nothing to bring up to
// date.
var ErrLocked = fault.New(fault.Internal,
	"nsbuild create --replace makes it anew, of other packages",
	"a lock file fixes its packages: it is not updated")

// LockedOptions are the options of a base that is made of what a lock names. Where its packages and
// later lists are fetched from, and whose keys count, the user may change.
func LockedOptions(f *lock.File, known *suites.Table) (Options, error) {
	suite, err := known.Lookup(f.Suite)
	if err != nil {
		suite = suites.Custom(f.Suite)
	}
	if err := suite.SetLayout(f.Layout); err != nil {
		return Options{},
			fault.New(fault.Usage, "use the nsbuild that wrote it, or a newer one",
				"%s: layout: %w", f.Name, err)
	}
	return Options{
		Suite: suite, Arch: f.Arch, Variant: f.Variant, Include: f.Include, Exclude: f.Exclude,
		Components: f.Components, Keyring: f.Keyring, Unverified: f.Unverified,
		Epoch: f.Epoch, Locked: f,
	}, nil
}

// checkLock refuses locks for bootstrappers that choose their packages by themselves.
func (o Options) checkLock() error {
	if o.Bootstrapper == "" || o.Bootstrapper == bootstrap.Native {
		return nil
	}
	for flag, given := range map[string]bool{"--lock": o.LockTo != "",
		"--locked": o.Locked != nil} {
		if given {
			return fault.New(fault.Usage, "leave one of them out",
				"%s needs the native bootstrapper: %s chooses and verifies its packages by itself",
				flag, o.Bootstrapper)
		}
	}
	return nil
}

// refuseOthers refuses a base that another process made while this one waited, where not any will
// do.
func (o Options) refuseOthers() error {
	if o.LockTo == "" && o.Locked == nil {
		return nil
	}
	return fault.New(fault.Internal, "nsbuild create --replace makes it anew",
		"base %s was made by another nsbuild meanwhile, perhaps of other packages", o.Name)
}

// lockedOrigin is what a lock says. A mirror that the user gives comes in the place of all that the
// lock names.
func (k *Keeper) lockedOrigin(o Options) (from origin, err error) {
	given := o.Mirror != ""
	if given {
		if from.repos, err = k.Repos(o); err != nil {
			return origin{}, err
		}
	}
	var selection bootstrap.Selection
	for _, r := range o.Locked.Repositories {
		from.recorded = append(from.recorded, base.Release{URI: r.URI, Suite: r.Suite, Date: r.Date,
			SHA256: r.SHA256, Keys: r.Keys})
		if !given {
			from.repos = append(from.repos,
				aptconf.Repo{URI: r.URI, Suite: r.Suite, Components: r.Components,
					Distribution: o.Suite.Distribution})
		}
	}
	places := differentPlaces(from.repos)
	for i, r := range o.Locked.Repositories {
		own := places[0]
		if !given {
			own = &from.repos[i]
		}
		others := slices.DeleteFunc(slices.Clone(places), func(p *aptconf.Repo) bool {
			return p.URI == own.URI
		})
		for _, p := range r.Packages {
			pkg := &index.Package{
				Package: p.Name, Version: p.Version, Architecture: p.Arch, Filename: p.File,
				Size: p.Size, Hashes: hashes.Set{SHA256: p.SHA256}, Repo: own, Also: others,
				Locked: true,
			}
			if p.Required {
				selection.Required = append(selection.Required, pkg)
			} else {
				selection.Base = append(selection.Base, pkg)
			}
		}
	}
	from.selection = &selection
	return from, nil
}

// differentPlaces are repositories that differ in their URI: what lies in a pool is not told apart
// by suites.
func differentPlaces(repos []aptconf.Repo) []*aptconf.Repo {
	seen := map[string]bool{}
	var out []*aptconf.Repo
	for i := range repos {
		if !seen[repos[i].URI] {
			seen[repos[i].URI] = true
			out = append(out, &repos[i])
		}
	}
	return out
}

// explainLocked tells of a package that mirrors no longer have, which is what happens to a lock in
// time.
func (o Options) explainLocked(err error) error {
	if o.Locked == nil || !errors.Is(err, failure.ErrNotFound) {
		return err
	}
	var mirrors []string
	for _, r := range o.Locked.Repositories {
		mirrors = append(mirrors,
			fmt.Sprintf("--mirror 'deb [check-valid-until=no] URL %s %s' as of %s",
				r.Suite, strings.Join(r.Components, " "),
				r.Date.UTC().Format("2006-01-02 15:04 UTC")))
	}
	hint := "name a mirror that keeps old versions: " + strings.Join(mirrors, ", ")
	return fault.New(fault.KindOf(err), hint, "%s asks for a version that is no longer there: %w",
		o.Locked.Name, err)
}

// recordLock notes in a manifest that a lock fixed the base.
func (o Options) recordLock(m *base.Manifest) {
	if o.Locked == nil {
		return
	}
	m.Lock = o.Locked.Digest
	if m.Mirror == "" {
		m.Mirror = strings.Join(o.Locked.Mirror, "\n")
	}
}

// writeLock fills the lock of a base that was just made.
func (k *Keeper) writeLock(ctx context.Context, o Options, releases []*release.File,
	made *bootstrap.Result) error {
	f := &lock.File{
		Suite: o.Suite.Name, Arch: o.Arch, Variant: o.Variant, Layout: o.Suite.Layout(),
		Include: o.Include, Exclude: o.Exclude, Components: o.Components,
		Mirror: withoutLogins(o.Mirror), Keyring: o.Keyring, Unverified: o.Unverified,
		Epoch: made.Epoch,
	}
	number := map[string]int{}
	for i, r := range releases {
		repo := r.Repo()
		number[repo.String()] = i
		f.Repositories = append(f.Repositories, lock.Repository{
			URI: withoutLogin(repo.URI), Suite: repo.Suite, Components: repo.Components,
			Date: r.Date(), SHA256: r.Digest(), Keys: r.SignedBy(),
		})
	}
	add := func(packages []*index.Package, required bool) error {
		for _, p := range packages {
			sum, err := k.Client.DebSHA256(ctx, p)
			if err != nil {
				return err
			}
			into := &f.Repositories[number[p.Repo.String()]]
			into.Packages = append(into.Packages, lock.Package{
				Name: p.Package, Version: p.Version, Arch: p.Architecture, Required: required,
				Size: p.Size, SHA256: sum, File: p.Filename,
			})
		}
		return nil
	}
	if err := errors.Join(add(made.Selection.Required, true),
		add(made.Selection.Base, false)); err != nil {
		return err
	}
	return o.draftLock.Write(f)
}

// withoutLogins are the lines that the user gave as mirrors, without user names and passwords.
func withoutLogins(mirrors string) []string {
	var out []string
	for line := range strings.Lines(mirrors) {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, withoutLogin(line))
		}
	}
	return out
}

// withoutLogin takes a user name and a password out of a URI, wherever in a line it stands.
func withoutLogin(line string) string {
	scheme, rest, ok := strings.Cut(line, "://")
	if !ok {
		return line
	}
	end := strings.IndexAny(rest, "/ \t")
	if end < 0 {
		end = len(rest)
	}
	return scheme + "://" + rest[strings.LastIndexByte(rest[:end], '@')+1:]
}
