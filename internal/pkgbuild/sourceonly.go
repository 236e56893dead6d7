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
func (at *attempt) sourceOnly(ctx context.Context, tree string, built bool) error {
	if !at.o.SourceOnlyChanges || !built {
		return nil
	}
	argv := append([]string{"dpkg-genchanges", "--build=source"}, at.o.identities()...)
	for _, opt := range at.o.BuildOpts {
		if m := changesOption().FindStringSubmatch(opt); m != nil {
			argv = append(argv, m[1]+m[2])
		}
	}
	out := output.Capture{Limit: maxChanges}
	errs := at.log.Stream()
	status, err := at.root.jail.RunTo(ctx, at.worker().Command(tree, argv...), &out, errs)
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
		return &stageError{buildlog.StageSourceChanges, err}
	}
	at.sources.changes = []byte(text)
	return nil
}

// collectSourceOnly takes out what the source's own .changes lists, and returns its name, "" when
// there is none.
func (at *attempt) collectSourceOnly(ctx context.Context, files *aside) (string, error) {
	if at.sources.changes == nil || at.o.buildType() == "source" {
		return "", nil
	}
	name := dsc.PkgVer(at.header.Package, at.version) + "_source.changes"
	at.sources.changes = at.overrideDistribution(at.sources.changes)
	changes, err := dsc.ParseChanges(name, bytes.NewReader(at.sources.changes), nil)
	if err != nil {
		return "", err
	}
	at.log.Subsection(name + ":")
	at.log.Printf("%s", at.sources.changes)
	if err := at.checkNames(changes); err != nil {
		return "", err
	}
	return name, at.takeResults(ctx, files, changes)
}
