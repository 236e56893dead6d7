package pkgbuild

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
	"nsbuild/internal/base"
	"nsbuild/internal/fault"
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
// verified here, installed without network.
func (e *Env) InstallLayer(ctx context.Context, h *sandbox.Holder, g *base.Generation,
	packages []string) (_ sandbox.Lower, err error) {
	ph := e.Progress.Phase("install")
	defer e.Meter.during(ph)()
	defer func() { ph.Done(err) }()
	releases, err := e.releases(ctx, g.Manifest)
	if err != nil {
		return sandbox.Lower{}, err
	}
	sources, err := e.aptSources(ctx, releases, g.Manifest.Arch)
	if err != nil {
		return sandbox.Lower{}, err
	}
	jail, err := h.NewJail(ctx,
		sandbox.Spec{Root: sandbox.Root{Lowers: []sandbox.Lower{{Path: g.Tree()}}},
			Mounts: apt.Mounts(e.CacheDir), Hostname: buildHost, KeepNames: true})
	if err != nil {
		return sandbox.Lower{}, err
	}
	var said tail
	resolver, err := apt.New(jail, e.CacheDir, commandEnv(), sources)
	if err != nil {
		return sandbox.Lower{}, err
	}
	form, err := copyForm(g.Manifest.Packages)
	if err != nil {
		return sandbox.Lower{}, err
	}
	if err := e.install(ctx, resolver, &said, sources, form,
		append([]string{"install"}, packages...)...); err != nil {
		return sandbox.Lower{},
			said.explain(fmt.Errorf("installing %s: %w", strings.Join(packages, " "), err))
	}
	strays, err := jail.Close()
	for _, s := range strays {
		e.Log.Warnf("a maintainer script left a process, which was ended: %s", s.Command)
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

// SaveGeneration makes a generation of what layers over a generation have made of it. When the base
// has a newer one meanwhile, which would be lost, a base of another name is made instead.
func (e *Env) SaveGeneration(ctx context.Context, h *sandbox.Holder, g *base.Generation,
	lowers []sandbox.Lower) (saved Saved, err error) {
	ph := e.Progress.Phase("save")
	defer func() { ph.Done(err) }()
	draft, err := e.Store.Begin(ctx, g.Name, e.waitingFor(g.Name))
	if err != nil {
		return saved, err
	}
	saved.Name = g.Name
	if saved.Conflict, err = e.replaced(g); errors.Is(err, base.ErrNone) {
		saved.Conflict, err = true, nil
	}
	if err == nil && saved.Conflict {
		if err = e.discard(ctx, draft, g.Manifest.IDs); err != nil {
			return saved, err
		}
		saved.Name, draft, err = e.beginOther(ctx, g.Name)
	}
	if err != nil {
		return saved, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(e.hintFull(interrupted(ctx, err)),
				e.discard(ctx, draft, g.Manifest.IDs))
		}
	}()
	if err := h.SaveRoot(ctx, lowers, draft.Tree(), []string{apt.MountPoint}); err != nil {
		return saved, err
	}
	m := g.Manifest
	before, err := e.describeTree(ctx, h, g.Tree())
	if err != nil {
		return saved, err
	}
	after, err := e.describeTree(ctx, h, draft.Tree())
	if err != nil {
		return saved, err
	}
	if before.sources != after.sources {
		e.Log.Warnf("the apt sources of %s were changed; nsbuild update and builds go on using "+
			"those that the base was made from", saved.Name)
	}
	m.Created, m.Packages = time.Now().UTC().Truncate(time.Second), after.packages
	m.Digest = rand.Text() // a tree that no other generation has
	saved.Installed = len(beyond(after.packages, before.packages))
	saved.Number, err = draft.Commit(m)
	return saved, err
}

// beginOther begins a base whose name tells where it came from.
func (e *Env) beginOther(ctx context.Context, name string) (string, *base.Draft, error) {
	names, err := e.Store.Names()
	if err != nil {
		return "", nil, err
	}
	for n := 1; ; n++ {
		other := fmt.Sprintf("%s-saved-%d", name, n)
		if slices.Contains(names, other) {
			continue
		}
		draft, err := e.Store.Begin(ctx, other, e.waitingFor(other))
		return other, draft, err
	}
}

type treeFacts struct {
	packages []base.Package
	sources  string
}

// describeTree reads what apt and dpkg know in a tree.
func (e *Env) describeTree(ctx context.Context, h *sandbox.Holder, tree string) (f treeFacts,
	err error) {
	jail, err := h.NewJail(ctx,
		sandbox.Spec{Root: sandbox.Root{Lowers: []sandbox.Lower{{Path: tree}}}})
	if err != nil {
		return f, err
	}
	if f.packages, err = installed(jail); err != nil {
		return f, err
	}
	for _, name := range sourceFiles(jail) {
		f.sources += name + "\n" + readText(jail, name)
	}
	_, err = jail.Close()
	return f, err
}
