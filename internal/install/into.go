package install

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"nsbuild/internal/apt"
	"nsbuild/internal/archive"
	"nsbuild/internal/archive/pool"
	"nsbuild/internal/base"
	"nsbuild/internal/buildroot"
	"nsbuild/internal/dsc"
	"nsbuild/internal/jails"
)

// Into installs packages in an open jail that goes on afterwards. The jail has the mounts of apt.
type Into struct {
	client  *archive.Client
	jail    jails.Jail
	apt     *apt.Apt
	arch    string
	sources []apt.Source
	form    pool.CopyForm
	files   int // that were added
}

// Open prepares the apt of a jail over a base with these packages.
func Open(client *archive.Client, cacheDir string, jail jails.Jail, arch string,
	sources []apt.Source, packages []base.Package, pins string) (*Into, error) {
	resolver, err := apt.New(jail, cacheDir, buildroot.Env(), sources)
	if err == nil {
		err = resolver.Prefer(pins)
	}
	if err != nil {
		return nil, err
	}
	form, err := CopyForm(packages)
	return &Into{client: client, jail: jail, apt: resolver, arch: arch, sources: sources,
		form: form}, err
}

// Jail is the jail.
func (i *Into) Jail() jails.Jail { return i.jail }

// Install installs what relations want, fetched and verified outside the jail.
func (i *Into) Install(ctx context.Context, wanted dsc.Reduced, out io.Writer) error {
	body, err := Dummy(i.arch, wanted)
	if err != nil {
		return err
	}
	i.files++
	file, err := i.apt.Add(fmt.Sprintf("%s-%d.deb", buildroot.DummyName, i.files),
		bytes.NewReader(body))
	if err != nil {
		return err
	}
	if err := Command(ctx, i.client, i.apt, out, i.sources, i.form, "install", file); err != nil {
		return err
	}
	return DropDummy(ctx, i.jail)
}

// ForHooks are the packages of the jail's architecture that hooks want.
func ForHooks(relations, arch string, profiles []string) (dsc.Reduced, error) {
	wanted, err := dsc.ParseRelations(relations)
	if err != nil {
		return dsc.Reduced{}, err
	}
	reduced := dsc.BuildRelations{Depends: wanted}.Reduce(
		dsc.Context{BuildArch: arch, HostArch: arch, Profiles: profiles})
	reduced.Depends = reduced.Depends.FirstAlternatives()
	return reduced, nil
}
