package pkgbuild

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"nsbuild/internal/apt"
	"nsbuild/internal/archive"
	"nsbuild/internal/archive/failure"
	"nsbuild/internal/base"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/deb"
	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
)

// dummyName is the package that carries the build dependencies; sbuild's name, which readers of
// logs know.
const dummyName = "sbuild-build-depends-main-dummy"

// aptSources has the lists of suites in the cache, for a jail's apt.
func (e *Env) aptSources(ctx context.Context, releases []*archive.Release, archs ...string) (
	[]apt.Source, error) {
	var sources []apt.Source
	for _, r := range releases {
		lists, err := e.Client.AptLists(ctx, r, r.Repo().Components, archs, "")
		if err != nil {
			return nil, err
		}
		sources = append(sources, apt.Source{Repo: r.Repo(), Release: r, Archs: archs,
			Lists: lists})
	}
	return sources, nil
}

// install has apt do a command: what it wants is fetched and verified here, outside the jail.
func (e *Env) install(ctx context.Context, resolver *apt.Apt, log io.Writer, sources []apt.Source,
	form archive.CopyForm, args ...string) error {
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

// installWanted is install for what apt has said already. It returns the digests of the packages
// that were installed without a copy.
func (e *Env) installWanted(ctx context.Context, resolver *apt.Apt, log io.Writer,
	sources []apt.Source, form archive.CopyForm, wanted []apt.Wanted, args ...string) (
	uncopied []string, err error) {
	files, err := e.fetchWanted(ctx, sources, wanted)
	if err != nil {
		return nil, err
	}
	return e.installFetched(ctx, resolver, log, files, form, wanted, args...)
}

// fetched are files of the cache that apt wants, by their URLs.
type fetched map[string]fetchedDeb

type fetchedDeb struct {
	p    *archive.Package
	file string
}

// fetchWanted has what apt wants in the cache.
func (e *Env) fetchWanted(ctx context.Context, sources []apt.Source, wanted []apt.Wanted) (
	fetched, error) {
	packages, err := e.indexed(ctx, sources, wanted)
	if err != nil {
		return nil, err
	}
	list := make([]*archive.Package, 0, len(wanted))
	for _, w := range wanted {
		list = append(list, packages[w.URL])
	}
	debs, err := e.Client.Debs(ctx, list)
	if err != nil {
		return nil, err
	}
	files := make(fetched, len(wanted))
	for _, w := range wanted {
		p := packages[w.URL]
		files[w.URL] = fetchedDeb{p, debs[p]}
	}
	return files, nil
}

// installFetched has apt do a command, with what it wants for it.
func (e *Env) installFetched(ctx context.Context, resolver *apt.Apt, log io.Writer, files fetched,
	form archive.CopyForm, wanted []apt.Wanted, args ...string) (uncopied []string, err error) {
	var list []*archive.Package
	for _, w := range wanted {
		f := files[w.URL]
		list = append(list, f.p)
		if err := resolver.Provide(w, f.file, e.Client.Copy(f.p, form)); err != nil {
			return nil, err
		}
	}
	status, err := resolver.Run(ctx, log, args...)
	if err == nil && !status.Success() {
		err = &installRefused{fmt.Errorf("apt-get %s: %s", strings.Join(args, " "), status)}
	}
	return e.Client.Uncopied(list, form), err
}

// indexed finds what apt wants in the verified indices: from them come the hashes that are
// believed, not from what a jail prints.
func (e *Env) indexed(ctx context.Context, sources []apt.Source, wanted []apt.Wanted) (
	map[string]*archive.Package, error) {
	found := make(map[string]*archive.Package, len(wanted))
	missing := make(map[string]apt.Wanted, len(wanted))
	for _, w := range wanted {
		missing[plainURL(w.URL)] = w
	}
	take := func(p *archive.Package) error {
		if w, ok := missing[plainURL(p.URL())]; ok && w.Size == p.Size {
			found[w.URL] = p
			delete(missing, plainURL(w.URL))
		}
		return nil
	}
	if err := e.eachPackage(ctx, sources, called(wanted), take, func() bool {
		return len(missing) == 0
	}); err != nil {
		return nil, err
	}
	for u := range missing {
		return nil, fmt.Errorf("apt wants %s, which the suite's indices do not list", u)
	}
	return found, nil
}

// plainURL is a URL without the "./" that flat repositories put into it: apt keeps it, the index of
// packages does not.
func plainURL(url string) string { return strings.ReplaceAll(url, "/./", "/") }

// called are the names of packages.
func called(wanted []apt.Wanted) map[string]bool {
	names := make(map[string]bool, len(wanted))
	for _, w := range wanted {
		name, _, _ := strings.Cut(w.Name, "_")
		names[name] = true
	}
	return names
}

// eachPackage shows the packages of some names in the verified indices, until enough are seen.
func (e *Env) eachPackage(ctx context.Context, sources []apt.Source, called map[string]bool,
	take func(*archive.Package) error, enough func() bool) error {
	for _, s := range sources {
		for _, p := range s.Packages {
			if err := take(p); err != nil {
				return err
			}
		}
		if s.Release == nil {
			continue
		}
		for _, component := range s.Repo.IndexComponents() {
			for _, arch := range s.Archs {
				if enough() {
					return nil
				}
				err := e.Client.PackagesCalled(ctx, s.Release, component, arch, called, take)
				// apt found it elsewhere, or it is named as missing
				if err != nil && !errors.Is(err, failure.ErrNoIndex) {
					return err
				}
			}
		}
	}
	return nil
}

// dependencies are the relations that a build needs, with what every build needs.
func (b *builder) dependencies(ctx dsc.Context) (dsc.Reduced, error) {
	core, err := dsc.ParseRelations(b.coreDepends())
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
	if b.firstOnly() {
		reduced.Depends = reduced.Depends.FirstAlternatives()
	}
	for _, r := range []dsc.Relations{reduced.Depends, reduced.Conflicts} {
		if bad, found := r.Invalid(); found {
			return reduced, fault.New(fault.GivenBack, "correct debian/control",
				"the build dependencies: %s: %s (no substitution variables hold there)", bad,
				bad.Invalid)
		}
	}
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
	fmt.Fprintf(&control, "Package: %s\nVersion: 0.invalid.0\nArchitecture: %s\nMaintainer: "+
		"nsbuild <nobody@localhost>\n", dummyName, arch)
	if text := r.Depends.String(); text != "" {
		fmt.Fprintf(&control, "Depends: %s\n", text)
	}
	if text := r.Conflicts.String(); text != "" {
		fmt.Fprintf(&control, "Conflicts: %s\n", text)
	}
	control.WriteString(
		"Description: the build dependencies of one build\n Made for it and never kept.\n")
	var out bytes.Buffer
	err := deb.Write(&out, deb.Package{Control: control.String(), Time: time.Unix(0, 0)})
	return out.Bytes(), err
}

// installDeps makes the build dependencies a layer of the build's root: one that an earlier build
// left, or a new one.
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
	log.Subsection("Install main build dependencies (" + b.resolver() + "-based resolver)")
	return b.installReduced(ctx, reduced)
}

