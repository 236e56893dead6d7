package main

import (
	"strings"

	"github.com/spf13/pflag"

	"nsbuild/internal/build"
	"nsbuild/internal/fault"
)

// checkOptions are the flags of what is done after a build, as they are typed.
type checkOptions struct {
	lintianOpts string
	failOn      string
	piuparts    bool
}

func (o *checkOptions) addFlags(f *pflag.FlagSet, c *build.Checks) {
	f.BoolVar(&c.Lintian, "run-lintian", false, "run lintian over what was built, in a jail of its own")
	f.StringArrayVar(&c.LintianOpts, "lintian-opt", nil, "give lintian this option")
	f.StringVar(&o.lintianOpts, "lintian-opts", "", "give lintian these options, separated by blanks")
	f.BoolVar(&c.Autopkgtest, "run-autopkgtest", false, "run the package's tests (debian/tests), each in a jail with what was built installed, without network")
	f.BoolVar(&c.CheckInstall, "check-install", false, "install what was built in a fresh jail, purge it again, and look at what that leaves")
	f.StringVar(&o.failOn, "fail-on", "", "let the build fail when a check fails (error), or when it warns, too (warning)")
	f.BoolVar(&o.piuparts, "run-piuparts", false, "refused: see --check-install")
}

// complete checks the flags and fills in what follows from them.
func (o *checkOptions) complete(c *build.Checks) error {
	if o.piuparts {
		return fault.New(fault.Usage, "--check-install installs, removes, upgrades and purges in jails; piuparts itself runs on the host by --post-build-commands 'sudo piuparts %c'",
			"--run-piuparts: piuparts wants to download what it installs, and to mount a /proc of its own; a jail has no network, and the kernel refuses it that mount")
	}
	c.LintianOpts = append(c.LintianOpts, strings.Fields(o.lintianOpts)...)
	switch {
	case len(c.LintianOpts) > 0 && !c.Lintian:
		return fault.New(fault.Usage, "--run-lintian", "there are options for lintian, which is not to be run")
	case o.failOn != "" && !c.Lintian && !c.Autopkgtest && !c.CheckInstall:
		return fault.New(fault.Usage, "--run-lintian, --run-autopkgtest or --check-install", "--fail-on: no check is to be made")
	}
	switch o.failOn {
	case "":
	case "error":
		c.FailOn = build.OutcomeFail
	case "warning":
		c.FailOn = build.OutcomeWarn
	default:
		return fault.New(fault.Usage, "error or warning", "--fail-on %q is not known", o.failOn)
	}
	return nil
}
