package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"nsbuild/internal/apt"
	"nsbuild/internal/archive"
	"nsbuild/internal/base"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/deb"
	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
	"nsbuild/internal/layer"
	"nsbuild/internal/sandbox"
)

// dummyName is the package that carries the build dependencies; sbuild's name, which readers of logs know.
const dummyName = "sbuild-build-depends-main-dummy"

// aptSources has the lists of suites in the cache, for a jail's apt.
func (e *Env) aptSources(ctx context.Context, releases []*archive.Release, archs ...string) ([]apt.Source, error) {
	var sources []apt.Source
	for _, r := range releases {
		lists, err := e.Client.AptLists(ctx, r, r.Repo().Components, archs, "")
		if err != nil {
			return nil, err
		}
		sources = append(sources, apt.Source{Repo: r.Repo(), Release: r, Archs: archs, Lists: lists})
	}
	return sources, nil
}

// install has apt do a command: what it wants is fetched and verified here, outside the jail.
func (e *Env) install(ctx context.Context, resolver *apt.Apt, log io.Writer, sources []apt.Source, form archive.CopyForm, args ...string) error {
	wanted, err := resolver.Wanted(ctx, log, args...)
	if err != nil {
		return err
	}
	_, err = e.installWanted(ctx, resolver, log, sources, form, wanted, args...)
	return err
}

// copyForm is what the dpkg among these packages can read.
func copyForm(packages []base.Package) (archive.CopyForm, error) {
	for _, p := range packages {
		if p.Name == "dpkg" {
			return archive.CopyFormFor(p.Version)
		}
	}
	return archive.CopyOld, nil
}

// installWanted is install for what apt has said already. It returns the digests of the packages that were installed without a copy.
func (e *Env) installWanted(ctx context.Context, resolver *apt.Apt, log io.Writer, sources []apt.Source, form archive.CopyForm, wanted []apt.Wanted, args ...string) (uncopied []string, err error) {
	packages, err := e.indexed(ctx, sources, wanted)
	if err != nil {
		return nil, err
	}
	list := make([]*archive.Package, 0, len(wanted))
	for _, w := range wanted {
		list = append(list, packages[w.URL])
	}
	files, err := e.Client.Debs(ctx, list)
	if err != nil {
		return nil, err
	}
	for _, w := range wanted {
		p := packages[w.URL]
		if err := resolver.Provide(w, files[p], e.Client.Copy(p, form)); err != nil {
			return nil, err
		}
	}
	status, err := resolver.Run(ctx, log, args...)
	if err == nil && !status.Success() {
		err = fmt.Errorf("apt-get %s: %s", strings.Join(args, " "), status)
	}
	return e.Client.Uncopied(list, form), err
}

// indexed finds what apt wants in the verified indices: from them come the hashes that are believed, not from what a jail prints.
func (e *Env) indexed(ctx context.Context, sources []apt.Source, wanted []apt.Wanted) (map[string]*archive.Package, error) {
	found := make(map[string]*archive.Package, len(wanted))
	missing := make(map[string]apt.Wanted, len(wanted))
	for _, w := range wanted {
		missing[plainURL(w.URL)] = w
	}
	for _, s := range sources {
		take := func(p *archive.Package) error {
			if w, ok := missing[plainURL(p.URL())]; ok && w.Size == p.Size {
				found[w.URL] = p
				delete(missing, plainURL(w.URL))
			}
			return nil
		}
		for _, p := range s.Packages {
			if err := take(p); err != nil {
				return nil, err
			}
		}
		if s.Release == nil {
			continue
		}
		for _, component := range s.Repo.IndexComponents() {
			if len(missing) == 0 {
				return found, nil
			}
			for _, arch := range s.Archs {
				err := e.Client.Packages(ctx, s.Release, component, arch, take)
				if err != nil && !errors.Is(err, archive.ErrNoIndex) { // apt found it elsewhere, or it is named below
					return nil, err
				}
			}
		}
	}
	for u := range missing {
		return nil, fmt.Errorf("apt wants %s, which the suite's indices do not list", u)
	}
	return found, nil
}

