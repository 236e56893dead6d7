package bases

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/sirupsen/logrus"

	"nsbuild/internal/apt"
	"nsbuild/internal/base"
	"nsbuild/internal/bootstrap"
	"nsbuild/internal/buildroot"
	"nsbuild/internal/hook"
	"nsbuild/internal/install"
	"nsbuild/internal/jails"
	"nsbuild/internal/output"
	"nsbuild/internal/sandbox"
)

// Hooks are the hooks of a base that is made or brought up to date.
type Hooks struct {
	Set  *hook.Set
	Show bool // what they print; it is kept in any case
}

// hooksLog is where a generation keeps what its hooks have printed, beside its tree.
const hooksLog = "hooks.log"

// HookContext is what hooks outside a build are told.
func HookContext(o hook.Operation, m base.Manifest) hook.Context {
	return hook.Context{Operation: o, Distribution: m.Suite, BuildArch: m.Arch, HostArch: m.Arch,
		Builder: bootstrap.BuilderName, BuildDir: buildroot.Dir}
}

// hookTree runs hooks of some stages in a tree that is being made, and notes in its manifest what
// they have made of it.
func (k *Keeper) hookTree(ctx context.Context, h jails.Holder, tree string, m *base.Manifest,
	o hook.Operation, hooks Hooks, stages ...hook.Stage) (err error) {
	if len(hooks.Set.At(stages...)) == 0 {
		return nil
	}
	ph := k.Progress.Phase("hooks")
	defer func() { ph.Done(err) }()
	log, err := os.OpenFile(filepath.Join(filepath.Dir(tree), hooksLog),
		os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	var said output.Tail
	out := io.MultiWriter(log, &said)
	if hooks.Show {
		out = io.MultiWriter(log, &said, k.Progress.Writer())
	}
	jail, err := k.openTree(ctx, h, tree, hooks.Set, stages)
	if err != nil {
		return err
	}
	r := hook.Runner{Set: hooks.Set, Jail: jail, Out: out, Log: treeLog{log, k.Log},
		Context: HookContext(o, *m)}
	if hooks.Set.Installs(stages...) {
		r.Install = func(ctx context.Context, relations string) error {
			return k.installInTree(ctx, jail, m, relations, out)
		}
	}
	for _, stage := range stages {
		if _, _, err := r.Run(ctx, stage); err != nil {
			return said.Explain(fmt.Errorf("stage %s of the hooks: %w", stage, err))
		}
	}
	later := o.Stages()[slices.Index(o.Stages(), stages[len(stages)-1])+1:]
	if len(hooks.Set.At(later...)) == 0 { // nobody asks any more for what they keep
		if err := r.Forget(ctx); err != nil {
			return err
		}
	}
	if m.Packages, err = buildroot.Installed(jail); err != nil {
		return err
	}
	m.Digest = rand.Text() // a tree that no other generation has
	_, err = jail.Close()
	return err
}

// openTree opens a jail in a tree itself, with what hooks need.
func (k *Keeper) openTree(ctx context.Context, h jails.Holder, tree string, set *hook.Set,
	stages []hook.Stage) (jails.Jail, error) {
	spec := sandbox.Spec{Root: sandbox.Root{Dir: tree}, Hostname: buildroot.Host}
	if set.Installs(stages...) {
		spec.Mounts = apt.Mounts(k.CacheDir)
	}
	caches, err := hook.CachesIn(k.CacheDir).Mounts(ctx, h, set)
	if err != nil {
		return nil, err
	}
	spec.Mounts = append(spec.Mounts, caches...)
	return h.NewJail(ctx, spec)
}

// installInTree installs packages that hooks want in a tree, where they stay.
func (k *Keeper) installInTree(ctx context.Context, jail jails.Jail, m *base.Manifest,
	relations string, out io.Writer) error {
	reduced, err := install.ForHooks(relations, m.Arch, nil)
	if err != nil {
		return err
	}
	releases, err := k.releases(ctx, *m)
	if err != nil {
		return err
	}
	sources, err := install.Sources(ctx, k.Client, releases, m.Arch)
	if err != nil {
		return err
	}
	i, err := install.Open(k.Client, k.CacheDir, jail, m.Arch, sources, m.Packages, "")
	if err != nil {
		return err
	}
	return i.Install(ctx, reduced, out)
}

// treeLog takes lines about the hooks of a tree: into its log, and what the user has to know to the
// user, too.
type treeLog struct {
	file io.Writer
	log  logrus.FieldLogger
}

func (l treeLog) Subsection(title string) { fmt.Fprintf(l.file, "== %s\n", title) }

func (l treeLog) Info(format string, args ...any) {
	fmt.Fprintf(l.file, "I: "+format+"\n", args...)
}

func (l treeLog) Warning(format string, args ...any) {
	fmt.Fprintf(l.file, "W: "+format+"\n", args...)
	l.log.Warnf(format, args...)
}
