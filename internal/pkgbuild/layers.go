package pkgbuild

import (
	"context"
	"errors"
	"strings"
	"time"

	"nsbuild/internal/apt"
	"nsbuild/internal/base"
	"nsbuild/internal/buildroot"
	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
	"nsbuild/internal/layer"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/workdir"
)

// layers tells whether dependency layers are used in this build. Without overlays there are none,
// and over a root that hooks have changed in a way that cannot be known.
func (b *builder) layers() bool {
	return !b.o.NoLayers && b.holder.Scratch() != sandbox.ScratchCopy && !b.unknowable
}

// requestKey is made of all that apt's resolver sees. The lists are those that the base was last
// compared with: nothing is built before they are confirmed to be the newest.
func (b *builder) requestKey(r dsc.Reduced) string {
	parts := []string{"request", b.groundFor(r).key(), r.Depends.String()}
	parts = append(parts, strings.Join(b.o.Components, " "))
	for _, repo := range b.repos {
		parts = append(parts, repo.SourcesLine())
	}
	for _, rel := range b.base.Manifest.Releases {
		parts = append(parts, rel.Suite, rel.SHA256)
	}
	return layer.Key(append(parts, b.extra.key()...)...)
}

// layerKey is made of all that decides what the installed files are.
func (b *builder) layerKey(r dsc.Reduced, wanted []apt.Wanted) string {
	parts := []string{"layer", b.groundFor(r).key()}
	for _, w := range wanted {
		parts = append(parts, w.Name+" "+w.Hash)
	}
	return layer.Key(parts...)
}

// settle has a layer reach the disk while other things are done. It is not waited for: what is not
// done when the command ends is left to the next one that uses the layer.
func (e *Env) settle(key string) {
	go func() {
		if err := e.Layers.Settle(key); err != nil {
			e.Log.Debugf("settling layer %.12s: %v", key, err)
		}
	}()
}

// useLayer builds upon a layer of an earlier build.
func (b *builder) useLayer(l *layer.Layer) error {
	b.layer = l
	if !l.Settled() {
		b.env.settle(l.Key)
	}
	var lowers []sandbox.Lower
	for _, tree := range l.Trees() {
		lowers = append(lowers, sandbox.Lower{Path: tree})
	}
	b.lowers = append(lowers, b.lowers...)
	b.log.Printf("Dependency layer %.12s of %s has what is needed: %s.", l.Key,
		l.Manifest.Created.Format(time.DateOnly), fault.Count(len(l.Manifest.Packages), "package",
			"packages"))
	b.result.Inputs.Layer.Key, b.result.Inputs.Layer.Cached = l.Key, true
	return nil
}

// saveLayer keeps a frozen layer for later builds, while this build goes on over it. That it cannot
// be kept does not harm this build.
func (b *builder) saveLayer(ctx context.Context, in *installation, packages []base.Package) {
	b.result.Inputs.Layer.Key = in.key
	b.saving = make(chan error, 1)
	var names []string
	for _, p := range buildroot.Beyond(packages, b.base.Manifest.Packages) {
		names = append(names, p.Name+" "+p.Version+" "+p.Arch)
	}
	m := layer.Manifest{
		Base: b.base.Name, Created: time.Now().UTC().Truncate(time.Second), Packages: names,
		Over: b.groundFor(in.reduced).key(), Files: fileNames(in.wanted),
	}
	if b.layer != nil {
		m.Below = b.layer.Key
	}
	go func() {
		s, err := readScripts(in.wanted, in.files, func(string) bool { return true })
		if err != nil {
			b.saving <- errors.Join(err, b.made())
			return
		}
		m.Plain, m.Alternatives = s.plain, s.alternatives
		b.saving <- b.keepLayer(ctx, in.jail.ID(), in.request, in.key, m)
	}()
}

func (b *builder) keepLayer(ctx context.Context, jail int, request, key string, m layer.Manifest) (
	err error) {
	draft, err := b.env.Layers.Begin()
	if err != nil {
		return err
	}
	published := false
	defer func() {
		if !published {
			err = errors.Join(err, b.discardLayer(ctx, draft))
		}
		err = errors.Join(err, draft.Close(), b.made())
	}()
	if m.Size, err = b.holder.SaveLayer(ctx, jail, draft.Tree()); err != nil {
		return err
	}
	if published, err = draft.Commit(key, m); err != nil {
		return err
	}
	b.kept = m.Size
	b.env.settle(key)
	b.env.shared.grown.Store(true)
	return b.env.Layers.Remember(request, key)
}

// made tells other builds that this one no longer makes a layer.
func (b *builder) made() error {
	m := b.making
	b.making = nil
	if m == nil {
		return nil
	}
	return m.Close()
}

// discardLayer deletes a draft, with a holder of its own when the build's is gone.
func (b *builder) discardLayer(ctx context.Context, d *layer.Draft) error {
	ctx, cancel := workdir.Afterwards(ctx)
	defer cancel()
	h, err := b.env.Work.Hold(ctx, b.base.Manifest.IDs)
	if err != nil {
		return err
	}
	return errors.Join(workdir.UnlessLate(b.env.Log, h.RemoveTree(ctx, d.Dir())), h.Close())
}

// layerSaved waits until the layer is kept, and makes room. A full disk, say, is no failure of this
// build: the next one installs again.
func (b *builder) layerSaved() {
	if b.saving == nil {
		return
	}
	err := <-b.saving
	b.saving = nil
	if err != nil && !errors.Is(err, context.Canceled) {
		b.env.Log.Warnf("the build dependencies cannot be kept for the next build: %v", err)
	}
}
