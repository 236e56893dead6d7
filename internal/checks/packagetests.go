package checks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"nsbuild/internal/apt"
	"nsbuild/internal/dsc"
	"nsbuild/internal/source"
)

// packageTests reads the tests from the source package, unpacked in a jail: it is as hostile as any
// source.
func (b *Bench) packageTests(ctx context.Context) (tests []packageTest, err error) {
	c := b.bare()
	generated := b.autodep8s()
	if generated {
		if c, err = b.with(ctx, "autodep8", b.Extra, b.NoLayers); errors.Is(err,
			apt.ErrUnresolved) {
			b.Log.Warning("autodep8 cannot be installed in %s: no tests are made of the field "+
				"Testsuite", b.Suite)
			c, generated, err = b.bare(), false, nil
		}
		if err != nil {
			return nil, fmt.Errorf("installing autodep8: %w", err)
		}
	}
	defer func() { err = errors.Join(err, c.close()) }()
	if err := c.open(ctx, false); err != nil {
		return nil, err
	}
	if err := b.Source.Unpack(ctx, c.Worker); err != nil {
		return nil, err
	}
	var text []byte
	if generated {
		text, err = c.generateTests(ctx)
	} else {
		text, err = c.testsControl()
	}
	if err != nil {
		return nil, err
	}
	paragraphs, err := dsc.ParseControl("debian/tests/control", bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	for _, p := range paragraphs {
		found, err := b.testsOf(p)
		if err != nil {
			return nil, err
		}
		tests = append(tests, found...)
	}
	return tests, nil
}

// autodep8s tells whether the source says that autodep8 knows tests for packages of its kind.
func (b *Bench) autodep8s() bool {
	return slices.ContainsFunc(fieldWords(b.Source.DSC.Paragraph.Get("Testsuite")),
		func(s string) bool { return strings.HasPrefix(s, "autopkgtest-pkg-") })
}

// testsControl is debian/tests/control, or nothing.
func (t *testbed) testsControl() (text []byte, err error) {
	f, err := t.Jail.Open(path.Join(t.Source.Path(), "debian/tests/control"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, source.MaxDSC))
}

// generateTests has autodep8 write the control file of the tests: that of the source, if there is
// one, and the tests that packages of its kind have.
func (t *testbed) generateTests(ctx context.Context) ([]byte, error) {
	t.say("Command: autodep8")
	var text bounded
	out := t.Bench.Log.Stream()
	status, err := t.Jail.RunTo(ctx, t.Command(t.Source.Path(), "autodep8"),
		io.MultiWriter(out, &text), out)
	out.Flush()
	if err != nil {
		return nil, err
	}
	if !status.Success() { // it knows no tests for this source, whatever the source says
		t.say("autodep8: %s", status)
		return t.testsControl()
	}
	return text.Bytes(), nil
}

// bounded keeps no more than a control file may have.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if room := source.MaxDSC - b.Len(); room > 0 {
		b.Buffer.Write(p[:min(len(p), room)])
	}
	return len(p), nil
}

// fieldWords are the words of a field, between which are blanks, commas or both.
func fieldWords(value string) []string {
	return strings.FieldsFunc(value, func(r rune) bool {
		return strings.ContainsRune(" ,\n\t", r)
	})
}

// recommended are the relations that the packages which were built recommend.
func (b *Bench) recommended() (relations []string) {
	for _, name := range b.builtPackages() {
		relations = append(relations, b.recommends[name])
	}
	return relations
}

// testFields are the fields of a paragraph of tests. One with any other is skipped, as by
// autopkgtest.
var testFields = []string{"tests", "test-command", "restrictions", "features", "depends",
	"tests-directory", "classes", "architecture"}

// testsOf are the tests of one paragraph.
func (b *Bench) testsOf(p *dsc.Paragraph) ([]packageTest, error) {
	words := func(field string) []string { return fieldWords(p.Get(field)) }
	t := packageTest{restrictions: words("Restrictions"),
		notHere: leftOut(b.Arch, words("Architecture"))}
	for _, f := range p.Fields {
		if !slices.Contains(testFields, strings.ToLower(f.Name)) {
			t.notHere = "the field " + f.Name + " is not known"
		}
	}
	depends := p.Get("Depends")
	if p.Field("Depends") == nil {
		depends = "@"
	}
	if slices.Contains(t.restrictions, "build-needed") {
		depends += ", @builddeps@"
	}
	var relations []string
	for one := range strings.SplitSeq(depends, ",") {
		switch one = strings.TrimSpace(one); one {
		case "":
		case "@":
			relations = append(relations, b.exactly(b.builtPackages()))
		case "@builddeps@":
			relations = append(relations, b.BuildDepends()...)
		case "@recommends@":
			relations = append(relations, b.recommended()...)
		default:
			relations = append(relations, one)
		}
	}
	if t.has(needsRecommends) {
		relations = append(relations, b.recommended()...)
	}
	if t.has(needsSudo) {
		relations = append(relations, "sudo")
	}
	t.relations = strings.Join(slices.DeleteFunc(relations, func(s string) bool { return s == "" }),
		", ")
	dir := p.Get("Tests-Directory")
	if dir == "" {
		dir = "debian/tests"
	}
	var tests []packageTest
	for _, name := range words("Tests") {
		if strings.Contains(name, "/") || name == "." || name == ".." {
			return nil, fmt.Errorf("debian/tests/control: the name of test %q has a slash", name)
		}
		one := t
		file := "./" + path.Join(dir, name)
		one.name, one.argv = name,
			append(slices.Clone(asProgram), file)
		tests = append(tests, one)
	}
	if command := p.Get("Test-Command"); command != "" {
		t.name, t.argv = fmt.Sprintf("command%d", len(tests)+1), []string{"bash", "-ec", command}
		if features := p.Get("Features"); strings.Contains(features, "test-name=") {
			_, name, _ := strings.Cut(features, "test-name=")
			t.name, _, _ = strings.Cut(strings.TrimSpace(name), ",")
		}
		if strings.ContainsAny(t.name, "/\x00") || t.name == "." || t.name == ".." {
			return nil, fmt.Errorf("debian/tests/control: the name of test %q has a slash, or is "+
				"none", t.name)
		}
		tests = append(tests, t)
	}
	return tests, nil
}

// leftOut says why a test is not for an architecture, "" when it is: it names those that it is for,
// or with ! those that it is not for.
func leftOut(arch string, list []string) string {
	positive, listed := false, false
	for _, a := range list {
		name, negative := strings.CutPrefix(a, "!")
		switch matches := dsc.MatchArch(arch, name); {
		case name == "all":
			return "Architecture: all is not allowed in debian/tests/control"
		case negative && matches:
			return "it is not for " + arch
		case !negative:
			positive, listed = true, listed || matches
		}
	}
	mixed := slices.ContainsFunc(list, func(a string) bool { return strings.HasPrefix(a, "!") })
	switch {
	case positive && mixed:
		return "its Architecture has some with an exclamation mark and some without"
	case positive && !listed:
		return "it is not for " + arch
	}
	return ""
}
