package sbuild

import (
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"nsbuild/internal/buildroot"
	"nsbuild/internal/compat"
	"nsbuild/internal/fault"
	"nsbuild/internal/hook"
)

// optionValue is the value of an option of sbuild's: it does its work as soon as it is met, so that
// what comes later on the command line counts.
type optionValue struct {
	s    *Call
	set  func(string) error
	bare bool // it takes no value
}

// Set keeps errors for later: they are sentences of their own.
func (v optionValue) Set(text string) error {
	if err := v.set(text); err != nil && v.s.wrong == nil {
		v.s.wrong = err
	}
	return nil
}

func (v optionValue) String() string { return "" }

func (v optionValue) Type() string {
	if v.bare {
		return "bool"
	}
	return "VALUE" // as help names it, where the option has no better name for it
}

// Flags are sbuild's options.
func (s *Call) Flags() *pflag.FlagSet {
	o := options{s, pflag.NewFlagSet(Name, pflag.ContinueOnError)}
	o.f.SortFlags = false
	o.f.Usage = func() {}
	o.addGeneral()
	o.addWhat()
	o.addNames()
	o.addTools()
	o.addDependencies()
	o.addResults()
	o.addHooks()
	o.addRefused()
	o.addIdle()
	compat.Abbreviate(o.f)
	return o.f
}

// options is sbuild's options while they are put together, in the order in which help lists them.
type options struct {
	s *Call
	f *pflag.FlagSet
}

// add adds an option that does its own work; a bare one takes no value.
func (o options) add(name, short, usage string, bare bool, set func(string) error) {
	flag := o.f.VarPF(optionValue{o.s, set, bare}, name, short, usage)
	if bare {
		flag.NoOptDefVal = "true"
	}
}

// text adds an option whose value is that of a key of the configuration.
func (o options) text(name, short, key, usage string) {
	o.add(name, short, usage, false, func(v string) error {
		o.s.setText(key, v, name)
		return nil
	})
}

// bit adds an option that sets a key, or takes it back.
func (o options) bit(name, short, key string, value bool, usage string) {
	o.add(name, short, usage, true, func(string) error {
		o.s.flag(key, value)
		o.s.given(key, name)
		return nil
	})
}

// list adds an option that adds to a key: its value, or the words of it.
func (o options) list(name, key, usage string, split bool) {
	o.add(name, "", usage, false, func(v string) error {
		if split {
			o.s.list[key] = append(o.s.list[key], strings.Fields(v)...)
		} else {
			o.s.list[key] = append(o.s.list[key], v)
		}
		return nil
	})
}

// nothing adds an option that is accepted and does nothing.
func (o options) nothing(name, short string, bare bool) {
	o.add(name, short, "accepted (no meaning here)", bare, func(string) error {
		o.s.idle = append(o.s.idle, "--"+name)
		return nil
	})
}

// never adds an option that is refused, but for the values that mean what is done anyway.
func (o options) never(name, usage, way string, bare bool, usual ...string) {
	o.add(name, "", usage+" (refused)", bare, func(v string) error {
		if slices.Contains(usual, v) {
			return nil
		}
		return fault.New(fault.Usage, way,
			"--%s cannot be had here, and would change the result", name)
	})
}

// addGeneral adds what is shown, and how much.
func (o options) addGeneral() {
	o.f.BoolVarP(&o.s.Help, "help", "h", false, "show this")
	o.f.BoolVarP(&o.s.Version, "version", "V", false, "show the version")
	o.add("verbose", "v", "show the log on standard output", true, func(string) error {
		o.s.verbose++
		return nil
	})
	o.add("quiet", "q", "show less", true, func(string) error {
		o.s.verbose--
		o.s.quiet = true
		return nil
	})
	o.add("debug", "D", "show the nsbuild command, and what is done", true, func(string) error {
		o.s.setText("debug", "1", "debug")
		return nil
	})
}

