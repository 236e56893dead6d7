package sbuild

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"nsbuild/internal/fault"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// translated is what becomes of sbuild's command line and of configuration files.
func translated(t *testing.T, config string, args ...string) (string, *Call, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "sbuildrc")
	check(t, os.WriteFile(file, []byte(config), 0o644))
	s := New(nil, "/home/pete", io.Discard)
	if err := s.ReadConfig([]string{file}); err != nil {
		return "", s, err
	}
	sources, err := s.Parse(args)
	if err != nil {
		return "", s, err
	}
	command, err := s.Translate(strings.Join(sources, " "), false)
	return strings.TrimPrefix(commandLineOf(command), "build "), s, err
}

// TestSbuildTranslates makes flags of nsbuild's of options and keys of sbuild's.
func TestSbuildTranslates(t *testing.T) {
	for _, c := range []struct{ config, args, want, idle string }{
		{"", "-d sid x.dsc", "--dist=sid --run-lintian -- x.dsc", ""},
		{"", "--dist u --no-run-lintian hello_2.10-3", "--dist=unstable -- hello=2.10-3", ""},
		{"$distribution = 'sid'; $run_lintian = 0; $build_arch_all = 0;", "-As x",
			"--dist=sid --arch-all --source=true -- x", ""},
		{"$distribution = 'sid'; $run_lintian = 0; $build_source = 1; $build_arch_all = 1;",
			"-d trixie --no-source --no-arch-any x",
			"--dist=trixie --arch-all --no-arch-any --source=false -- x", ""},
		{"$run_lintian = 0; $build_source = 1; $build_arch_all = 1; $maintainer_name = 'A <a@b>';",
			"--make-binNMU=Why --binNMU 3 x",
			"--source=false --make-binNMU=Why '--maintainer=A <a@b>' --binNMU=3 -- x", ""},
		{"$force_orig_source = 1; $run_lintian = 0;",
			"-s --source-only-changes -j4 --debbuildopts -v1", "--source=true --debbuildopt=-sa " +
				"--source-only-changes=true --debbuildopt=-v1 --jobs=4 -- ''", ""},
		{"$dpkg_buildpackage_user_options = ['-j8', '-v1']; $run_lintian = 0;", "x",
			"--debbuildopt=-v1 --jobs=8 -- x", ""},
		{"$run_lintian = 0;", "--arch i386 -c bookworm-i386-sbuild -d bookworm x",
			"--dist=bookworm --arch=i386 -- x", ""},
		{"$run_lintian = 0;", "--host arm64 --profiles=a,b -c chroot:mine x",
			"--host=arm64 --base=mine --no-arch-all '--profiles=a b' -- x", ""},
		{"$lintian_opts = ['-i']; $lintian_require_success = 1;",
			"--lintian-opts '-I --pedantic' x", "--run-lintian --fail-on=error --lintian-opt=-i " +
				"--lintian-opt=-I --lintian-opt=--pedantic -- x", ""},
		{"$run_lintian = 0; $run_piuparts = 1; $run_autopkgtest = 1;", "x",
			"--run-piuparts --run-autopkgtest -- x", ""},
		{"$run_lintian = 0; $run_piuparts = 1; $piuparts_opts = ['--schroot', '%r-%a-sbuild', " +
			"'-bx.tgz', '--no-eatmydata', '--distribution=%r', '-p', '-nd', 'sid', '--mirr=x', " +
			"'-i', '/x', '--scriptsdir', '/etc/piuparts/scripts'];",
			"--piuparts-opts '-m http://x --warn-on-others' --piuparts-opt=-d x",
			"--run-piuparts --piuparts-opt=--no-eatmydata --piuparts-opt=-i --piuparts-opt=/x " +
				"--piuparts-opt=--scriptsdir --piuparts-opt=/etc/piuparts/scripts " +
				"--piuparts-opt=--warn-on-others -- x",
			"piuparts' --schroot, piuparts' -bx.tgz, piuparts' --distribution=%r, piuparts' -p, " +
				"piuparts' -nd, piuparts' --mirr=x, piuparts' -m, piuparts' -d"},
		{"$external_commands = { 'pre-build-commands' => [['echo', '%d', q(it's)], 'a | b'], " +
			"'build-failed-commands' => [['%SBUILD_SHELL']] }; $run_lintian = 0;",
			"--post-build-commands 'c d' --chroot-update-failed-commands e x",
			`--build-failed-commands=%SBUILD_SHELL '--pre-build-commands=echo %d '\''it'\''\'\'''\''s'\''' '--pre-build-commands=a | b' '--post-build-commands=c d' -- x`, "--chroot-update-failed-commands"},
		{"$extra_repositories = ['deb http://x y z']; $manual_depends = ['a']; $run_lintian = 0;",
			"--extra-package p --add-depends-indep 'b (>= 1)' --extra-repository-key k x",
			"--add-depends=a '--add-depends-indep=b (>= 1)' --extra-package=p " +
				"'--extra-repository=deb http://x y z' --extra-repository-key=k -- x", ""},
		{"$key_id = '0x1'; $pgp_options = ['-us', '-uc']; $run_lintian = 0;", "x",
			"--keyid=0x1 -- x", ""},
		{"$key_id = '0x1'; $pgp_options = '-k0x2'; $run_lintian = 0;", "--keyid=0x3 x",
			"--keyid=0x3 -- x", ""},
		{"$key_id = '0x1'; $run_lintian = 0;", "--keyid= x", "-- x", ""},
		{"$pgp_options='-us -k 0x2'; $run_lintian = 0;", "x", "--keyid=0x2 -- x", ""},
		{"$pgp_options = ['-us']; $run_lintian = 0;", "-k 0x2 x", "--keyid=0x2 -- x", ""},
		{"$build_environment = { DEB_BUILD_OPTIONS => 'nocheck' }; $ENV{CCACHE_DIR} = '/x'; " +
			"$run_lintian = 0;", "x", "--deb-build-options=nocheck -- x",
			"$ENV{CCACHE_DIR} (FILE:1)"},
		{"$chroot_mode = 'unshare';\n$purge_build_deps = 'always'; $apt_upgrade = stuff(); " +
			"$run_lintian = 0;", "--purge never --no-clean-source -nv x", "--nolog --verbose -- x",
			"$apt_upgrade (FILE:2), $chroot_mode (FILE:1), --purge, --no-clean-source"},
		{"$distribution = `date`; $run_lintian = 0; $verbose = 2;", "-d sid x",
			"--dist=sid --verbose -- x", ""},
		{"$build_path = '/build/reproducible-path'; $dsc_dir = ''; $core_depends = " +
			"['build-essential:native', 'fakeroot:native']; $enable_network = 0; $run_lintian = 0;",
			"--build-dir /tmp --build-path= -D x",
			"--output=/tmp --debug -- x", ""},
		{"$run_lintian = 0;", "--build i386 --host i386 --arch-any --no-source-only-changes -q x",
			"--arch=i386 --arch-any --source-only-changes=false --quiet -- x", ""},
		{"$run_lintian = 0; $build_arch_all = 1;", "--no-arch-all --no-resolve-alternatives x",
			"--no-arch-all --resolve-alternatives=no -- x", ""},
		{"$run_piuparts = 1; $run_autopkgtest = 1;",
			"--no-run-lintian --no-run-piuparts --no-run-autopkgtest --binNMU-changelog=E x",
			"--binNMU-changelog=E -- x", ""},
		{"$run_lintian = 0;", "--make-binNMU=W --binNMU-timestamp 7 --maintainer A --uploader B " +
			"--append-to-version +x x", "--make-binNMU=W --append-to-version=+x --maintainer=A " +
			"--uploader=B --binNMU-timestamp=7 -- x", ""},
		{"$run_lintian = 0;", "--source --force-orig-source --debbuildopt -v1 --dpkg-source-opt " +
			"-Zgzip --dpkg-source-opts '-a -b' --jobs 2 x",
			"--source=true --debbuildopt=-sa --debbuildopt=-v1 --jobs=2 --dpkg-source-opt=-Zgzip " +
				"--dpkg-source-opt=-a --dpkg-source-opt=-b -- x", ""},
		{"$run_lintian = 0;", "--add-depends a --add-depends-arch b --add-conflicts c " +
			"--add-conflicts-arch d --add-conflicts-indep e --extra-repository 'deb http://x y z' x",
			"--add-depends=a --add-depends-arch=b --add-conflicts=c --add-conflicts-arch=d " +
				"--add-conflicts-indep=e '--extra-repository=deb http://x y z' -- x", ""},
		{"$run_lintian = 0;",
			"--build-dep-resolver aptitude --resolve-alternatives --chroot sid-sbuild --keyid 1 x",
			"--base=sid --keyid=1 --build-dep-resolver=aptitude --resolve-alternatives=yes -- x", ""},
		{"$run_lintian = 0; $unshare_mmdebstrap_env_cmd = ['env', 'TMPDIR=/dev/shm']; " +
			"$unshare_mmdebstrap_env_cmnd = f();", "x", "-- x",
			"$unshare_mmdebstrap_env_cmd (FILE:1), $unshare_mmdebstrap_env_cmnd (FILE:1)"},
		{"$run_lintian = 0; $chroot_aliases->{reform} = 'unstable';", "-d reform x",
			"--dist=reform --base=unstable -- x", ""},
		{"$run_lintian = 0; $chroot_aliases->{reform} = 'unstable';", "-d reform -c mine x",
			"--dist=reform --base=mine -- x", ""},
		{"$run_lintian = 0; $unshare_mmdebstrap_extra_args = ['kali-*' => ['-v'], " +
			"qr/^sid-backports/ => ['-x'], '{a,b}-%a' => ['-y']];", "-d sid x", "--dist=sid -- x",
			"$unshare_mmdebstrap_extra_args (FILE:1): none is for this build"},
		{"$run_lintian = 0; $unshare_mmdebstrap_extra_args = [map { f($_) } 1];", "x", "-- x", ""},
		{"$run_lintian = 0; $environment_filter = [Dpkg::BuildInfo::get_build_env_allowed(), '^A$'];", "x", "-- x", "$environment_filter (FILE:1)"},
		{"$run_lintian = 0; if ($distribution eq 'sid') { push @{$extra_repositories}, 'deb " +
			"http://x y z'; }", "-d sid x", "--dist=sid -- x", ""},
		{"$run_lintian = 0; $external_commands = { 'chroot-pre-build-commands' => [['x']] };", "x",
			"-- x",
			"$external_commands->{chroot-pre-build-commands} (FILE:1): there is no such moment " +
				"in a build"},
		{"$run_lintian = 0;", "--log-filename-ts-format %s --apt-distclean x", "-- x",
			"--log-filename-ts-format, --apt-distclean"},
		{"$run_lintian = 0; $resolve_alternatives = 1;", "x", "--resolve-alternatives=yes -- x",
			""},
		{"$run_lintian = 0; $resolve_alternatives = undef;", "x", "-- x", ""},
		{"$run_lintian = 0; $aspcud_criteria = '-new';", "--build-dep-resolver aspcud x",
			"--build-dep-resolver=aspcud:-new -- x", ""},
		{"$run_lintian = 0; $aspcud_criteria = '-new'; $apt_get_extra_args = [qr/^a/ => ['-y']];",
			"--build-dep-resolver null x", "--build-dep-resolver=null -- x",
			"$apt_get_extra_args (FILE:1)"},
		{"$run_lintian = 0; $bd_uninstallable_explainer = 'apt';",
			"--bd-uninstallable-explainer dose3 x", "--bd-uninstallable-explainer=dose3 -- x", ""},
		{"$run_lintian = 0; $bd_uninstallable_explainer = '';", "x", "-- x", ""},
		{"$run_lintian = 0;", "--aspcud-criteria -new x", "-- x", "--aspcud-criteria"},
		{"$run_lintian = 0; $resolve_alternatives = 0;", "--build-dep-resolver aptitude x",
			"--build-dep-resolver=aptitude --resolve-alternatives=no -- x", ""},
		{"$run_lintian = 0;", "--run-lintian --lintian-opt=-i --run-piuparts --run-autopkgtest " +
			"--verbose --debug --nolog x",
			"--run-lintian --run-piuparts --run-autopkgtest --lintian-opt=-i --nolog --verbose " +
				"--debug -- x", ""},
		{"$run_lintian = 0;", "--setup-hook a --chroot-setup-commands b " +
			"--build-deps-failed-commands c --starting-build-commands d " +
			"--finished-build-commands e --build-failed-commands f --chroot-cleanup-commands g " +
			"--pre-build-commands h --post-build-commands i --post-build-failed-commands j " +
			"--anything-failed-commands k x",
			"--chroot-setup-commands=a --chroot-setup-commands=b --build-deps-failed-commands=c " +
				"--starting-build-commands=d --finished-build-commands=e " +
				"--build-failed-commands=f --chroot-cleanup-commands=g --pre-build-commands=h " +
				"--post-build-commands=i --post-build-failed-commands=j " +
				"--anything-failed-commands=k -- x", ""},
	} {
		got, s, err := translated(t, c.config, words(c.args)...)
		if err != nil {
			t.Errorf("%s\n%s\n%v", c.config, c.args, err)
			continue
		}
		if got != c.want {
			t.Errorf("%s\n%s\ngot  %s\nwant %s", c.config, c.args, got, c.want)
		}
		idle := regexp.MustCompile(`\(/[^ ]*/sbuildrc:`).ReplaceAllString(
			strings.Join(s.idle, ", "), "(FILE:")
		if idle != c.idle {
			t.Errorf("%s\n%s\nidle %s\nwant %s", c.config, c.args, idle, c.idle)
		}
	}
}

