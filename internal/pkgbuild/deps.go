package pkgbuild

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"nsbuild/internal/apt"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
)

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
