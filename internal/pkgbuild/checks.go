package pkgbuild

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nsbuild/internal/apt"
	"nsbuild/internal/base"
	"nsbuild/internal/bootstrap"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/buildroot"
	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
	"nsbuild/internal/result"
	"nsbuild/internal/sandbox"
)

// Checks say what is done with the results of a build that was successful.
type Checks struct {
	Lintian      bool
	LintianOpts  []string
	Autopkgtest  bool
	CheckInstall bool
	Piuparts     bool
	PiupartsOpts []string
	// FailOn is the outcome that makes the build fail: OutcomeFail, OutcomeWarn (which means both),
	// or "" for none, as sbuild has it.
	FailOn string
}

// Outcomes of a check, in the words of sbuild's summary.
const (
	OutcomePass    = "pass"
	OutcomeInfo    = "info"
	OutcomeWarn    = "warn"
	OutcomeFail    = "fail"
	OutcomeNoTests = "no tests"
	// what was built is for another machine, or a script of piuparts says that it cannot be tested
	OutcomeSkipped = "skipped"
	OutcomeError   = "error" // it could not be made
)

// checkDir is where a check's jail has the files that it looks at.
const checkDir = "/build/check"

// checked adds the stages of checks to those of a build.
func (b *builder) checked(all []stage) []stage {
	var installed string // sbuild's summary has no field for it
	for _, c := range []struct {
		wanted bool
		name   string
		run    func(*builder, context.Context) (string, string, error)
		into   *string
	}{
		{b.o.Lintian, "lintian", (*builder).lintian, &b.summary.Lintian},
		{b.o.CheckInstall, "install check", (*builder).checkInstall, &installed},
		{b.o.Piuparts, "piuparts", (*builder).piuparts, &b.summary.Piuparts},
		{b.o.Autopkgtest, "autopkgtest", (*builder).autopkgtest, &b.summary.Autopkgtest},
	} {
		if c.wanted {
			all = append(all,
				stage{c.name, buildlog.StagePostBuild,
					func(b *builder, ctx context.Context) error {
						return b.check(ctx, c.name, c.run, c.into)
					}})
		}
	}
	return all
}

// check makes one check and notes its outcome.
func (b *builder) check(ctx context.Context, name string, run func(*builder, context.Context) (
	outcome, detail string, err error), into *string) error {
	if err := b.leaveJail(ctx); err != nil {
		return err
	}
	b.log.Subsection(name)
	begin := time.Now()
	outcome, detail, err := OutcomeSkipped, "packages for "+b.host+" cannot be used on "+b.arch,
		error(nil)
	if b.host == b.arch || name == "lintian" {
		if err = b.readVersions(ctx); err == nil {
			outcome, detail, err = run(b, ctx)
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		outcome, detail = OutcomeError, err.Error()
		b.log.Error("%s: %v", name, err)
	}
	*into = outcome
	if name == "install check" {
		b.summary.Own = append(b.summary.Own, buildlog.Field{Name: "Install-Check", Value: outcome})
	}
	b.result.Checks = append(b.result.Checks,
		result.Check{Name: name, Outcome: outcome, Detail: detail,
			Seconds: time.Since(begin).Seconds()})
	bad := outcome == OutcomeFail || outcome == OutcomeError
	switch {
	case bad && b.o.FailOn != "", outcome == OutcomeWarn && b.o.FailOn == OutcomeWarn:
		if detail != "" {
			outcome += ": " + detail
		}
		return fault.New(fault.Internal,
			"the log has all of it; without --fail-on the build is successful all the same",
			"%s: %s", name, outcome)
	case bad, outcome == OutcomeWarn:
		b.env.Log.Warnf("%s: %s %s", name, outcome, detail)
	}
	b.log.Info("%s: %s", name, outcome)
	return nil
}

// leaveJail closes the jail that built, after taking what checks need out of it: a source package
// that was made there.
func (b *builder) leaveJail(ctx context.Context) error {
	if b.open == nil {
		return nil
	}
	if b.in.tree != nil && b.packed == nil {
		if err := b.takePacked(); err != nil {
			return fmt.Errorf("taking the source package out of the jail: %w", err)
		}
	}
	b.stopped = false
	_, err := b.closeJail()
	return err
}

// takePacked copies the source package that was made of a directory out of the jail.
func (b *builder) takePacked() error {
	dir, err := b.env.Work.Make("source-")
	if err != nil {
		return err
	}
	name := filepath.Base(b.in.dsc.Path)
	var text bytes.Buffer
	if err := b.copyOut(name, filepath.Join(dir, name), maxDSC, &text); err != nil {
		return err
	}
	for _, f := range b.in.dsc.Files {
		if err := b.copyOut(f.Name, filepath.Join(dir, f.Name), f.Size, io.Discard); err != nil {
			return err
		}
	}
	b.packed = &input{spec: b.in.spec, dsc: b.in.dsc, text: text.Bytes(), dir: dir,
		temp: func() error { return os.RemoveAll(dir) }}
	return nil
}

// source is the source package as files on the host.
func (b *builder) sourceFiles() *input {
	if b.packed != nil {
		return b.packed
	}
	return b.in
}

// forCheck is a builder over the base alone, in the same sandbox and with the same log: nothing
// that the build has under way is its.
func (b *builder) forCheck() *builder {
	c := *b
	c.lowers, c.layer, c.open, c.jail = []sandbox.Lower{{Path: b.base.Tree()}}, nil, nil, nil
	c.plain, c.openWhole = false, false
	c.making, c.saving, c.stopCopies, c.installer = nil, nil, nil, nil
	c.hookedRoot, c.unknowable = "", false
	c.o.Hooks, c.host, c.checking = nil, b.arch, true
	c.result = &result.Result{}
	c.in = b.sourceFiles()
	return &c
}

// beside is a builder for a check: over the same base, with what relations want installed. Its
// layer is kept, as those of builds are, unless change says otherwise; that may be nil.
func (b *builder) beside(ctx context.Context, relations string, change func(c *builder) error) (
	_ *builder, _ func() error, err error) {
	c := b.forCheck()
	done := func() error {
		c.layerSaved()
		c.makingCopies(nil)
		err := c.made()
		if c.open != nil {
			_, closing := c.open.Close()
			err = errors.Join(err, closing)
		}
		if c.layer != nil {
			err = errors.Join(err, c.layer.Close())
		}
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, done())
		}
	}()
	if change != nil {
		if err := change(c); err != nil {
			return nil, nil, err
		}
	}
	wanted, err := dsc.ParseRelations(relations)
	if err != nil {
		return nil, nil, err
	}
	reduced := dsc.BuildRelations{Depends: wanted}.Reduce(c.context())
	reduced.Depends = reduced.Depends.FirstAlternatives()
	b.log.Printf("Wanted: %s", reduced.Depends)
	if err := c.installReduced(ctx, reduced); err != nil {
		return nil, nil, err
	}
	return c, done, nil
}

