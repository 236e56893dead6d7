package deps

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nsbuild/internal/apt"
	"nsbuild/internal/archive/pool"
	"nsbuild/internal/archive/release"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/buildroot"
	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
	"nsbuild/internal/install"
	"nsbuild/internal/jails"
	"nsbuild/internal/layer"
	"nsbuild/internal/sandbox"
)

// layerPatience is how long a build waits for another that makes the same layer. What takes longer
// was stopped, or is so large that making it twice is no loss.
const layerPatience = 2 * time.Minute

// installation is packages on their way into a layer.
type installation struct {
	*Maker
	*Request
	on       On
	releases []*release.File
	done     *Installed // what has become of it so far

	jail    jails.Jail
	apt     *apt.Apt
	sources []apt.Source
	form    pool.CopyForm
	out     *buildlog.Stream
	request string
	key     string
	wanted  []apt.Wanted    // all that the layer has, with that of a layer below it
	files   install.Fetched // of these; nil where no other layer may be made over this one
}

// makeLayer installs the build dependencies in a jail of their own, whose upper directory becomes
// the layer.
func (in *installation) makeLayer(ctx context.Context) error {
	in.out = in.on.Log.Stream()
	defer in.out.Flush()
	if err := in.openInstallation(ctx); err != nil {
		return err
	}
	var done bool
	var err error
	criteria, aspcud := ParseAspcud(in.Resolver)
	switch {
	case aspcud:
		done, err = in.installByAspcud(ctx, criteria)
	case in.Resolver == ResolverAptitude:
		done, err = in.installByAptitude(ctx)
	case in.cross():
		done, err = in.installCross(ctx)
	default:
		done, err = in.installByApt(ctx)
	}
	if err != nil || done {
		return in.explain(ctx, err)
	}
	return in.finishLayer(ctx)
}

// openInstallation opens the jail and prepares its apt.
func (in *installation) openInstallation(ctx context.Context) (err error) {
	if in.form, err = install.CopyForm(in.Base.Manifest.Packages); err != nil {
		return err
	}
	if in.sources, err = Sources(ctx, in.Client, in.archs(), in.Extra, in.releases); err != nil {
		return fault.Wrap(fault.GivenBack, "", err)
	}
	if in.Resolver == ResolverAptitude { // which takes packages from repositories only
		repository, err := in.dummyRepository(ctx, in.Reduced)
		if err != nil {
			return err
		}
		in.sources = slices.Insert(in.sources, 0, install.LocalSource(repository))
	}
	if in.jail, err = in.on.Holder.NewJail(ctx,
		sandbox.Spec{Root: sandbox.Root{Lowers: in.layerLowers()},
			Mounts: apt.Mounts(in.CacheDir), Hostname: buildroot.Host}); err != nil {
		return err
	}
	in.done.Open = in.jail
	if in.cross() {
		if err := buildroot.AsRoot(ctx, in.jail, "dpkg", "--add-architecture",
			in.Host); err != nil {
			return err
		}
	}
	if in.apt, err = apt.New(in.jail, in.CacheDir, buildroot.Env(), in.sources); err != nil {
		return err
	}
	return in.apt.Prefer(in.Extra.Pins)
}

// installByApt has apt install a package that depends on what is needed. done means that there was
// a layer already.
func (in *installation) installByApt(ctx context.Context) (done bool, err error) {
	args, err := in.aptCommand()
	if err != nil {
		return false, err
	}
	wanted, err := in.ask(ctx, args)
	if err != nil {
		return false, err
	}
	if done, err = in.findLayer(ctx, wanted); err != nil || done {
		return done, err
	}
	in.wanted = wanted
	in.done.Files = fileNames(wanted)
	if in.files, err = install.Fetch(ctx, in.Client, in.sources, wanted); err != nil {
		return false, in.failed(err)
	}
	upon, err := in.overSmaller(ctx)
	if err != nil {
		return false, err
	}
	if upon {
		if args, wanted, err = in.askAgain(ctx); err != nil {
			return false, err
		}
		if upon = in.isTheRest(wanted); !upon { // apt decides otherwise over it
			if err := in.overBase(ctx); err != nil {
				return false, err
			}
			if args, wanted, err = in.askAgain(ctx); err != nil {
				return false, err
			}
		}
	}
	uncopied, err := install.Provided(ctx, in.Client, in.apt, in.out, in.files, in.form, wanted,
		args...)
	if err != nil {
		in.out.Flush()
		return false, in.failed(err)
	}
	in.on.Copies.Start(uncopied, in.form)
	return false, install.DropDummy(ctx, in.jail)
}

