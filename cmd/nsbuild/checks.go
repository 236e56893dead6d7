package main

import (
	"strings"

	"github.com/spf13/pflag"

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
	_, ours := splitPiuparts(c.PiupartsOpts)
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
		c.FailOn = pkgbuild.OutcomeFail
	case "warning":
		c.FailOn = pkgbuild.OutcomeWarn
	default:
		return fault.New(fault.Usage, "error or warning", "--fail-on %q is not known", o.failOn)
	}
	return nil
}

// Options of piuparts (piuparts(1)) that say what nsbuild says: which base it starts from, where
// packages come from, and where it works. Without a value are -a, -p and their long forms.
const (
	piupartsOurs   = "abdeKmpt"
	piupartsValues = "bBdDeiIKlmsSt" // that take a value, ours or not
)

var piupartsOursLong = []string{
	"--apt", "--arch", "--basetgz", "--bootstrapcmd", "--distribution", "--docker-image",
	"--existing-chroot", "--extra-repo", "--keyring", "--lvm-snapshot-size", "--lvm-volume",
	"--mirror", "--pbuilder", "--proxy", "--schroot", "--testdebs-repo", "--tmpdir",
}

// splitPiuparts tells options of piuparts from those that nsbuild gives it itself. The latter come
// without their values.
func splitPiuparts(options []string) (theirs, ours []string) {
	for i := 0; i < len(options); i++ {
		isOurs, value := piupartsOption(options[i])
		if !isOurs {
			theirs = append(theirs, options[i])
			continue
		}
		ours = append(ours, options[i])
		if value {
			i++
		}
	}
	return theirs, ours
}

// piupartsOption tells whether a word is an option that is ours, and whether its value is the next
// word.
func piupartsOption(word string) (ours, value bool) {
	if name, _, joined := strings.Cut(word, "="); strings.HasPrefix(name, "--") {
		for _, o := range piupartsOursLong { // which may be shortened
			if len(name) > 3 && strings.HasPrefix(o, name) {
				return true, !joined && o != "--apt" && o != "--pbuilder"
			}
		}
		return false, false
	}
	if !strings.HasPrefix(word, "-") {
		return false, false
	}
	for i, letter := range word[1:] { // several may be joined
		ours = ours || strings.ContainsRune(piupartsOurs, letter)
		if strings.ContainsRune(piupartsValues, letter) {
			return ours, ours && i == len(word)-2
		}
	}
	return ours, false
}
