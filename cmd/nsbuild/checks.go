package main

import (
	"strings"

	"github.com/spf13/pflag"

	"nsbuild/internal/checks"
	"nsbuild/internal/fault"
	"nsbuild/internal/pkgbuild"
)

// checkOptions are the flags of what is done after a build, as they are typed.
type checkOptions struct {
	lintianOpts  string
	piupartsOpts string
	failOn       string
}

func (o *checkOptions) addFlags(f *pflag.FlagSet, c *pkgbuild.Checks) {
	f.BoolVar(&c.Lintian, "run-lintian", false,
		"run lintian over what was built, in a jail of its own")
	f.StringArrayVar(&c.LintianOpts, "lintian-opt", nil, "give lintian this option")
	f.StringVar(&o.lintianOpts, "lintian-opts", "",
		"give lintian these options, separated by blanks")
	f.BoolVar(&c.Autopkgtest, "run-autopkgtest", false, "run the package's tests (debian/tests), "+
		"each in a jail with what was built installed, without network")
	f.BoolVar(&c.CheckInstall, "check-install", false,
		"install what was built in a fresh jail, purge it again, and look at what that leaves")
	f.BoolVar(&c.Piuparts, "run-piuparts", false, "run piuparts over what was built, in a jail "+
		"of its own that reaches the suite's packages and nothing else")
	f.StringArrayVar(&c.PiupartsOpts, "piuparts-opt", nil, "give piuparts this option")
	f.StringVar(&o.piupartsOpts, "piuparts-opts", "",
		"give piuparts these options, separated by blanks")
	f.StringVar(&o.failOn, "fail-on", "",
		"let the build fail when a check fails (error), or when it warns, too (warning)")
}

// complete checks the flags and fills in what follows from them.
func (o *checkOptions) complete(c *pkgbuild.Checks) error {
	c.LintianOpts = append(c.LintianOpts, strings.Fields(o.lintianOpts)...)
	c.PiupartsOpts = append(c.PiupartsOpts, strings.Fields(o.piupartsOpts)...)
	_, ours := checks.SplitPiuparts(c.PiupartsOpts)
	switch {
	case len(c.LintianOpts) > 0 && !c.Lintian:
		return fault.New(fault.Usage, "--run-lintian",
			"there are options for lintian, which is not to be run")
	case len(c.PiupartsOpts) > 0 && !c.Piuparts:
		return fault.New(fault.Usage, "--run-piuparts",
			"there are options for piuparts, which is not to be run")
	case len(ours) > 0:
		return fault.New(fault.Usage, "leave it out", "--piuparts-opt %s: piuparts gets its "+
			"base, its packages and its directories from nsbuild", ours[0])
	case o.failOn != "" && !c.Lintian && !c.Autopkgtest && !c.CheckInstall && !c.Piuparts:
		return fault.New(fault.Usage,
			"--run-lintian, --run-autopkgtest, --run-piuparts or --check-install",
			"--fail-on: no check is to be made")
	}
	switch o.failOn {
	case "":
	case "error":
		c.FailOn = checks.OutcomeFail
	case "warning":
		c.FailOn = checks.OutcomeWarn
	default:
		return fault.New(fault.Usage, "error or warning", "--fail-on %q is not known", o.failOn)
	}
	return nil
}
