package pkgbuild

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nsbuild/internal/apt"
	"nsbuild/internal/archive"
	"nsbuild/internal/base"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/buildroot"
	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
	"nsbuild/internal/install"
	"nsbuild/internal/layer"
	"nsbuild/internal/result"
	"nsbuild/internal/sandbox"
)

// What finds the packages that a build needs.
const (
	// the first alternative of each relation counts, as on Debian's build daemons
	ResolverApt = "apt"
	// every alternative counts, and a suite that adds to another is used where it must be
	ResolverAptitude = "aptitude"
)

// resolver is the one that was asked for, else what the build daemons use: aptitude for suites that
// add to others, whose packages apt does not take by itself.
func (b *builder) resolver() string {
	switch {
	case b.o.Resolver != "":
		return b.o.Resolver
	case b.suite.Base != "":
		return ResolverAptitude
	}
	return ResolverApt
}

// Which alternatives of a relation count.
const (
	AnyAlternative   = "yes"
	FirstAlternative = "no"
)

// firstOnly tells whether the first alternative of each relation is the only one.
func (b *builder) firstOnly() bool {
	if b.o.Alternatives != "" {
		return b.o.Alternatives == FirstAlternative
	}
	return b.resolver() == ResolverApt
}

// coreDepends is what every build needs, and fakeroot where this one does.
func (b *builder) coreDepends() string {
	core := "build-essential"
	if b.cross() {
		// The last two are not what crossbuild-essential depends on in every suite (Debian bug
		// 815172).
		core = fmt.Sprintf("build-essential:native, crossbuild-essential-%s:native, libc-dev:%s, "+
			"libstdc++-dev:%s", b.host, b.host, b.host)
	}
	if needed, why := b.needsFakeroot(); !needed {
		b.log.Printf("fakeroot is not installed: %s.", why)
		return core
	}
	// Without :native, as it is Multi-Arch: foreign: with an architecture named, apt takes pseudo,
	// which provides fakeroot and does less (bookworm).
	return core + ", fakeroot"
}

// layerPatience is how long a build waits for another that makes the same layer. What takes longer
// was stopped, or is so large that making it twice is no loss.
const layerPatience = 2 * time.Minute

// installation is the build dependencies on their way into a layer.
type installation struct {
	jail    *sandbox.Jail
	apt     *apt.Apt
	sources []apt.Source
	form    archive.CopyForm
	out     *buildlog.Stream
	request string
	reduced dsc.Reduced
	key     string
	wanted  []apt.Wanted    // all that the layer has, with that of a layer below it
	files   install.Fetched // of these; nil where no other layer may be made over this one
}

// makeLayer installs the build dependencies in a jail of their own, whose upper directory becomes
// the layer.
func (b *builder) makeLayer(ctx context.Context, reduced dsc.Reduced, request string) error {
	in := &installation{request: request, reduced: reduced, out: b.log.Stream()}
	defer in.out.Flush()
	if err := b.openInstallation(ctx, in); err != nil {
		return err
	}
	var done bool
	var err error
	switch {
	case b.resolver() == ResolverAptitude:
		done, err = b.installByAptitude(ctx, in)
	case b.cross():
		done, err = b.installCross(ctx, in)
	default:
		done, err = b.installByApt(ctx, in)
	}
	if err != nil || done {
		return err
	}
	return b.finishLayer(ctx, in)
}

// sources are what apt may install from in the build's jails.
func (b *builder) sources(ctx context.Context) ([]apt.Source, error) {
	archs := []string{b.arch}
	if b.cross() {
		archs = append(archs, b.host)
	}
	sources, err := install.Sources(ctx, b.env.Client, slices.Concat(b.extra.releases, b.releases),
		archs...)
	if b.extra.local != nil && err == nil {
		// first, so that apt takes them where an archive has the same version
		sources = slices.Insert(sources, 0, install.LocalSource(b.extra.local))
	}
	return sources, err
}

