package checks

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"nsbuild/internal/fault"
)

// Lintian runs lintian over what was built and, unless that is among it, over the source package.
func Lintian(options []string) Kind {
	return Kind{Name: "lintian", Foreign: true,
		run: func(ctx context.Context, b *Bench) (outcome, detail string, err error) {
			return b.lintian(ctx, options)
		}}
}

func (b *Bench) lintian(ctx context.Context, options []string) (outcome, detail string,
	err error) {
	c, err := b.with(ctx, "lintian", b.Extra, b.NoLayers)
	if err != nil {
		return "", "", fmt.Errorf("installing lintian: %w", err)
	}
	defer func() { err = c.end(ctx, b.making, outcome, detail, err) }()
	if err := c.open(ctx, false); err != nil {
		return "", "", err
	}
	var names []string
	for _, file := range b.Artefacts {
		if filepath.Ext(file) == ".changes" {
			names = append(names, filepath.Base(file))
		}
	}
	if !b.HasSource {
		names = append(names, filepath.Base(b.Source.DSC.Path))
	}
	if err := c.show(ctx, b.withSource()...); err != nil {
		return "", "", err
	}
	argv := slices.Concat([]string{"lintian"}, options, names)
	b.Log.Printf("Command: %s", strings.Join(argv, " "))
	var found counter
	out := b.Log.Stream()
	c.failing = c.Command(checkDir, argv...)
	status, err := c.Jail.RunTo(ctx, c.failing, io.MultiWriter(out, &found), out)
	out.Flush()
	if err != nil {
		return "", "", err
	}
	outcome, detail = found.outcome()
	b.found(found.tags["E"]...)
	b.found(found.tags["W"]...)
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
func (b *Bench) withSource() []string {
	files := slices.Clone(b.Artefacts)
	in := b.Source
	names := []string{filepath.Base(in.DSC.Path)}
	for _, f := range in.DSC.Files {
		names = append(names, f.Name)
	}
	for _, name := range names {
		if !slices.ContainsFunc(b.Artefacts, func(file string) bool {
			return filepath.Base(file) == name
		}) {
			files = append(files, filepath.Join(in.Dir, name))
		}
	}
	return files
}

// counter counts lintian's tags by their letters.
type counter struct {
	errors, warnings, infos int
	tags                    map[string][]string // of errors and warnings, as lintian has put them
	line                    []byte
}

// widestLine is how much of a line is kept for people, in bytes.
const widestLine = 400

func (c *counter) Write(p []byte) (int, error) {
	for _, x := range p {
		if x != '\n' {
			if len(c.line) < widestLine {
				c.line = append(c.line, x)
			}
			continue
		}
		switch {
		case bytes.HasPrefix(c.line, []byte("E: ")):
			c.errors++
			c.keep("E")
		case bytes.HasPrefix(c.line, []byte("W: ")):
			c.warnings++
			c.keep("W")
		case bytes.HasPrefix(c.line, []byte("I: ")):
			c.infos++
		}
		c.line = c.line[:0]
	}
	return len(p), nil
}

// keep keeps a tag for people. A package decides how many there are.
func (c *counter) keep(letter string) {
	const most = 1000
	if c.tags == nil {
		c.tags = map[string][]string{}
	}
	if len(c.tags[letter]) < most {
		c.tags[letter] = append(c.tags[letter], string(c.line))
	}
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