// fromBuilt lets a check's apt install what was built, and the packages that the build was given.
// Of what was built it takes these very versions, whatever else there is: an archive may have a
// later one, and the base, too.
func (b *builder) fromBuilt(ctx context.Context) func(*builder) error {
	return func(c *builder) (err error) {
		c.o.NoLayers = true
		c.extra.pins = pinned(b.versions) + b.extra.pins // of several that fit the first counts
		c.extra.local, err = b.env.Client.Local(ctx, apt.Extra,
			append(b.builtDebs(), b.o.Packages...))
		return err
	}
}

// pinned are preferences for certain versions of packages. Above 1000 apt takes them though later
// ones are installed (apt_preferences(5)).
func pinned(versions map[string]string) string {
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(versions)) {
		fmt.Fprintf(&out, "Package: %s\nPin: version %s\nPin-Priority: 1001\n\n", name,
			versions[name])
	}
	return out.String()
}

// readVersions learns from the binary packages that were built which versions they have: some
// packages have others than their source.
func (b *builder) readVersions(ctx context.Context) error {
	b.versions = map[string]string{}
	built, err := b.env.Client.Local(ctx, apt.Extra, b.builtDebs())
	if err != nil {
		return err
	}
	for _, p := range built.Packages {
		b.versions[p.Package] = p.Version
	}
	return nil
}

// exactly are relations to packages in the version that was built.
func (b *builder) exactly(packages []string) string {
	var out []string
	for _, name := range packages {
		out = append(out, fmt.Sprintf("%s (= %s)", name, b.versions[name]))
	}
	return strings.Join(out, ", ")
}

// inBase are those packages that the base has itself.
func (b *builder) inBase(packages []string) []string {
	return slices.DeleteFunc(slices.Clone(packages), func(name string) bool {
		return !slices.ContainsFunc(b.base.Manifest.Packages, func(p base.Package) bool {
			return p.Name == name
		})
	})
}

// unseen are the files of those packages that a jail over the base has in just the version that was
// built: apt leaves them as they are, and so they are to be installed by dpkg.
func (b *builder) unseen(packages []string) []string {
	return slices.DeleteFunc(b.builtDebs(), func(file string) bool {
		name := packageOf(file)
		return !slices.Contains(packages, name) || !slices.ContainsFunc(b.base.Manifest.Packages,
			func(p base.Package) bool { return p.Name == name && p.Version == b.versions[name] })
	})
}

// installFiles has dpkg install files that the open jail was shown.
func (b *builder) installFiles(ctx context.Context, files []string) error {
	if len(files) == 0 {
		return nil
	}
	return b.installCommands(ctx, installByDpkg(files))
}