// openInstallation opens the jail and prepares its apt.
func (b *builder) openInstallation(ctx context.Context, in *installation) (err error) {
	if in.form, err = install.CopyForm(b.base.Manifest.Packages); err != nil {
		return err
	}
	if in.sources, err = b.sources(ctx); err != nil {
		return fault.Wrap(fault.GivenBack, "", err)
	}
	if b.resolver() == ResolverAptitude { // which takes packages from repositories only
		repository, err := b.dummyRepository(ctx, in.reduced)
		if err != nil {
			return err
		}
		in.sources = slices.Insert(in.sources, 0, install.LocalSource(repository))
	}
	if in.jail, err = b.holder.NewJail(ctx,
		sandbox.Spec{Root: sandbox.Root{Lowers: b.layerLowers()},
			Mounts: apt.Mounts(b.env.CacheDir), Hostname: buildroot.Host}); err != nil {
		return err
	}
	b.open = in.jail
	if b.cross() {
		if err := buildroot.AsRoot(ctx, in.jail, "dpkg", "--add-architecture", b.host); err != nil {
			return err
		}
	}
	if in.apt, err = apt.New(in.jail, b.env.CacheDir, buildroot.Env(), in.sources); err != nil {
		return err
	}
	return in.apt.Prefer(b.extra.pins)
}

// installByApt has apt install a package that depends on what is needed. done means that there was
// a layer already.
func (b *builder) installByApt(ctx context.Context, in *installation) (done bool, err error) {
	body, err := install.Dummy(b.arch, in.reduced)
	if err != nil {
		return false, err
	}
	ask := func() (file string, wanted []apt.Wanted, err error) {
		if file, err = in.apt.Add(buildroot.DummyName+".deb", bytes.NewReader(body)); err != nil {
			return "", nil, err
		}
		if wanted, err = b.wantedOver(ctx, in.apt, in.out, in.sources, "install",
			file); err != nil {
			in.out.Flush()
			err = b.depsFailed(err)
		}
		return file, wanted, err
	}
	file, wanted, err := ask()
	if err != nil {
		return false, err
	}
	if done, err = b.findLayer(ctx, in, wanted); err != nil || done {
		return done, err
	}
	in.wanted = wanted
	if in.files, err = install.Fetch(ctx, b.env.Client, in.sources, wanted); err != nil {
		return false, b.depsFailed(err)
	}
	upon, err := b.overSmaller(ctx, in)
	if err != nil {
		return false, err
	}
	if upon {
		if file, wanted, err = ask(); err != nil {
			return false, err
		}
		if upon = b.isTheRest(wanted, in); !upon { // apt decides otherwise over it
			if err := b.overBase(ctx, in); err != nil {
				return false, err
			}
			if file, wanted, err = ask(); err != nil {
				return false, err
			}
		}
	}
	uncopied, err := install.Provided(ctx, b.env.Client, in.apt, in.out, in.files, in.form, wanted,
		"install",
		file)
	if err != nil {
		in.out.Flush()
		return false, b.depsFailed(err)
	}
	b.makingCopies(b.env.Copies.Start(b.env.Log, uncopied, in.form))
	return false, install.DropDummy(ctx, in.jail)
}

// installCross has apt satisfy the build dependencies of a source for another architecture: which
// of its tools must run here and which of its libraries must not, apt knows best.
func (b *builder) installCross(ctx context.Context, in *installation) (done bool, err error) {
	var text strings.Builder
	fmt.Fprintf(&text, "Format: 1.0\nSource: %s\nBinary: %s\nArchitecture: any\nVersion: "+
		"0.invalid.0\nMaintainer: nsbuild <nobody@localhost>\n", buildroot.DummyName,
		buildroot.DummyName)
	fmt.Fprintf(&text, "Build-Depends: %s\n", in.reduced.Depends)
	if len(in.reduced.Conflicts) > 0 {
		fmt.Fprintf(&text, "Build-Conflicts: %s\n", in.reduced.Conflicts)
	}
	file, err := in.apt.Add(buildroot.DummyName+".dsc", strings.NewReader(text.String()))
	if err != nil {
		return false, err
	}
	return b.installWith(ctx, in, "--host-architecture="+b.host, "build-dep", file)
}

// installWith finds out what a command of apt-get needs, and has it done unless there is a layer
// with just that.
func (b *builder) installWith(ctx context.Context, in *installation, args ...string) (
	done bool, err error) {
	wanted, err := b.wantedOver(ctx, in.apt, in.out, in.sources, args...)
	if err != nil {
		in.out.Flush()
		return false, b.depsFailed(err)
	}
	if done, err = b.findLayer(ctx, in, wanted); err != nil || done {
		return done, err
	}
	uncopied, err := install.Wanted(ctx, b.env.Client, in.apt, in.out, in.sources, in.form, wanted,
		args...)
	if err != nil {
		in.out.Flush()
		return false, b.depsFailed(err)
	}
	b.makingCopies(b.env.Copies.Start(b.env.Log, uncopied, in.form))
	return false, nil
}