// plainURL is a URL without the "./" that flat repositories put into it: apt keeps it, the index of packages does not.
func plainURL(url string) string { return strings.ReplaceAll(url, "/./", "/") }

// dependencies are the relations that a build needs, with what every build needs.
func (b *builder) dependencies(ctx dsc.Context) (dsc.Reduced, error) {
	// fakeroot: dpkg-buildpackage uses it for sources that do not say that they need no root.
	core, err := dsc.ParseRelations("build-essential, fakeroot")
	if err != nil {
		return dsc.Reduced{}, err
	}
	extra := []dsc.Relations{core}
	for _, text := range b.o.Hooks.BuildDepends() {
		relations, err := dsc.ParseRelations(text)
		if err != nil {
			return dsc.Reduced{}, fmt.Errorf("the Build-Depends of a hook: %w", err)
		}
		extra = append(extra, relations)
	}
	reduced := b.relations().Reduce(ctx, extra...)
	reduced.Depends = reduced.Depends.FirstAlternatives()
	return reduced, nil
}

// relations are the source's own, and those that were added to them.
func (b *builder) relations() dsc.BuildRelations {
	if b.in.tree != nil {
		return b.o.added.Join(b.in.tree.Control.BuildRelations)
	}
	return b.o.added.Join(b.in.dsc.BuildRelations)
}

// dummy is a package that depends on what the build needs.
func dummy(arch string, r dsc.Reduced) ([]byte, error) {
	var control strings.Builder
	fmt.Fprintf(&control, "Package: %s\nVersion: 0.invalid.0\nArchitecture: %s\nMaintainer: nsbuild <nobody@localhost>\n", dummyName, arch)
	if text := r.Depends.String(); text != "" {
		fmt.Fprintf(&control, "Depends: %s\n", text)
	}
	if text := r.Conflicts.String(); text != "" {
		fmt.Fprintf(&control, "Conflicts: %s\n", text)
	}
	control.WriteString("Description: the build dependencies of one build\n Made for it and never kept.\n")
	var out bytes.Buffer
	err := deb.Write(&out, deb.Package{Control: control.String(), Time: time.Unix(0, 0)})
	return out.Bytes(), err
}

// installDeps makes the build dependencies a layer of the build's root: one that an earlier build left, or a new one.
func (b *builder) installDeps(ctx context.Context) error {
	log := b.log
	log.Section("Install package build dependencies")
	reduced, err := b.dependencies(b.context())
	if err != nil {
		return err
	}
	log.Subsection("Setup apt archive")
	log.Printf("Merged Build-Depends: %s", b.relations().Reduce(b.context()).Depends)
	log.Printf("Filtered Build-Depends: %s", reduced.Depends)
	if text := reduced.Conflicts.String(); text != "" {
		log.Printf("Filtered Build-Conflicts: %s", text)
	}
	log.Subsection("Install build dependencies (apt-based resolver)")
	request := b.requestKey(reduced)
	if b.layers() {
		found, err := b.env.Layers.Request(request)
		if err != nil {
			return err
		}
		if found != nil {
			return b.useLayer(found)
		}
	}
	begin := time.Now()
	err = b.makeLayer(ctx, reduced, request)
	b.summary.InstallTime = time.Since(begin)
	return err
}

// layerPatience is how long a build waits for another that makes the same layer. What takes longer was stopped, or is so large that making it twice is no loss.
const layerPatience = 2 * time.Minute

// sources are what apt may install from in the build's jails.
func (b *builder) sources(ctx context.Context) ([]apt.Source, error) {
	sources, err := b.env.aptSources(ctx, slices.Concat(b.extra.releases, b.releases), b.arch)
	if local := b.extra.local; local != nil && err == nil {
		// First, so that apt takes them where an archive has the same version.
		sources = slices.Insert(sources, 0, apt.Source{Repo: local.Repo, Lists: []archive.ListFile{local.List}, Packages: local.Packages})
	}
	return sources, err
}