// installReduced installs what relations say, or finds a layer that has it.
func (b *builder) installReduced(ctx context.Context, reduced dsc.Reduced) error {
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
	if err := b.confirm(); err != nil {
		return err
	}
	begin := time.Now()
	err := b.makeLayer(ctx, reduced, request)
	b.summary.InstallTime = time.Since(begin)
	if err != nil { // other builds wait for the layer that there will not be
		err = errors.Join(err, b.made())
	}
	return err
}

// depsFailed says what apt said: its explanation is what the user needs.
func (b *builder) depsFailed(err error) error {
	if explanation := explanationOf(b.log.Tail(40)); len(explanation) > 0 {
		err = fmt.Errorf("%w:\n  %s", err, strings.Join(explanation, "\n  "))
	}
	hint := ""
	if errors.Is(err, apt.ErrUnresolved) && b.cross() && b.o.ArchAll &&
		len(b.relations().DependsIndep) > 0 {
		hint = "--no-arch-all leaves out the packages for all architectures and their " +
			"Build-Depends-Indep, which seldom work in a cross build"
	}
	if !b.checking {
		err = fmt.Errorf("installing the build dependencies: %w", err)
	}
	return fault.Wrap(fault.GivenBack, hint, err)
}

// explanationOf picks what explains a failure out of what apt, aptitude or dpkg wrote: the list
// under "unmet dependencies", whose lines are indented, and the errors.
func explanationOf(lines []buildlog.Line) []string {
	var out []string
	listed := false
	for _, l := range lines {
		switch {
		case strings.HasSuffix(l.Text, "have unmet dependencies:"):
			listed = true
			continue
		case strings.HasPrefix(l.Text, "dpkg: error"):
			listed = true // which script, and how it ended
		case strings.HasPrefix(l.Text, "E: "):
		case !listed || !strings.HasPrefix(l.Text, " "):
			listed = false
			continue
		}
		out = append(out, buildlog.VisibleString(strings.TrimSpace(l.Text)))
	}
	return out
}
