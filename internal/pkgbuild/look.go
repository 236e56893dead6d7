package pkgbuild

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
	"nsbuild/internal/progress"
)

// Looked is what a source says before it is built.
type Looked struct {
	Name     string
	Version  dsc.Version   // of its packages
	Binaries []string      // that it builds for the request, and the names that these provide
	Depends  dsc.Relations // of the build
}

// Look fetches a source and reads what it would build, and what with. Nothing is installed. A base
// that is missing is made, since that is what says where a name is looked for.
func (e *Env) Look(ctx context.Context, r Request) (_ *Looked, err error) {
	quiet := *e
	quiet.Progress = progress.New(io.Discard, progress.Options{Quiet: true})
	r.LogDir, r.NoLog, r.Result = "", true, ""
	b := quiet.newBuilder(r)
	b.dry = true
	defer b.release()
	if err := b.resolve(ctx); err != nil {
		return nil, e.Work.Hide(fault.Interruption(ctx, err))
	}
	name, version := b.in.Identity()
	out := &Looked{Name: name}
	if out.Version, err = dsc.ParseVersion(version); err != nil {
		return nil, err
	}
	if out.Version, err = b.o.binaryVersion(out.Version); err != nil {
		return nil, err
	}
	control, err := b.in.Control()
	if err != nil {
		return nil, fault.Wrap(fault.GivenBack, "", fmt.Errorf("%s: %w", r.From, err))
	}
	c := b.context()
	for _, p := range control.Packages {
		if !dsc.ProfilesHold(p.Profiles, c.Profiles) || !b.builds(p) {
			continue
		}
		out.Binaries = append(out.Binaries, p.Name)
		for one := range strings.SplitSeq(p.Provides, ",") {
			// a substitution variable is none that could be asked for
			if words := strings.Fields(one); len(words) > 0 && !strings.Contains(words[0], "$") {
				out.Binaries = append(out.Binaries, words[0])
			}
		}
	}
	out.Depends = b.relations().Reduce(c).Depends
	return out, nil
}

// builds tells whether a binary package is one of those that are asked for.
func (b *builder) builds(p dsc.ControlPackage) bool {
	if slices.Contains(p.Archs, "all") {
		return b.o.ArchAll
	}
	return b.o.ArchAny && dsc.ArchHolds(p.Archs, b.host)
}
