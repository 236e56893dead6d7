package bases

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"nsbuild/internal/apt"
	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/base"
	"nsbuild/internal/buildroot"
	"nsbuild/internal/fault"
	"nsbuild/internal/install"
	"nsbuild/internal/jails"
	"nsbuild/internal/output"
	"nsbuild/internal/sandbox"
)

// packageArgument is what install may be given: NAME, NAME:ARCH, NAME=VERSION or NAME/SUITE
// (apt-get(8), Debian Policy 5.6.7).
var packageArgument = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(
		`^[a-z0-9][a-z0-9+.-]+(:[a-z0-9-]+)?(=[A-Za-z0-9.+:~-]+|/[a-z0-9./-]+)?$`)
})

// CheckPackages refuses what is not the name of a package.
func CheckPackages(names []string) error {
	for _, n := range names {
		if !packageArgument().MatchString(n) {
			return fault.New(fault.Usage, "NAME, NAME:ARCH, NAME=VERSION or NAME/SUITE",
				"%q is not the name of a package", n)
		}
	}
	return nil
}

// InstallLayer installs packages in a layer over a base, as builds install theirs: fetched and
// verified here, installed without network. The base is there as lowers, with the ids of caller.
func (k *Keeper) InstallLayer(ctx context.Context, h jails.Holder, g *base.Generation,
	lowers []sandbox.Lower, caller *sandbox.Caller, packages []string) (_ sandbox.Lower,
	err error) {
	ph := k.Progress.Phase("install")
	defer k.Meter.During(ph)()
	defer func() { ph.Done(err) }()
	releases, err := k.releases(ctx, g.Manifest)
	if err != nil {
		return sandbox.Lower{}, err
	}
	sources, err := install.Sources(ctx, k.Client, releases, g.Manifest.Arch)
	if err != nil {
		return sandbox.Lower{}, err
	}
	jail, err := h.NewJail(ctx,
		sandbox.Spec{Root: sandbox.Root{Lowers: lowers}, Caller: caller,
			Mounts: apt.Mounts(k.CacheDir), Hostname: buildroot.Host, KeepNames: true})
	if err != nil {
		return sandbox.Lower{}, err
	}
	var said output.Tail
	resolver, err := apt.New(jail, k.CacheDir, buildroot.Env(), sources)
	if err != nil {
		return sandbox.Lower{}, err
	}
	form, err := install.CopyForm(g.Manifest.Packages)
	if err != nil {
		return sandbox.Lower{}, err
	}
	if err := install.Command(ctx, k.Client, resolver, &said, sources, form,
		append([]string{"install"}, packages...)...); err != nil {
		return sandbox.Lower{},
			said.Explain(fmt.Errorf("installing %s: %w", strings.Join(packages, " "), err))
	}
	strays, err := jail.Close()
	for _, s := range strays {
		k.Log.Warnf("a maintainer script left a process, which was ended: %s", s.Command)
	}
	return sandbox.Lower{Jail: jail.ID()}, err
}

// Saved is what became of a root.
type Saved struct {
	Name      string // the base
	Number    int    // its generation
	Conflict  bool   // the base was changed meanwhile, so that this is another one
	Installed int    // packages that the base did not have in just these versions
}

// Save makes a generation of what layers over a generation have made of it, in a jail with the ids
// of caller. When the base has a newer one meanwhile, which would be lost, a base of another name
// is made instead.
func (k *Keeper) Save(ctx context.Context, h jails.Holder, g *base.Generation,
	lowers []sandbox.Lower, caller *sandbox.Caller) (saved Saved, err error) {
	ph := k.Progress.Phase("save")
	defer func() { ph.Done(err) }()
	draft, err := k.Store.Begin(ctx, g.Name, k.waitingFor(g.Name))
	if err != nil {
		return saved, err
	}
	saved.Name = g.Name
	if saved.Conflict, err = k.replaced(g); errors.Is(err, base.ErrNone) {
		saved.Conflict, err = true, nil
	}
	if saved.Conflict || err != nil {
		if err = errors.Join(err, k.discard(ctx, draft, g.Manifest.IDs)); err != nil {
			return saved, err
		}
		if saved.Name, draft, err = k.beginOther(ctx, g.Name); err != nil {
			return saved, err
		}
	}
	defer func() {
		if err != nil {
			err = k.abandon(ctx, draft, g.Manifest.IDs, err)
		}
	}()
	if err := h.SaveRoot(ctx, lowers, draft.Tree(), []string{apt.MountPoint,
		aptconf.JailConf, aptconf.JailAuth}); err != nil {
		return saved, err
	}
	m := g.Manifest
	before, err := k.describeTree(ctx, h, g.Tree(), caller)
	if err != nil {
		return saved, err
	}
	after, err := k.describeTree(ctx, h, draft.Tree(), caller)
	if err != nil {
		return saved, err
	}
	if before.sources != after.sources {
		k.Log.Warnf("the apt sources of %s were changed; nsbuild update and builds go on using "+
			"those that the base was made from", saved.Name)
	}
	m.Created, m.Packages = time.Now().UTC().Truncate(time.Second), after.packages
	m.Digest = rand.Text() // a tree that no other generation has
	saved.Installed = len(buildroot.Beyond(after.packages, before.packages))
	saved.Number, err = draft.Commit(m)
	return saved, err
}

// beginOther begins a base whose name tells where it came from.
func (k *Keeper) beginOther(ctx context.Context, name string) (string, *base.Draft, error) {
	names, err := k.Store.Names()
	if err != nil {
		return "", nil, err
	}
	for n := 1; ; n++ {
		other := fmt.Sprintf("%s-saved-%d", name, n)
		if slices.Contains(names, other) {
			continue
		}
		draft, err := k.Store.Begin(ctx, other, k.waitingFor(other))
		return other, draft, err
	}
}

type treeFacts struct {
	packages []base.Package
	sources  string
}

// describeTree reads what apt and dpkg know in a tree. A holder whose jails had the caller's ids
// has none without them.
func (k *Keeper) describeTree(ctx context.Context, h jails.Holder, tree string,
	caller *sandbox.Caller) (f treeFacts, err error) {
	jail, err := h.NewJail(ctx,
		sandbox.Spec{Root: sandbox.Root{Lowers: []sandbox.Lower{{Path: tree}}}, Caller: caller,
			KeepNames: true}) // the files are not that jail's root's, where this is the caller
	if err != nil {
		return f, err
	}
	if f.packages, err = buildroot.Installed(jail); err != nil {
		return f, err
	}
	for _, name := range sourceFiles(jail) {
		f.sources += name + "\n" + readText(jail, name)
	}
	_, err = jail.Close()
	return f, err
}