// findLayer looks for a layer that has what is wanted; without one it sees to it that only one
// build makes it.
func (b *builder) findLayer(ctx context.Context, in *installation, wanted []apt.Wanted) (
	done bool, err error) {
	// where nothing is wanted, too: the next build need not ask apt
	in.key = b.layerKey(in.reduced, wanted)
	if !b.layers() {
		return false, nil
	}
	var found *layer.Layer
	if b.making, found, err = b.env.Layers.Make(ctx, in.key, layerPatience); err != nil ||
		found == nil {
		return false, err
	}
	if err := b.dropJail(in); err != nil {
		return false, err
	}
	return true, errors.Join(b.useLayer(found), b.env.Layers.Remember(in.request, in.key))
}

// dropJail closes the jail that was to be installed in: what is in it is not wanted.
func (b *builder) dropJail(in *installation) error {
	b.open = nil
	_, err := in.jail.Close()
	return err
}

// finishLayer makes what was installed a lower of the build's root, and keeps it for later builds.
func (b *builder) finishLayer(ctx context.Context, in *installation) error {
	packages, err := buildroot.Installed(in.jail)
	if err != nil {
		return err
	}
	b.result.Inputs.Dependencies = listed(buildroot.Beyond(packages, b.base.Manifest.Packages))
	strays, err := b.closeJail()
	if err != nil {
		return err
	}
	for _, s := range strays {
		b.log.Printf("A maintainer script left a process, which was ended: %s", s.Command)
	}
	if b.layers() {
		b.saveLayer(ctx, in, packages)
	}
	return nil
}

// dummyRepository is a repository with the package that depends on what is needed.
func (b *builder) dummyRepository(ctx context.Context, reduced dsc.Reduced) (*archive.Local,
	error) {
	body, err := install.Dummy(b.arch, reduced)
	if err != nil {
		return nil, err
	}
	dir, err := b.env.Work.Make("dummy-")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, buildroot.DummyName+".deb")
	err = os.WriteFile(file, body, 0o644)
	var local *archive.Local
	if err == nil {
		local, err = b.env.Client.Local(ctx, apt.Dummy, []string{file})
	}
	return local, errors.Join(err, os.RemoveAll(dir))
}

// installByAptitude installs aptitude, as sbuild does, and has that do the rest.
func (b *builder) installByAptitude(ctx context.Context, in *installation) (done bool, err error) {
	first, err := in.apt.Wanted(ctx, io.Discard, "install", "aptitude")
	if err != nil {
		return false, fault.New(fault.GivenBack, "use --build-dep-resolver=apt",
			"the resolver aptitude cannot be installed in %s: %w", b.suite.Name, err)
	}
	if _, err := install.Wanted(ctx, b.env.Client, in.apt, in.out, in.sources, in.form, first,
		"install",
		"aptitude"); err != nil {
		return false, b.depsFailed(err)
	}
	wanted, err := in.apt.AptitudeWanted(ctx, in.out, buildroot.DummyName)
	if err != nil {
		in.out.Flush()
		return false, b.depsFailed(err)
	}
	packages, err := install.Named(ctx, b.env.Client, in.sources, wanted)
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
	if done, err = b.findLayer(ctx, in, first); err != nil || done {
		return done, err
	}
	files, err := b.env.Client.Debs(ctx, packages)
	if err != nil {
		return false, fault.Wrap(fault.GivenBack, "", err)
	}
	for i, w := range wanted {
		if err := in.apt.Provide(w, files[packages[i]],
			b.env.Client.Copies.Find(packages[i], in.form)); err != nil {
			return false, err
		}
	}
	status, err := in.apt.Aptitude(ctx, in.out, buildroot.DummyName)
	if err == nil && !status.Success() {
		err = fmt.Errorf("aptitude install: %s", status)
	}
	in.out.Flush()
	if err != nil {
		return false, b.depsFailed(err)
	}
	if err := b.dummyInstalled(in.jail); err != nil {
		return false, b.depsFailed(err)
	}
	return false, install.DropDummy(ctx, in.jail)
}

// dummyInstalled notices that aptitude solved its problem by giving up what was asked of it: that
// is no failure to aptitude.
func (b *builder) dummyInstalled(jail *sandbox.Jail) error {
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

// listed are packages as the result lists them.
func listed(packages []base.Package) (out []result.Package) {
	for _, p := range packages {
		out = append(out, result.Package{Name: p.Name, Version: p.Version, Arch: p.Arch})
	}
	return out
}

// makingCopies ends what makes copies beside the build, and notes how the next is ended.
func (b *builder) makingCopies(stop func()) {
	if b.stopCopies != nil {
		b.stopCopies()
	}
	b.stopCopies = stop
}