// installCross has apt satisfy the build dependencies of a source for another architecture: which
// of its tools must run here and which of its libraries must not, apt knows best.
func (in *installation) installCross(ctx context.Context) (done bool, err error) {
	args, err := in.crossCommand()
	if err != nil {
		return false, err
	}
	return in.installWith(ctx, args...)
}

// aptCommand has apt install a package that depends on what is needed.
func (in *installation) aptCommand() ([]string, error) {
	body, err := install.Dummy(in.Arch, in.Reduced)
	if err != nil {
		return nil, err
	}
	file, err := in.apt.Add(buildroot.DummyName+".deb", bytes.NewReader(body))
	return []string{"install", file}, err
}

// ask finds out what apt wants for a command.
func (in *installation) ask(ctx context.Context, args []string) ([]apt.Wanted, error) {
	wanted, err := in.wantedOver(ctx, in.apt, in.out, in.sources, args...)
	if err != nil {
		in.out.Flush()
		return nil, in.failed(err)
	}
	return wanted, nil
}

// askAgain asks the apt of a jail that was opened anew.
func (in *installation) askAgain(ctx context.Context) (args []string, wanted []apt.Wanted,
	err error) {
	if args, err = in.aptCommand(); err == nil {
		wanted, err = in.ask(ctx, args)
	}
	return args, wanted, err
}

// crossCommand has apt satisfy the build dependencies of a source package.
func (in *installation) crossCommand() ([]string, error) {
	var text strings.Builder
	fmt.Fprintf(&text, "Format: 1.0\nSource: %s\nBinary: %s\nArchitecture: any\nVersion: "+
		"0.invalid.0\nMaintainer: nsbuild <nobody@localhost>\n", buildroot.DummyName,
		buildroot.DummyName)
	fmt.Fprintf(&text, "Build-Depends: %s\n", in.Reduced.Depends)
	if len(in.Reduced.Conflicts) > 0 {
		fmt.Fprintf(&text, "Build-Conflicts: %s\n", in.Reduced.Conflicts)
	}
	file, err := in.apt.Add(buildroot.DummyName+".dsc", strings.NewReader(text.String()))
	return []string{"--host-architecture=" + in.Host, "build-dep", file}, err
}

// installWith finds out what a command of apt-get needs, and has it done unless there is a layer
// with just that.
func (in *installation) installWith(ctx context.Context, args ...string) (
	done bool, err error) {
	wanted, err := in.ask(ctx, args)
	if err != nil {
		return false, err
	}
	if done, err = in.findLayer(ctx, wanted); err != nil || done {
		return done, err
	}
	uncopied, err := install.Wanted(ctx, in.Client, in.apt, in.out, in.sources, in.form, wanted,
		args...)
	if err != nil {
		in.out.Flush()
		return false, in.failed(err)
	}
	in.on.Copies.Start(uncopied, in.form)
	return false, nil
}

// findLayer looks for a layer that has what is wanted; without one it sees to it that only one
// build makes it.
func (in *installation) findLayer(ctx context.Context, wanted []apt.Wanted) (
	done bool, err error) {
	if err := in.asPlanned(wanted); err != nil {
		return false, err
	}
	// where nothing is wanted, too: the next build need not ask apt
	in.key = in.layerKey(wanted)
	if !in.layers() {
		return false, nil
	}
	var found *layer.Layer
	if in.done.making, found, err = in.Layers.Make(ctx, in.key, layerPatience); err != nil ||
		found == nil {
		return false, err
	}
	if err := in.dropJail(); err != nil {
		return false, err
	}
	return true, errors.Join(in.useLayer(found), in.Layers.Remember(in.request, in.key))
}

