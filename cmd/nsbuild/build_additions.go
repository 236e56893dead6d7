package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"nsbuild/internal/buildlog"
	"nsbuild/internal/fault"
	"nsbuild/internal/machine"
	"nsbuild/internal/pkgbuild"
)

// additionOptions are the flags that bring in packages from elsewhere.
type additionOptions struct {
	components []string
	git        string
}

func (m *additionOptions) addFlags(f *pflag.FlagSet, o *pkgbuild.Several) {
	f.StringArrayVar(&o.Repositories, "extra-repository", nil, "take packages from this `REPOSITORY`"+
		", too: a line of sources.list, a deb822 paragraph, or a .list or .sources file")
	f.StringArrayVar(&o.RepositoryKeys, "extra-repository-key", nil,
		"let the keys in `FILE` sign further repositories that name none")
	f.StringArrayVar(&o.Packages, "extra-package", nil,
		"take this `DEB`, too, or all of a directory")
	f.StringArrayVar(&o.Pins, "pin", nil,
		"prefer packages as this `ENTRY` says: 'PACKAGE... release n=NAME PRIORITY'")
	f.StringSliceVar(&m.components, "components", nil, "use these `COMPONENTS` of the suite, with "+
		"commas between them (default: main; of Ubuntu main and universe)")
	f.StringArrayVar(&o.Include, "include", nil,
		"install these `PACKAGES`, too, with commas between them")
	f.StringArrayVar(&o.AddDepends, "add-depends", nil, "add `RELATION` to Build-Depends")
	f.StringArrayVar(&o.AddDependsArch, "add-depends-arch", nil,
		"add `RELATION` to Build-Depends-Arch")
	f.StringArrayVar(&o.AddDependsIndep, "add-depends-indep", nil,
		"add `RELATION` to Build-Depends-Indep")
	f.StringArrayVar(&o.AddConflicts, "add-conflicts", nil, "add `RELATION` to Build-Conflicts")
	f.StringArrayVar(&o.AddConflictsArch, "add-conflicts-arch", nil,
		"add `RELATION` to Build-Conflicts-Arch")
	f.StringArrayVar(&o.AddConflictsIndep, "add-conflicts-indep", nil,
		"add `RELATION` to Build-Conflicts-Indep")
	f.StringVar(&m.git, "git", "", "build a source directory as git has it; `WHAT` is head (the "+
		"last commit) or index")
	f.Lookup("git").NoOptDefVal = "head"
	f.StringVar(&o.Arch, "arch", "",
		"build on and for `ARCH`, or for several, with commas "+
			"between them (default: the machine's own, "+machine.Native()+")")
	f.StringVar(&o.Host, "host", "", "build for `ARCH`, by cross compiling")
	f.StringVar(&o.Resolver, "build-dep-resolver", "", "let `NAME` find the build dependencies: "+
		"apt, aptitude, aspcud or aspcud:CRITERIA, or null, which installs none (default: apt; for "+
		"backports and experimental aptitude)")
	f.StringVar(&o.Explainer, "bd-uninstallable-explainer", "", "let `NAME` explain why build "+
		"dependencies cannot be installed: apt, dose3 (which is installed for that) or none "+
		"(default: apt)")
	f.StringVar(&o.Alternatives, "resolve-alternatives", "", "`WHICH` alternative of a build "+
		"dependency counts: yes any, no the first (default: with aptitude any, with apt the first)")
	f.Lookup("resolve-alternatives").NoOptDefVal = pkgbuild.AnyAlternative
	f.BoolVar(&o.Chain, "chain", false,
		"build each source with the packages of those before it; stop at the first failure")
}

// complete reads those that are lists in one word.
func (m *additionOptions) complete(o *pkgbuild.Several) {
	o.Git = strings.ToUpper(m.git)
	for _, c := range m.components {
		if c = strings.TrimSpace(c); c != "" && !slices.Contains(o.Components, c) {
			o.Components = append(o.Components, c)
		}
	}
}

// buildChain builds sources in their order, each with the packages of those before it. What comes
// after a failure may need what is missing, so nothing of it is tried.
func (a *app) buildChain(ctx context.Context, env *pkgbuild.Env, s *pkgbuild.Several) error {
	var built []string
	for i, r := range s.Each() {
		r.Packages = slices.Concat(r.Packages, built)
		outcome, err := a.buildOne(ctx, env, i, r, func(err error) error {
			if rest := s.Sources[i+1:]; len(rest) > 0 && ctx.Err() == nil {
				a.leaveOut(s, i)
				return fault.Wrap(fault.KindOf(err), "",
					fmt.Errorf("%s (and so not %s): %w", r.From, strings.Join(rest, ", "), err))
			}
			return err
		})
		if err != nil {
			return err
		}
		if outcome.Status == buildlog.Skipped {
			continue
		}
		for _, file := range outcome.Artefacts {
			if filepath.Ext(file) == ".deb" {
				built = append(built, file)
			}
		}
	}
	return nil
}

// leaveOut has the results of those that come in a chain after one that failed say so.
func (a *app) leaveOut(s *pkgbuild.Several, failed int) {
	for i, r := range s.Each() {
		if i > failed {
			a.result.note(i, pkgbuild.Unbegun(program(), r, fault.New(fault.GivenBack, "",
				"it was not begun: %s failed, which comes before it", s.Sources[failed])).Result)
		}
	}
}
