package deps

import (
	"context"
	"errors"
	"strings"
	"time"

	"nsbuild/internal/apt"
	"nsbuild/internal/base"
	"nsbuild/internal/buildroot"
	"nsbuild/internal/fault"
	"nsbuild/internal/layer"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/workdir"
)

// layers tells whether dependency layers are used in this build. Without overlays there are none,
// and over a root that hooks have changed in a way that cannot be known.
func (in *installation) layers() bool {
	return !in.NoLayers && in.on.Holder.Scratch() != sandbox.ScratchCopy &&
		!in.on.Hooked.Unknowable
}

// requestKey is made of all that apt's resolver sees. The lists are those that the base was last
// compared with: nothing is built before they are confirmed to be the newest.
func (in *installation) requestKey() string {
	parts := []string{"request", in.ground().key(), in.Reduced.Depends.String()}
	parts = append(parts, strings.Join(in.Components, " "))
	for _, repo := range in.Repos {
		parts = append(parts, repo.SourcesLine())
	}
	for _, rel := range in.Base.Manifest.Releases {
		parts = append(parts, rel.Suite, rel.SHA256)
	}
	return layer.Key(append(parts, in.Extra.key()...)...)
}

// layerKey is made of all that decides what the installed files are.
func (in *installation) layerKey(wanted []apt.Wanted) string {
	parts := []string{"layer", in.ground().key()}
	for _, w := range wanted {
		parts = append(parts, w.Name+" "+w.Hash)
	}
	return layer.Key(parts...)
}

// settle has a layer reach the disk while other things are done. It is not waited for: what is not
// done when the command ends is left to the next one that uses the layer.
func (m *Maker) settle(key string) {
	go func() {
		if err := m.Layers.Settle(key); err != nil {
			m.Log.Debugf("settling layer %.12s: %v", key, err)
		}
	}()
}

// useLayer builds upon a layer of an earlier build.
func (in *installation) useLayer(l *layer.Layer) error {
	in.done.Layer = l
	if !l.Settled() {
		in.settle(l.Key)
	}
	var lowers []sandbox.Lower
	for _, tree := range l.Trees() {
		lowers = append(lowers, sandbox.Lower{Path: tree})
	}
	in.done.Lowers = append(lowers, in.done.Lowers...)
	in.on.Log.Printf("Dependency layer %.12s of %s has what is needed: %s.", l.Key,
		l.Manifest.Created.Format(time.DateOnly), fault.Count(len(l.Manifest.Packages), "package",
			"packages"))
	in.done.Key, in.done.Cached, in.done.Files = l.Key, true, l.Manifest.Files
	return nil
}

// saveLayer keeps a frozen layer for later builds, while this build goes on over it. That it cannot
// be kept does not harm this build.
func (in *installation) saveLayer(ctx context.Context, packages []base.Package) {
	in.done.Key = in.key
	saving := make(chan error, 1)
	in.done.saving = saving
	var names []string
	for _, p := range buildroot.Beyond(packages, in.Base.Manifest.Packages) {
		names = append(names, p.Name+" "+p.Version+" "+p.Arch)
	}
	m := layer.Manifest{
		Base: in.Base.Name, Created: time.Now().UTC().Truncate(time.Second), Packages: names,
		Over: in.ground().key(), Files: fileNames(in.wanted),
	}
	if in.done.Layer != nil {
		m.Below = in.done.Layer.Key
	}
	go func() {
		s, err := readScripts(in.wanted, in.files, func(string) bool { return true })
		if err != nil {
			saving <- errors.Join(err, in.done.made())
			return
		}
		m.Plain, m.Alternatives = s.plain, s.alternatives
		saving <- in.keepLayer(ctx, m)
	}()
}

func (in *installation) keepLayer(ctx context.Context, m layer.Manifest) (err error) {
	draft, err := in.Layers.Begin()
	if err != nil {
		return err
	}
	published := false
	defer func() {
		if !published {
			err = errors.Join(err, in.discardLayer(ctx, draft))
		}
		err = errors.Join(err, draft.Close(), in.done.made())
	}()
	if m.Size, err = in.on.Holder.SaveLayer(ctx, in.jail.ID(), draft.Tree()); err != nil {
		return err
	}
	if published, err = draft.Commit(in.key, m); err != nil {
		return err
	}
	in.done.kept = m.Size
	in.settle(in.key)
	in.Grown.Store(true)
	return in.Layers.Remember(in.request, in.key)
}

// discardLayer deletes a draft, with a holder of its own when the build's is gone.
func (in *installation) discardLayer(ctx context.Context, d *layer.Draft) error {
	ctx, cancel := workdir.Afterwards(ctx)
	defer cancel()
	h, err := in.Work.Hold(ctx, in.Base.Manifest.IDs)
	if err != nil {
		return err
	}
	return errors.Join(workdir.UnlessLate(in.Log, h.RemoveTree(ctx, d.Dir())), h.Close())
}
