package pkgbuild

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"sync"

	"nsbuild/internal/buildlog"
	"nsbuild/internal/dsc"
	"nsbuild/internal/output"
)

// changesOption are options of dpkg-buildpackage that are also dpkg-genchanges'.
var changesOption = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(?:--changes-option=(.*)|(-s[iad]|-[meCv].*))$`)
})

// sourceOnly has dpkg-genchanges write the .changes for an upload of the source alone.
func (b *builder) sourceOnly(ctx context.Context, tree string, built bool) error {
	if !b.o.SourceOnlyChanges || !built {
		return nil
	}
	argv := append([]string{"dpkg-genchanges", "--build=source"}, b.o.identities()...)
	for _, opt := range b.o.BuildOpts {
		if m := changesOption().FindStringSubmatch(opt); m != nil {
			argv = append(argv, m[1]+m[2])
		}
	}
	out := output.Capture{Limit: maxChanges}
	errs := b.log.Stream()
	status, err := b.jail.RunTo(ctx, b.worker().Command(tree, argv...), &out, errs)
	errs.Flush()
	if err == nil && !status.Success() {
		err = fmt.Errorf("dpkg-genchanges --build=source: %s", status)
	}
	var text string
	if err == nil {
		if text, err = out.String(); err != nil {
			err = fmt.Errorf("dpkg-genchanges --build=source: %w", err)
		}
	}
	if err != nil {
		return &partError{buildlog.StageSourceChanges, err}
	}
	b.sourceChanges = []byte(text)
	return nil
}

// collectSourceOnly takes out what the source's own .changes lists, and returns its name, "" when
// there is none.
func (b *builder) collectSourceOnly(ctx context.Context, a *aside) (string, error) {
	if b.sourceChanges == nil || b.o.buildType() == "source" {
		return "", nil
	}
	name := dsc.PkgVer(b.header.Package, b.version) + "_source.changes"
	b.sourceChanges = b.overrideDistribution(b.sourceChanges)
	changes, err := dsc.ParseChanges(name, bytes.NewReader(b.sourceChanges), nil)
	if err != nil {
		return "", err
	}
	b.log.Subsection(name + ":")
	b.log.Printf("%s", b.sourceChanges)
	if err := b.checkNames(changes); err != nil {
		return "", err
	}
	return name, b.takeResults(ctx, a, changes)
}