// addWhat adds what is built, and for what.
func (o options) addWhat() {
	o.add("dist", "d", "`SUITE` to build for", false, func(v string) error {
		if long, ok := map[string]string{"o": "oldstable", "s": "stable", "t": "testing",
			"u": "unstable", "e": "experimental"}[v]; ok {
			v = long
		}
		o.s.setText("distribution", v, "dist")
		return nil
	})
	o.text("chroot", "c", "chroot", "`BASE` to build over")
	o.add("arch", "", "build on and for `ARCH`", false, func(v string) error {
		o.s.setText("host_arch", v, "arch")
		o.s.setText("build_arch", v, "arch")
		return nil
	})
	o.text("build", "", "build_arch", "build on `ARCH`")
	o.text("host", "", "host_arch", "build for `ARCH`")
	o.bit("arch-all", "A", "build_arch_all", true, "build architecture-independent packages")
	o.bit("no-arch-all", "", "build_arch_all", false, "do not")
	o.bit("arch-any", "", "build_arch_any", true, "build architecture-dependent packages")
	o.bit("no-arch-any", "", "build_arch_any", false, "do not")
	o.bit("source", "s", "build_source", true, "build the source package too")
	o.bit("no-source", "", "build_source", false, "do not")
	o.bit("force-orig-source", "", "force_orig_source", true,
		"with --source: the .orig tarball always")
	o.bit("source-only-changes", "", "source_only_changes", true,
		"a .changes for an upload of the source alone, too")
	o.bit("no-source-only-changes", "", "source_only_changes", false, "not that")
	o.add("profiles", "", "build `PROFILES`, separated by commas", false, func(v string) error {
		o.s.setText("build_profiles", strings.ReplaceAll(v, ",", " "), "profiles")
		return nil
	})
}

// addNames adds the versions and names that the results bear.
func (o options) addNames() {
	o.text("make-binNMU", "", "bin_nmu",
		"make a binary-only upload, with `TEXT` as its changelog entry")
	o.text("binNMU", "", "bin_nmu_version", "its number, `N`")
	o.text("binNMU-timestamp", "", "bin_nmu_timestamp", "the `DATE` of its changelog entry")
	o.text("binNMU-changelog", "", "bin_nmu_changelog", "the whole `ENTRY`")
	o.text("append-to-version", "", "append_to_version", "`SUFFIX` for the version")
	o.text("maintainer", "m", "maintainer_name", "`MAINTAINER` for the .changes, as NAME <ADDRESS>")
	o.text("uploader", "e", "uploader_name", "`UPLOADER` for the .changes")
	o.text("keyid", "k", "key_id", "`KEY` for signing, where $pgp_options ask for that")
}

// addTools adds how the tools that build are called.
func (o options) addTools() {
	o.add("jobs", "j", "`N` processes may be used by the build", false, func(v string) error {
		if _, err := strconv.Atoi(v); err != nil {
			return fault.New(fault.Usage, "", "--jobs %q: a number is expected", v)
		}
		o.s.setText("jobs", v, "jobs")
		return nil
	})
	o.list("debbuildopt", "dpkg_buildpackage_user_options", "`OPTION` for dpkg-buildpackage", false)
	o.list("debbuildopts", "dpkg_buildpackage_user_options", "`OPTIONS` for it", true)
	o.list("dpkg-source-opt", "dpkg_source_opts", "`OPTION` for dpkg-source", false)
	o.list("dpkg-source-opts", "dpkg_source_opts", "`OPTIONS` for it", true)
}

// addDependencies adds what is installed for the build.
func (o options) addDependencies() {
	for _, kind := range []string{"depends", "conflicts"} {
		for _, part := range []string{"", "-arch", "-indep"} {
			o.list("add-"+kind+part, "manual_"+kind+strings.ReplaceAll(part, "-", "_"),
				"further build `RELATION`", false)
		}
	}
	o.text("build-dep-resolver", "", "build_dep_resolver",
		"`NAME` of what finds the build dependencies: apt, aptitude, aspcud or null")
	o.text("bd-uninstallable-explainer", "", "bd_uninstallable_explainer",
		"`NAME` of what explains why they cannot be installed: dose3, apt or none")
	o.text("aspcud-criteria", "", "aspcud_criteria", "`CRITERIA` of the resolver aspcud")
	o.bit("resolve-alternatives", "", "resolve_alternatives", true, "take any alternative")
	o.bit("no-resolve-alternatives", "", "resolve_alternatives", false, "take the first alternative")
	o.list("extra-package", "extra_packages", "further `DEB`, or a directory with such", false)
	o.list("extra-repository", "extra_repositories", "further `REPOSITORY`", false)
	o.list("extra-repository-key", "extra_repository_keys", "`FILE` with the key of such", false)
}

