package main

import (
	"context"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/sirupsen/logrus"
	"github.com/spf13/pflag"

	"nsbuild/internal/batch"
	"nsbuild/internal/fault"
	"nsbuild/internal/nearest"
	"nsbuild/internal/pkgbuild"
)

// selection are the flags that choose among the sources of a suite.
type selection struct {
	all      bool
	match    []string
	sections []string
	limit    int
}

func (s *selection) addFlags(f *pflag.FlagSet) {
	f.BoolVar(&s.all, "all", false, "build all sources of the suite")
	f.StringSliceVar(&s.match, "match", nil, "with --all, only those whose names fit a `PATTERN` of "+
		"the shell, with commas between them")
	f.StringSliceVar(&s.sections, "section", nil, "with --all, only those of a `SECTION`, such as "+
		"perl or contrib/net, with commas between them; patterns, too")
	f.IntVar(&s.limit, "limit", 0, "with --all, only the first `N`, by their names; 0: all")
}

// check refuses what chooses nothing.
func (s *selection) check() error {
	switch {
	case !s.all && (len(s.match) > 0 || len(s.sections) > 0 || s.limit != 0):
		return usage("nsbuild batch -d SUITE --all --match 'lib*'",
			"--match, --section and --limit choose among --all")
	case s.limit < 0:
		return usage("0 for all", "--limit %d: it cannot be negative", s.limit)
	}
	for _, pattern := range slices.Concat(s.match, s.sections) {
		if _, err := path.Match(pattern, ""); err != nil {
			return usage("write [ as \\[", "%q is no pattern: %v", pattern, err)
		}
	}
	return nil
}

// takes tells whether a source is chosen.
func (s *selection) takes(o *pkgbuild.SourceOffer) bool {
	fits := func(patterns []string, texts ...string) bool {
		return len(patterns) == 0 || slices.ContainsFunc(patterns, func(pattern string) bool {
			return slices.ContainsFunc(texts, func(text string) bool {
				ok, err := path.Match(pattern, text)
				return ok && err == nil
			})
		})
	}
	return fits(s.match, o.Package) && fits(s.sections, o.Section, path.Base(o.Section))
}

// choose are the sources of a suite that are chosen.
func (s *selection) choose(all []*pkgbuild.SourceOffer) (picks []pick, err error) {
	for _, o := range all {
		if s.takes(o) && (s.limit == 0 || len(picks) < s.limit) {
			picks = append(picks, pick{spec: o.Package})
		}
	}
	if len(picks) == 0 {
		return nil, usage("leave --match or --section out, or choose another suite with --dist",
			"--all: the suite has no such source")
	}
	return picks, nil
}

// pick is a source that was asked for.
type pick struct {
	spec    string
	where   string   // it was asked for; "": on the command line
	options []string // of it alone
	skip    string   // why it is not built; "": it is
}

// at names the place where a source was asked for, in front of what is wrong with it.
func (p *pick) at() string {
	if p.where == "" {
		return ""
	}
	return p.where + ": "
}

// name is what a source of the suite is called; "" when it is another kind of source.
func (p *pick) name() string {
	if strings.HasSuffix(p.spec, ".dsc") || strings.Contains(p.spec, "/") {
		return ""
	}
	if _, err := os.Stat(p.spec); err == nil {
		return ""
	}
	name, _, _ := strings.Cut(p.spec, "=")
	return name
}

// once leaves out what is asked for a second time, and says so.
func once(picks []pick, log logrus.FieldLogger) (out []pick, err error) {
	seen := map[string]int{}
	for _, p := range picks {
		i, again := seen[p.spec]
		if !again {
			seen[p.spec] = len(out)
			out = append(out, p)
			continue
		}
		if !slices.Equal(out[i].options, p.options) || out[i].skip != p.skip {
			return nil, usage("name it once", "%s%s stands elsewhere, too (%s), with other options",
				p.at(), p.spec, strings.TrimSuffix(out[i].at(), ": "))
		}
		log.Warnf("%s%s is named twice: it is built once", p.at(), p.spec)
	}
	return out, nil
}