func installByDpkg(files []string) []string {
	argv := []string{"dpkg", "--force-confold", "--install"}
	for _, file := range files {
		argv = append(argv, path.Join(checkDir, filepath.Base(file)))
	}
	return argv
}

// builtDebs are the binary packages that were built, as files.
func (b *builder) builtDebs() []string {
	var debs []string
	for _, file := range b.outcome.Artefacts {
		if filepath.Ext(file) == ".deb" {
			debs = append(debs, file)
		}
	}
	return debs
}

// packageOf is the name of the package in a file.
func packageOf(deb string) string {
	name, _, _ := strings.Cut(filepath.Base(deb), "_")
	return name
}

// builtPackages are the names of the binary packages that were built, without those of debugging
// symbols.
func (b *builder) builtPackages() []string {
	var names []string
	for _, file := range b.builtDebs() {
		if name := packageOf(file); !strings.HasSuffix(name, "-dbgsym") &&
			!slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// show copies files of the host into the open jail, for the builder to read.
func (b *builder) show(ctx context.Context, files ...string) error {
	if err := buildroot.MakeDir(b.open); err != nil {
		return err
	}
	if err := b.open.Mkdir(checkDir, 0o755, bootstrap.BuilderUID,
		bootstrap.BuilderGID); err != nil {
		return err
	}
	for _, file := range files {
		if err := copyFileIn(ctx, b.open, file, path.Join(checkDir, filepath.Base(file)),
			0o644); err != nil {
			return err
		}
	}
	return nil
}

// lintian runs lintian over what was built and, unless that is among it, over the source package.
func (b *builder) lintian(ctx context.Context) (outcome, detail string, err error) {
	c, done, err := b.beside(ctx, "lintian", nil)
	if err != nil {
		return "", "", fmt.Errorf("installing lintian: %w", err)
	}
	defer func() { err = errors.Join(err, done()) }()
	if _, err := c.openJail(ctx, false); err != nil {
		return "", "", err
	}
	var names []string
	for _, file := range b.outcome.Artefacts {
		if filepath.Ext(file) == ".changes" {
			names = append(names, filepath.Base(file))
		}
	}
	if !b.o.Source {
		names = append(names, filepath.Base(b.sourceFiles().dsc.Path))
	}
	if err := c.show(ctx, b.withSource()...); err != nil {
		return "", "", err
	}
	argv := slices.Concat([]string{"lintian"}, b.o.LintianOpts, names)
	b.log.Printf("Command: %s", strings.Join(argv, " "))
	var found counter
	out := b.log.Stream()
	status, err := c.open.RunTo(ctx, c.asBuilder(checkDir, argv...), io.MultiWriter(out, &found),
		out)
	out.Flush()
	if err != nil {
		return "", "", err
	}
	outcome, detail = found.outcome()
	// 2: a tag that --fail-on names, lintian's own or the user's; anything else is no opinion about
	// the package (lintian(1)).
	if !status.Success() && (status.Code != 2 || status.Signal != 0) {
		return "", "", fmt.Errorf("lintian: %s", status)
	}
	if status.Code == 2 {
		outcome = OutcomeFail
	}
	return outcome, detail, nil
}

// withSource are the results and what they lack of the source package: without -s all of it, else
// the upstream tarballs that a .changes leaves out from the second revision on.
func (b *builder) withSource() []string {
	files := slices.Clone(b.outcome.Artefacts)
	in := b.sourceFiles()
	names := []string{filepath.Base(in.dsc.Path)}
	for _, f := range in.dsc.Files {
		names = append(names, f.Name)
	}
	for _, name := range names {
		if !slices.ContainsFunc(b.outcome.Artefacts, func(file string) bool {
			return filepath.Base(file) == name
		}) {
			files = append(files, filepath.Join(in.dir, name))
		}
	}
	return files
}

// counter counts lintian's tags by their letters.
type counter struct {
	errors, warnings, infos int
	line                    []byte
}

func (c *counter) Write(p []byte) (int, error) {
	for _, x := range p {
		if x != '\n' {
			if len(c.line) < 4 {
				c.line = append(c.line, x)
			}
			continue
		}
		switch {
		case bytes.HasPrefix(c.line, []byte("E: ")):
			c.errors++
		case bytes.HasPrefix(c.line, []byte("W: ")):
			c.warnings++
		case bytes.HasPrefix(c.line, []byte("I: ")):
			c.infos++
		}
		c.line = c.line[:0]
	}
	return len(p), nil
}

func (c *counter) outcome() (outcome, detail string) {
	detail = fault.Count(c.errors, "error", "errors") + ", " + fault.Count(c.warnings, "warning",
		"warnings")
	switch {
	case c.errors > 0:
		return OutcomeFail, detail
	case c.warnings > 0:
		return OutcomeWarn, detail
	case c.infos > 0:
		return OutcomeInfo, detail
	}
	return OutcomePass, ""
}