// makeLayer installs the build dependencies in a jail of their own, whose upper directory becomes the layer.
func (b *builder) makeLayer(ctx context.Context, reduced dsc.Reduced, request string) error {
	sources, err := b.sources(ctx)
	if err != nil {
		return fault.Wrap(fault.GivenBack, "", err)
	}
	jail, err := b.holder.NewJail(ctx, sandbox.Spec{Root: sandbox.Root{Lowers: b.lowers}, Mounts: apt.Mounts(b.env.CacheDir), Hostname: buildHost})
	if err != nil {
		return err
	}
	b.open = jail
	resolver, err := apt.New(jail, b.env.CacheDir, commandEnv(), sources)
	if err != nil {
		return err
	}
	if err := resolver.Prefer(b.extra.pins); err != nil {
		return err
	}
	body, err := dummy(b.arch, reduced)
	if err != nil {
		return err
	}
	file, err := resolver.Add(dummyName+".deb", bytes.NewReader(body))
	if err != nil {
		return err
	}
	out := b.log.Stream()
	wanted, err := b.env.wantedOver(ctx, b.base, b.lowers, resolver, out, sources, "install", file)
	if err != nil {
		out.Flush()
		return b.depsFailed(err)
	}
	key := b.layerKey(reduced, wanted)
	if b.layers() {
		var found *layer.Layer
		if b.making, found, err = b.env.Layers.Make(ctx, key, layerPatience); err != nil {
			return err
		}
		if found != nil {
			b.open = nil
			if _, err := jail.Close(); err != nil {
				return err
			}
			return errors.Join(b.useLayer(found), b.env.Layers.Remember(request, key))
		}
	}
	form, err := copyForm(b.base.Manifest.Packages)
	if err != nil {
		return err
	}
	uncopied, err := b.env.installWanted(ctx, resolver, out, sources, form, wanted, "install", file)
	out.Flush()
	if err != nil {
		return b.depsFailed(err)
	}
	b.makingCopies(b.env.startCopies(uncopied, form))
	if err := b.dropDummy(ctx, jail); err != nil {
		return err
	}
	packages, err := installed(jail)
	if err != nil {
		return err
	}
	b.result.Inputs.Dependencies = beyond(packages, b.base.Manifest.Packages)
	strays, err := b.closeJail()
	if err != nil {
		return err
	}
	for _, s := range strays {
		b.log.Printf("A maintainer script left a process, which was ended: %s", s.Command)
	}
	if b.layers() && len(wanted) > 0 {
		b.saveLayer(ctx, jail.ID(), request, key, packages)
	}
	return nil
}

// dropDummy takes the dummy package away again: the layer serves other sources, too.
func (b *builder) dropDummy(ctx context.Context, jail *sandbox.Jail) error {
	var said tail
	status, err := jail.RunTo(ctx, sandbox.Command{Argv: []string{"dpkg", "--force-unsafe-io", "--purge", dummyName}, Env: commandEnv()}, &said, &said)
	if err == nil && !status.Success() {
		err = said.explain(fmt.Errorf("dpkg --purge %s: %s", dummyName, status))
	}
	return err
}

// depsFailed says what apt said: its explanation is what the user needs.
func (b *builder) depsFailed(err error) error {
	var explanation []string
	for _, l := range b.log.Tail(40) {
		if strings.Contains(l.Text, dummyName+" : ") || strings.HasPrefix(l.Text, "E: ") || strings.HasPrefix(l.Text, strings.Repeat(" ", len(dummyName))) {
			explanation = append(explanation, buildlog.VisibleString(strings.TrimSpace(l.Text)))
		}
	}
	if len(explanation) > 0 {
		err = fmt.Errorf("%w:\n  %s", err, strings.Join(explanation, "\n  "))
	}
	return fault.Wrap(fault.GivenBack, "", fmt.Errorf("installing the build dependencies: %w", err))
}