// addResults adds where results go, and what looks at them.
func (o options) addResults() {
	o.text("build-dir", "", "build_dir", "`DIR` for the results")
	o.bit("nolog", "n", "nolog", true, "write no log; show it")
	o.bit("run-lintian", "", "run_lintian", true, "run lintian over the results")
	o.bit("no-run-lintian", "", "run_lintian", false, "do not")
	o.list("lintian-opt", "lintian_opts", "`OPTION` for lintian", false)
	o.list("lintian-opts", "lintian_opts", "`OPTIONS` for it", true)
	o.bit("run-piuparts", "", "run_piuparts", true, "run piuparts over the results")
	o.bit("no-run-piuparts", "", "run_piuparts", false, "do not")
	o.list("piuparts-opt", "piuparts_opts", "`OPTION` for piuparts", false)
	o.list("piuparts-opts", "piuparts_opts", "`OPTIONS` for it", true)
	o.bit("run-autopkgtest", "", "run_autopkgtest", true, "run the package's tests")
	o.bit("no-run-autopkgtest", "", "run_autopkgtest", false, "do not")
}

// addHooks adds the commands that run at moments of a build.
func (o options) addHooks() {
	for _, k := range hook.Commands() {
		o.add(k.Option, "", "`COMMAND` to run at that moment", false, func(v string) error {
			return o.s.addCommand(k.Option, v, "--"+k.Option, "")
		})
	}
	o.add("setup-hook", "", "the same as --chroot-setup-commands `COMMAND`", false,
		func(v string) error {
			return o.s.addCommand("chroot-setup-commands", v, "--setup-hook", "")
		})
}

// addRefused adds what cannot be had here.
func (o options) addRefused() {
	o.never("build-path", "where the package is built in the jail", "it is always "+buildroot.Dir,
		false, "", buildroot.Dir)
	o.never("dsc-dir", "name of the unpacked source", "leave it out", false, "")
	o.never("dpkg-file-suffix", "suffix for the results", "name the results apart with --build-dir",
		false, "")
	o.never("use-snapshot", "use gcc-snapshot", "choose the compiler in debian/rules, or in a hook",
		true)
	o.never("enable-network", "let the build use the network",
		"hooks get it from “nsbuild build --hook-network”, the build never", true)
	o.never("sbuild-mode", "user or buildd", "user is the only mode", false, "user")
}

// addIdle adds what has no meaning here.
func (o options) addIdle() {
	for _, n := range []struct {
		name, short string
		bare        bool
	}{
		{"no-enable-network", "", true}, {"archive", "", false}, {"chroot-mode", "", false},
		{"autopkgtest-virt-server", "", false}, {"autopkgtest-virt-server-opt", "", false},
		{"autopkgtest-virt-server-opts", "", false}, {"batch", "b", true}, {"apt-clean", "", true},
		{"no-apt-clean", "", true}, {"apt-update", "", true}, {"no-apt-update", "", true},
		{"apt-upgrade", "", true}, {"no-apt-upgrade", "", true}, {"apt-distupgrade", "", true},
		{"no-apt-distupgrade", "", true}, {"clean-source", "", true}, {"no-clean-source", "", true},
		{"purge", "p", false}, {"purge-build", "", false}, {"purge-deps", "", false},
		{"purge-session", "", false}, {"purge-extra-packages", "", true},
		{"mail-log-to", "", false}, {"mailfrom", "", false}, {"stats-dir", "", false},
		{"hide-log-sections", "", false},
		{"piuparts-root-arg", "", false}, {"piuparts-root-args", "", false},
		{"autopkgtest-opt", "", false}, {"autopkgtest-opts", "", false},
		{"autopkgtest-root-arg", "", false},
		{"autopkgtest-root-args", "", false}, {"chroot-update-failed-commands", "", false},
		{"log-external-command-output", "", true}, {"log-external-command-error", "", true},
		{"log-filename-ts-format", "", false},
		{"apt-distclean", "", true}, {"no-apt-distclean", "", true},
	} {
		o.nothing(n.name, n.short, n.bare)
	}
}

// contradiction finds an option that was given with its opposite.
func contradiction(f *pflag.FlagSet) (err error) {
	f.Visit(func(flag *pflag.Flag) {
		positive, ok := strings.CutPrefix(flag.Name, "no-")
		if !ok || err != nil || positive == "source-only-changes" {
			return
		}
		if other := f.Lookup(positive); other != nil && other.Changed {
			err = fault.New(fault.Usage, "", "--%s cannot be used together with --%s", flag.Name,
				positive)
		}
	})
	return err
}