// known looks the names up in a suite: one that does not exist is found before anything is built,
// and what is not for the architecture is not begun.
func known(picks []pick, suite *pkgbuild.Suite, log logrus.FieldLogger) error {
	offers := suite.Offers()
	var unknown, foreign []*pick
	for i := range picks {
		p := &picks[i]
		name := p.name()
		if name == "" || p.skip != "" {
			continue
		}
		o := offers[name]
		switch {
		case o == nil:
			unknown = append(unknown, p)
		case !suite.Builds(o):
			p.skip = fmt.Sprintf("it is for %s, not for %s", o.Architecture,
				suite.Context.HostArch)
			foreign = append(foreign, p)
		}
	}
	if len(foreign) > 0 {
		log.Warnf("%s for %s: %s", fault.Count(len(foreign), "source is not", "sources are not"),
			suite.Context.HostArch, someOf(foreign))
	}
	if len(unknown) > 0 {
		return unknownError(unknown, suite)
	}
	return nil
}

// unknownError names the first source that does not exist, and what it may have been meant to be,
// and where the others stand.
func unknownError(unknown []*pick, suite *pkgbuild.Suite) error {
	names := make([]string, 0, len(suite.Sources))
	for _, o := range suite.Sources {
		names = append(names, o.Package)
	}
	first := unknown[0]
	hint := "give names of source packages, which may differ from those of binary packages"
	if like := nearest.Names(first.name(), names, 3); len(like) > 0 {
		hint = "did you mean " + strings.Join(like, " or ") + "?"
	}
	more := ""
	if n := len(unknown) - 1; n > 0 {
		more = fmt.Sprintf("; and %d more are not: %s", n, someOf(unknown[1:]))
	}
	return fault.New(fault.Usage, hint, "%sno source %s is in %s%s", first.at(), first.name(),
		suite.Name, more)
}

// namedOfMany is how many of many sources are named.
const namedOfMany = 10

func someOf(picks []*pick) string {
	var names []string
	for _, p := range picks[:min(len(picks), namedOfMany)] {
		names = append(names, p.at()+p.spec)
	}
	if n := len(picks) - len(names); n > 0 {
		names = append(names, fmt.Sprintf("and %d more", n))
	}
	return strings.Join(names, ", ")
}

// pickSources finds out what a batch is of. The suite is nil where nothing of it is asked for, or
// where what it has cannot be found out now.
func (a *app) pickSources(ctx context.Context, args []string, o *batchOptions) (picks []pick,
	suite *pkgbuild.Suite, err error) {
	for _, spec := range args {
		picks = append(picks, pick{spec: spec})
	}
	if o.list != "" {
		listed, err := readList(o.list)
		if err != nil {
			return nil, nil, err
		}
		picks = append(picks, listed...)
	}
	if len(picks) == 0 && !o.selection.all {
		return nil, nil, usage("nsbuild batch SOURCE..., --list FILE, or -d SUITE --all",
			"batch: of which sources?")
	}
	env, err := a.opened(ctx)
	if err != nil {
		return nil, nil, err
	}
	if picks, err = once(picks, env.Log); err != nil {
		return nil, nil, err
	}
	if !o.selection.all && !slices.ContainsFunc(picks, func(p pick) bool { return p.name() != "" }) {
		return picks, nil, nil
	}
	ph := env.Progress.Phase("sources")
	suite, err = env.Suite(ctx, a.buildFlags.Request)
	if ph.Done(err); err != nil {
		if o.selection.all || ctx.Err() != nil || !pkgbuild.Transient(err) {
			return nil, nil, err
		}
		env.Log.Warnf("names of sources are not looked up: %v", err)
		return picks, nil, nil
	}
	if o.selection.all {
		chosen, err := o.selection.choose(suite.Sources)
		if err != nil {
			return nil, nil, err
		}
		picks = withChosen(picks, chosen)
	}
	return picks, suite, known(picks, suite, env.Log)
}

// withChosen adds what a list has not named with options of its own.
func withChosen(picks, chosen []pick) []pick {
	named := map[string]bool{}
	for _, p := range picks {
		named[p.spec] = true
	}
	for _, p := range chosen {
		if !named[p.spec] {
			picks = append(picks, p)
		}
	}
	return picks
}

// sourcesOf are the sources of a batch, with what is known of their last builds.
func (n needs) sourcesOf(picks []pick) (all []batch.Source) {
	for _, p := range picks {
		s := n.source(p.spec)
		s.Options, s.Skip = p.options, p.skip
		all = append(all, s)
	}
	return all
}
