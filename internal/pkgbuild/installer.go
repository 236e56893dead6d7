package pkgbuild

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"nsbuild/internal/apt"
	"nsbuild/internal/archive"
	"nsbuild/internal/base"
	"nsbuild/internal/dsc"
	"nsbuild/internal/sandbox"
)

// installer installs packages in an open jail that goes on afterwards. The jail has the mounts of
// apt.
type installer struct {
	env     *Env
	jail    *sandbox.Jail
	apt     *apt.Apt
	arch    string
	sources []apt.Source
	form    archive.CopyForm
	files   int // that were added
}

// newInstaller prepares the apt of a jail over a base with these packages.
func (e *Env) newInstaller(jail *sandbox.Jail, arch string, sources []apt.Source,
	packages []base.Package, pins string) (*installer, error) {
	resolver, err := apt.New(jail, e.CacheDir, commandEnv(), sources)
	if err == nil {
		err = resolver.Prefer(pins)
	}
	if err != nil {
		return nil, err
	}
	form, err := copyForm(packages)
	return &installer{env: e, jail: jail, apt: resolver, arch: arch, sources: sources, form: form},
		err
}

// install installs what relations want, fetched and verified outside the jail.
func (i *installer) install(ctx context.Context, wanted dsc.Reduced, out io.Writer) error {
	body, err := dummy(i.arch, wanted)
	if err != nil {
		return err
	}
	i.files++
	file, err := i.apt.Add(fmt.Sprintf("%s-%d.deb", dummyName, i.files), bytes.NewReader(body))
	if err != nil {
		return err
	}
	if err := i.env.install(ctx, i.apt, out, i.sources, i.form, "install", file); err != nil {
		return err
	}
	return dropDummy(ctx, i.jail)
}