// dropJail closes the jail that was to be installed in: what is in it is not wanted.
func (in *installation) dropJail() error {
	in.done.Open = nil
	_, err := in.jail.Close()
	return err
}

// finishLayer makes what was installed a lower of the build's root, and keeps it for later builds.
func (in *installation) finishLayer(ctx context.Context) error {
	packages, err := buildroot.Installed(in.jail)
	if err != nil {
		return err
	}
	in.done.Packages = buildroot.Beyond(packages, in.Base.Manifest.Packages)
	in.done.Open = nil
	strays, err := in.jail.Close()
	if err != nil {
		return err
	}
	in.done.Jail = in.jail.ID()
	in.done.Lowers = append([]sandbox.Lower{{Jail: in.jail.ID()}}, in.done.Lowers...)
	for _, s := range strays {
		in.on.Log.Printf("A maintainer script left a process, which was ended: %s", s.Command)
	}
	if in.layers() {
		in.saveLayer(ctx, packages)
	}
	return nil
}

// dummyRepository is a repository with the package that depends on what is needed.
func (in *installation) dummyRepository(ctx context.Context, reduced dsc.Reduced) (*pool.Local,
	error) {
	body, err := install.Dummy(in.Arch, reduced)
	if err != nil {
		return nil, err
	}
	dir, err := in.Work.Make("dummy-")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, buildroot.DummyName+".deb")
	err = os.WriteFile(file, body, 0o644)
	var local *pool.Local
	if err == nil {
		local, err = in.Client.Local(ctx, apt.Dummy, []string{file})
	}
	return local, errors.Join(err, os.RemoveAll(dir))
}

// installByAptitude installs aptitude, as sbuild does, and has that do the rest.
func (in *installation) installByAptitude(ctx context.Context) (done bool, err error) {
	first, err := in.installResolver(ctx, "aptitude")
	if err != nil {
		return false, err
	}
	wanted, err := in.apt.AptitudeWanted(ctx, in.out, buildroot.DummyName)
	if err != nil {
		in.out.Flush()
		return false, in.failed(err)
	}
	packages, err := install.Named(ctx, in.Client, in.sources, wanted)
	if err != nil {
		return false, err
	}
	for i, w := range wanted {
		first = append(first,
			apt.Wanted{Name: w.Name, Hash: packages[i].Hashes.SHA256 +
				packages[i].Hashes.SHA512})
	}
	// The dummy itself differs with every source and is in no layer.
	first = slices.DeleteFunc(first, func(w apt.Wanted) bool {
		return strings.HasPrefix(w.Name, buildroot.DummyName+"_")
	})
	if done, err = in.findLayer(ctx, first); err != nil || done {
		return done, err
	}
	files, err := in.Client.Debs(ctx, packages)
	if err != nil {
		return false, fault.Wrap(fault.GivenBack, "", err)
	}
	for i, w := range wanted {
		if err := in.apt.Provide(w, files[packages[i]],
			in.Client.Copies.Find(packages[i], in.form)); err != nil {
			return false, err
		}
	}
	status, err := in.apt.Aptitude(ctx, in.out, buildroot.DummyName)
	if err == nil && !status.Success() {
		err = fmt.Errorf("aptitude install: %s", status)
	}
	in.out.Flush()
	if err != nil {
		return false, in.failed(err)
	}
	if err := in.dummyInstalled(in.jail); err != nil {
		return false, in.failed(err)
	}
	return false, install.DropDummy(ctx, in.jail)
}

// dummyInstalled notices that aptitude solved its problem by giving up what was asked of it: that
// is no failure to aptitude.
func (in *installation) dummyInstalled(jail jails.Jail) error {
	packages, err := apt.Installed(jail)
	if err != nil {
		return err
	}
	for _, p := range packages {
		if p.Name == buildroot.DummyName {
			return nil
		}
	}
	return errors.New("aptitude found no solution")
}