// words are a command line's, with single quotes understood.
func words(line string) (out []string) {
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			out = append(out, part)
		} else {
			out = append(out, strings.Fields(part)...)
		}
	}
	return out
}

// TestSbuildRefuses is for what would make other packages than sbuild does, or cannot be
// understood.
func TestSbuildRefuses(t *testing.T) {
	for _, c := range []struct{ config, args, want, hint string }{
		{"", "-A --no-arch-all x", "--no-arch-all cannot be used together with --arch-all", ""},
		{"", "--enable-network x", "--enable-network cannot be had here", "--hook-network"},
		{"", "--build-path /x x", "--build-path cannot be had here", "/build/reproducible-path"},
		{"", "-c /x/y.tar x", "is a path; a build is over a base", "nsbuild import"},
		{"\n$distribution = `date`;", "x", ":2: $distribution is not read: ",
			"on the command line"},
		{"$distributon = 'sid';", "x", ":1: $distributon is no key of sbuild's",
			"did you mean $distribution?"},
		{"$build_path = '/x';", "x", "$build_path (", "it is always"},
		{"$build_environment = { CC => 'clang' };", "x",
			":1: $build_environment->{CC} cannot be had here", "NSBUILD_ENV"},
		{"$lintian_opts = '-i';", "x",
			"$lintian_opts: a list of strings, as in ['a', 'b'], is expected", ""},
		{"$distribution = ['sid'];", "x", "$distribution: a string is expected", ""},
		{"$lintian_require_success = 1; $run_autopkgtest = 1;", "x", "$lintian_require_success (",
			"$autopkgtest_require_success"},
		{"$pgp_options = ['-p', 'x'];", "x", "the option -p cannot be had here", "-kKEY"},
		{"$build_dir = '/none';", "x", "there is no directory /none", ""},
		{"$verbose = 'a lot';", "x", "a number is expected, not \"a lot\"", ""},
		{"$external_commands = { 'chroot-user-setup-commands' => ['x'] };", "x",
			"there is no such moment in a build", ""},
		{"$unshare_mmdebstrap_extra_args = [qr/^(x|sid)$/ => ['-v']];", "-d sid x",
			"$unshare_mmdebstrap_extra_args cannot be had here", "nsbuild create"},
		{"$unshare_mmdebstrap_extra_args = ['%r-%a' => ['-v']];", "-d sid x",
			"$unshare_mmdebstrap_extra_args cannot be had here", "nsbuild create"},
		{"$build_as_root_when_needed = 1;", "x", "$build_as_root_when_needed cannot be had here",
			"fakeroot"},
		{"$unshare_mmdebstrap_extra_args = ['*' => ['--components=main']];", "x",
			"$unshare_mmdebstrap_extra_args cannot be had here", "nsbuild create"},
	} {
		_, _, err := translated(t, c.config, words(c.args)...)
		if err == nil || !strings.Contains(err.Error(), c.want) ||
			!strings.Contains(fault.HintOf(err), c.hint) {
			t.Errorf("%s\n%s\n%v\nhint %s\nwant %s, %s", c.config, c.args, err, fault.HintOf(err),
				c.want, c.hint)
		}
	}
}

