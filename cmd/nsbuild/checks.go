package main

import (
	"strings"

	"github.com/spf13/pflag"

	"nsbuild/internal/pkgbuild"
)

// checkOptions are the flags of what is done after a build, as they are typed.
type checkOptions struct {
	lintianOpts  string
	piupartsOpts string
}

func (o *checkOptions) addFlags(f *pflag.FlagSet, c *pkgbuild.Checks) {
	f.BoolVar(&c.Lintian, "run-lintian", false, "run lintian over what was built")
	f.StringArrayVar(&c.LintianOpts, "lintian-opt", nil, "give lintian this `OPTION`")
	f.StringVar(&o.lintianOpts, "lintian-opts", "",
		"give lintian these `OPTIONS`, separated by blanks")
	f.BoolVar(&c.Autopkgtest, "run-autopkgtest", false,
		"run the package's tests (debian/tests), each in a sandbox of its own without network")
	f.BoolVar(&c.CheckNetwork, "check-network", false,
		"give tests that need the internet the host's network (--run-autopkgtest)")
	f.StringVar(&c.Artifacts, "artifacts", "",
		"put what tests leave for people below `DIR` (--run-autopkgtest)")
	f.BoolVar(&c.CheckInstall, "check-install", false,
		"install what was built in a fresh sandbox, purge it, and list what is left")
	f.BoolVar(&c.Piuparts, "run-piuparts", false,
		"run piuparts over what was built; it reaches the suite's packages and nothing else")
	f.StringArrayVar(&c.PiupartsOpts, "piuparts-opt", nil, "give piuparts this `OPTION`")
	f.StringVar(&o.piupartsOpts, "piuparts-opts", "",
		"give piuparts these `OPTIONS`, separated by blanks")
	f.StringVar(&c.Compare, "compare", "", "say how what was built differs from `WHAT`: archive "+
		"(the suite's packages), previous (the results of the build before), or those of a directory")
	f.StringVar(&c.FailOn, "fail-on", "", "let the build fail when a check ends with "+
		"`LEVEL`: error, or warning, which errors are, too")
}

// complete adds the options that were given several in one word.
func (o *checkOptions) complete(c *pkgbuild.Checks) {
	c.LintianOpts = append(c.LintianOpts, strings.Fields(o.lintianOpts)...)
	c.PiupartsOpts = append(c.PiupartsOpts, strings.Fields(o.piupartsOpts)...)
}
