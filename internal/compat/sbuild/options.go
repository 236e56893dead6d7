package sbuild

import (
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
	return "string"
}

// Flags are sbuild's options.
func (s *Call) Flags() *pflag.FlagSet {
	f := pflag.NewFlagSet(Name, pflag.ContinueOnError)
	f.SortFlags = false
	f.Usage = func() {}
	add := func(name, short, usage string, bare bool, set func(string) error) {
		flag := f.VarPF(optionValue{s, set, bare}, name, short, usage)
		if bare {
			flag.NoOptDefVal = "true"
		}
	}
	text := func(name, short, key, usage string) {
		add(name, short, usage, false, func(v string) error { s.setText(key, v, name); return nil })
	}
	bit := func(name, short, key string, value bool, usage string) {
		add(name, short, usage, true, func(string) error {
			s.flag(key, value)
			s.given(key, name)
			return nil
		})
	}
	list := func(name, short, key, usage string, split bool) {
		add(name, short, usage, false, func(v string) error {
			if split {
				s.list[key] = append(s.list[key], strings.Fields(v)...)
			} else {
				s.list[key] = append(s.list[key], v)
			}
			return nil
		})
	}
	nothing := func(name, short, usage string, bare bool) {
		add(name, short, usage+" (no meaning here)", bare, func(string) error {
			s.idle = append(s.idle, "--"+name)
			return nil
		})
	}
	never := func(name, usage, way string, bare bool, usual ...string) {
		add(name, "", usage+" (refused)", bare, func(v string) error {
			for _, u := range usual {
				if v == u {
					return nil
				}
			}
			return fault.New(fault.Usage, way,
				"--%s cannot be had here, and would change the result", name)
		})
	}

	f.BoolVarP(&s.Help, "help", "h", false, "show this")
	f.BoolVarP(&s.Version, "version", "V", false, "show the version")
	add("verbose", "v", "show the log on standard output", true, func(string) error {
		s.verbose++
		return nil
	})
	add("quiet", "q", "show less", true, func(string) error {
		s.verbose--
		s.quiet = true
		return nil
	})
	add("debug", "D", "show the nsbuild command, and what is done", true, func(string) error {
		s.setText("debug", "1", "debug")
		return nil
	})

	add("dist", "d", "suite to build for", false, func(v string) error {
		if long, ok := map[string]string{"o": "oldstable", "s": "stable", "t": "testing",
			"u": "unstable", "e": "experimental"}[v]; ok {
			v = long
		}
		s.setText("distribution", v, "dist")
		return nil
	})
	text("chroot", "c", "chroot", "base to build over")
	add("arch", "", "architecture to build on and for", false, func(v string) error {
		s.setText("host_arch", v, "arch")
		s.setText("build_arch", v, "arch")
		return nil
	})
	text("build", "", "build_arch", "architecture to build on")
	text("host", "", "host_arch", "architecture to build for")
	bit("arch-all", "A", "build_arch_all", true, "build architecture-independent packages")
	bit("no-arch-all", "", "build_arch_all", false, "do not")
	bit("arch-any", "", "build_arch_any", true, "build architecture-dependent packages")
	bit("no-arch-any", "", "build_arch_any", false, "do not")
	bit("source", "s", "build_source", true, "build the source package too")
	bit("no-source", "", "build_source", false, "do not")
	bit("force-orig-source", "", "force_orig_source", true,
		"with --source: the .orig tarball always")
	bit("source-only-changes", "", "source_only_changes", true,
		"a .changes for an upload of the source alone, too")
	bit("no-source-only-changes", "", "source_only_changes", false, "not that")
	add("profiles", "", "build profiles, separated by commas", false, func(v string) error {
		s.setText("build_profiles", strings.ReplaceAll(v, ",", " "), "profiles")
		return nil
	})
	text("make-binNMU", "", "bin_nmu", "make a binary-only upload for this change")
	text("binNMU", "", "bin_nmu_version", "its number")
	text("binNMU-timestamp", "", "bin_nmu_timestamp", "the date of its changelog entry")
	text("binNMU-changelog", "", "bin_nmu_changelog", "the whole entry")
	text("append-to-version", "", "append_to_version", "suffix for the version")
	text("maintainer", "m", "maintainer_name", "NAME <ADDRESS> for the .changes")
	text("uploader", "e", "uploader_name", "who uploads, for the .changes")
	text("keyid", "k", "key_id", "key for signing, where $pgp_options ask for that")
	add("jobs", "j", "processes that the build may use", false, func(v string) error {
		if _, err := strconv.Atoi(v); err != nil {
			return fault.New(fault.Usage, "", "--jobs %q: a number is expected", v)
		}
		s.setText("jobs", v, "jobs")
		return nil
	})
	list("debbuildopt", "", "dpkg_buildpackage_user_options", "option for dpkg-buildpackage", false)
	list("debbuildopts", "", "dpkg_buildpackage_user_options", "options for it", true)
	list("dpkg-source-opt", "", "dpkg_source_opts", "option for dpkg-source", false)
	list("dpkg-source-opts", "", "dpkg_source_opts", "options for it", true)
	for _, kind := range []string{"depends", "conflicts"} {
		for _, part := range []string{"", "-arch", "-indep"} {
			list("add-"+kind+part, "", "manual_"+kind+strings.ReplaceAll(part, "-", "_"),
				"further build relation", false)
		}
	}
	text("build-dep-resolver", "", "build_dep_resolver", "apt or aptitude")
	bit("resolve-alternatives", "", "resolve_alternatives", true, "take any alternative")
	bit("no-resolve-alternatives", "", "resolve_alternatives", false, "take the first alternative")
	list("extra-package", "", "extra_packages", "further package, or a directory with such", false)
	list("extra-repository", "", "extra_repositories", "further repository", false)
	list("extra-repository-key", "", "extra_repository_keys", "key of such", false)
	text("build-dir", "", "build_dir", "directory for the results")
	bit("nolog", "n", "nolog", true, "write no log; show it")
	bit("run-lintian", "", "run_lintian", true, "run lintian over the results")
	bit("no-run-lintian", "", "run_lintian", false, "do not")
	list("lintian-opt", "", "lintian_opts", "option for lintian", false)
	list("lintian-opts", "", "lintian_opts", "options for it", true)
	bit("run-piuparts", "", "run_piuparts", true, "run piuparts over the results")
	bit("no-run-piuparts", "", "run_piuparts", false, "do not")
	list("piuparts-opt", "", "piuparts_opts", "option for piuparts", false)
	list("piuparts-opts", "", "piuparts_opts", "options for it", true)
	bit("run-autopkgtest", "", "run_autopkgtest", true, "run the package's tests")
	bit("no-run-autopkgtest", "", "run_autopkgtest", false, "do not")
	for _, k := range hook.Commands() {
		add(k.Option, "", "command to run at that moment", false, func(v string) error {
			return s.addCommand(k.Option, v, "--"+k.Option, "")
		})
	}
	add("setup-hook", "", "the same as --chroot-setup-commands", false, func(v string) error {
		return s.addCommand("chroot-setup-commands", v, "--setup-hook", "")
	})
	never("build-path", "where the package is built in the jail", "it is always "+buildroot.Dir,
		false, "", buildroot.Dir)
	never("dsc-dir", "name of the unpacked source", "leave it out", false, "")
	never("dpkg-file-suffix", "suffix for the results", "name the results apart with --build-dir",
		false, "")
	never("use-snapshot", "use gcc-snapshot", "choose the compiler in debian/rules, or in a hook",
		true)
	never("enable-network", "let the build use the network",
		"hooks get it from “nsbuild build --hook-network”, the build never", true)
	never("sbuild-mode", "user or buildd", "user is the only mode", false, "user")
	for _, o := range []struct {
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
		{"aspcud-criteria", "", false},
		{"mail-log-to", "", false}, {"mailfrom", "", false}, {"stats-dir", "", false},
		{"hide-log-sections", "", false},
		{"piuparts-root-arg", "", false}, {"piuparts-root-args", "", false},
		{"autopkgtest-opt", "", false}, {"autopkgtest-opts", "", false},
		{"autopkgtest-root-arg", "", false},
		{"autopkgtest-root-args", "", false}, {"chroot-update-failed-commands", "", false},
		{"log-external-command-output", "", true}, {"log-external-command-error", "", true},
		{"bd-uninstallable-explainer", "", false}, {"log-filename-ts-format", "", false},
		{"apt-distclean", "", true}, {"no-apt-distclean", "", true},
	} {
		nothing(o.name, o.short, "accepted", o.bare)
	}
	compat.Abbreviate(f)
	return f
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