// TestSbuildOtherOptions is for the options that have no meaning here, which change nothing and are
// named, and for those that are refused, with a way out.
func TestSbuildOtherOptions(t *testing.T) {
	New(nil, "/", io.Discard).Flags().VisitAll(func(f *pflag.Flag) {
		arg := "--" + f.Name
		if f.NoOptDefVal == "" {
			arg += "=something"
		}
		got, s, err := translated(t, "$run_lintian = 0;", arg, "x")
		switch {
		case strings.HasSuffix(f.Usage, "(no meaning here)"):
			if err != nil || got != "-- x" || len(s.idle) != 1 || s.idle[0] != "--"+f.Name {
				t.Errorf("%s: %s, named %q, %v", arg, got, s.idle, err)
			}
		case strings.HasSuffix(f.Usage, "(refused)"):
			if err == nil || !strings.HasPrefix(err.Error(), "--"+f.Name+" cannot be had here") ||
				fault.HintOf(err) == "" {
				t.Errorf("%s: %v (%s)", arg, err, fault.HintOf(err))
			}
		}
	})
}

// TestSbuildKeys holds the table of keys and the page that explains them together.
func TestSbuildKeys(t *testing.T) {
	text, err := os.ReadFile("../../../docs/sbuild.md")
	check(t, err)
	page := string(text)
	for name := range allKeys() {
		if !strings.Contains(page, "`$"+name+"`") {
			t.Errorf("docs/sbuild.md does not tell of $%s", name)
		}
	}
	New(nil, "/", io.Discard).Flags().VisitAll(func(f *pflag.Flag) {
		if !strings.Contains(page, "`--"+f.Name+"`") {
			t.Errorf("docs/sbuild.md does not tell of --%s", f.Name)
		}
	})
}

// TestHelpNamesValues has no type of Go's in the help.
func TestHelpNamesValues(t *testing.T) {
	help := New(nil, "/", io.Discard).Usage()
	for _, word := range []string{" string ", " stringArray ", " int "} {
		if strings.Contains(help, word) {
			t.Errorf("the help has%s:\n%s", word, help)
		}
	}
}
