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
	f.StringArrayVar(&o.Repositories, "extra-repository", nil, "further repository: a line of "+
		"sources.list, a deb822 paragraph, or a .list or .sources file")
	f.StringArrayVar(&o.RepositoryKeys, "extra-repository-key", nil,
		"file with keys that may sign further repositories which name none")
	f.StringArrayVar(&o.Packages, "extra-package", nil,
		"further package: a .deb, or a directory with such")
	f.StringArrayVar(&o.Pins, "pin", nil, "preference of apt: 'PACKAGE… release n=NAME PRIORITY'")
	f.StringSliceVar(&m.components, "components", nil, "components of the suite, separated by "+
		"commas (default: main; for Ubuntu main and universe)")
	f.StringArrayVar(&o.Include, "include", nil,
		"packages to be there besides the build dependencies, separated by commas")
	f.StringArrayVar(&o.AddDepends, "add-depends", nil, "further Build-Depends")
	f.StringArrayVar(&o.AddDependsArch, "add-depends-arch", nil, "further Build-Depends-Arch")
	f.StringArrayVar(&o.AddDependsIndep, "add-depends-indep", nil, "further Build-Depends-Indep")
	f.StringArrayVar(&o.AddConflicts, "add-conflicts", nil, "further Build-Conflicts")
	f.StringArrayVar(&o.AddConflictsArch, "add-conflicts-arch", nil, "further Build-Conflicts-Arch")
	f.StringArrayVar(&o.AddConflictsIndep, "add-conflicts-indep", nil,
		"further Build-Conflicts-Indep")
	f.StringVar(&m.git, "git", "",
		"build a source directory as git has it: head (the last commit) or index")
	f.Lookup("git").NoOptDefVal = "head"
	f.StringVar(&o.Arch, "arch", "",
		"architecture to build on and for (default: the machine's own, "+machine.Native()+")")
	f.StringVar(&o.Host, "host", "", "architecture to build for, by cross compiling")
	f.StringVar(&o.Resolver, "build-dep-resolver", "", "what finds the build dependencies: apt "+
		"or aptitude (default: apt; for backports and experimental aptitude)")
	f.StringVar(&o.Alternatives, "resolve-alternatives", "",
		"take any alternative of a build dependency, or the first (=no); by itself aptitude "+
			"takes any, apt the first")
	f.Lookup("resolve-alternatives").NoOptDefVal = pkgbuild.AnyAlternative
	f.BoolVar(&o.Chain, "chain", false,
		"let each source be built with the packages of those before it; stop at the first failure")
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
		outcome, err := env.Build(ctx, r)
		if outcome != nil {
			a.tell(env, outcome, err)
		}
		if err != nil {
			if rest := s.Sources[i+1:]; len(rest) > 0 && ctx.Err() == nil {
				return fault.Wrap(fault.KindOf(err), "",
					fmt.Errorf("%s (and so not %s): %w", r.From, strings.Join(rest, ", "), err))
			}
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
