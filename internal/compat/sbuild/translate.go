package sbuild

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"nsbuild/internal/buildroot"
	"nsbuild/internal/checks"
	"nsbuild/internal/deps"
	"nsbuild/internal/fault"
	"nsbuild/internal/machine"
	"nsbuild/internal/pkgbuild"
	"nsbuild/internal/sbuildrc"
)

// Translate makes a command of nsbuild's of what options and files say.
func (s *Call) Translate(source string, terminal bool) ([]string, error) {
	var unread []error
	for _, key := range slices.Sorted(maps.Keys(s.unread)) {
		unread = append(unread, s.unread[key])
	}
	if err := errors.Join(unread...); err != nil {
		return nil, fault.Wrap(fault.Usage, "", err)
	}
	out := []string{"build"}
	for _, part := range []func() ([]string, error){s.target, s.contents, s.binNMU, s.tools,
		s.signing, s.packages, s.checks, s.places} {
		args, err := part()
		if err != nil {
			return nil, err
		}
		out = append(out, args...)
	}
	for _, c := range s.commands {
		out = append(out, "--"+c.option+"="+c.text)
	}
	show, err := s.shows(terminal)
	if err != nil {
		return nil, err
	}
	return append(append(out, show...), "--", nsbuildSource(source)), nil
}

// nsbuildSource is how nsbuild calls a source: NAME_VERSION is NAME=VERSION.
func nsbuildSource(source string) string {
	if _, err := os.Lstat(source); err == nil || strings.ContainsAny(source, "/:") ||
		strings.HasSuffix(source, ".dsc") {
		return source
	}
	return strings.Replace(source, "_", "=", 1)
}

// texts writes variables as flags, those that are set and not empty.
func (s *Call) texts(flags ...[2]string) (out []string) {
	for _, f := range flags {
		if v := s.text[f[0]]; v != "" {
			out = append(out, "--"+f[1]+"="+v)
		}
	}
	return out
}

// lists writes lists as flags that are repeated.
func (s *Call) lists(flags ...[2]string) (out []string) {
	for _, f := range flags {
		for _, v := range s.list[f[0]] {
			out = append(out, "--"+f[1]+"="+v)
		}
	}
	return out
}

// arches are the architectures of a build: on which, and for which.
func (s *Call) arches() (on, host string) {
	on, host = machine.Native(), machine.Native()
	if v := s.text["build_arch"]; v != "" {
		on = v
	}
	if v := s.text["host_arch"]; v != "" {
		host = v
	}
	return on, host
}

// target is the suite, the base and the architectures.
func (s *Call) target() ([]string, error) {
	out := s.texts([2]string{"distribution", "dist"})
	on, host := s.arches()
	if on != machine.Native() {
		out = append(out, "--arch="+on)
	}
	if host != on {
		out = append(out, "--host="+host)
	}
	chroot := s.text["chroot"]
	if chroot == "" {
		chroot = s.aliases[s.text["distribution"]]
	}
	if err := s.checkExtraArgs(on, host); err != nil {
		return nil, err
	}
	if strings.Contains(chroot, "/") {
		return nil, fault.New(fault.Usage, "“nsbuild import NAME FILE” makes a base of it, "+
			"“nsbuild list” lists those that there are", "%s: %s is a path; a build is over a base",
			s.shown("chroot"), chroot)
	}
	if base := baseOfChroot(chroot, on); base != "" && base != s.text["distribution"] {
		out = append(out, "--base="+base)
	}
	return out, nil
}

// checkExtraArgs refuses what would be another base than the one that the build is over: options
// for making it, where they are for this build. sbuild compares with these four names.
func (s *Call) checkExtraArgs(on, host string) error {
	set, dist := s.extraArgs, s.text["distribution"]
	if set.Value == nil || len(set.Items) == 0 {
		return nil
	}
	names := []string{dist, dist + "-" + on, dist + "-" + on + "-" + host, s.text["chroot"]}
	for i := 0; i+1 < len(set.Items); i += 2 {
		key := set.Items[i]
		if key.Kind == sbuildrc.Scalar {
			key = sbuildrc.Glob(strings.NewReplacer("%a", host, "%r", dist).Replace(key.Text))
		}
		if slices.ContainsFunc(names, func(n string) bool { return n != "" && key.Matches(n) }) {
			return fault.New(fault.Usage,
				"make the base with “nsbuild create --components … --include …” and leave it out",
				"%s: %s cannot be had here, and would change the result", set.Origin(), set.Name)
		}
	}
	s.idle = append(s.idle, fmt.Sprintf("%s (%s): none is for this build", set.Name, set.Origin()))
	return nil
}

// baseOfChroot is the base that a name of a chroot stands for: sbuild's SUITE-ARCH-sbuild is SUITE
// here.
func baseOfChroot(chroot, arch string) string {
	for _, namespace := range []string{"chroot:", "source:"} {
		chroot = strings.TrimPrefix(chroot, namespace)
	}
	return strings.TrimSuffix(strings.TrimSuffix(chroot, "-sbuild"), "-"+arch)
}

// ownVersion tells whether the packages get a version that the source does not have.
func (s *Call) ownVersion() bool {
	return s.text["bin_nmu"] != "" || s.text["bin_nmu_changelog"] != "" ||
		s.text["append_to_version"] != ""
}

// contents is what is built.
func (s *Call) contents() (out []string, err error) {
	on, host := s.arches()
	all, set := s.bits["build_arch_all"]
	switch {
	case s.ownVersion() && s.option["build_arch_all"] == "": // none, whatever a file says
	case set && all:
		out = append(out, "--arch-all")
	case set, on != host:
		out = append(out, "--no-arch-all")
	}
	if anyArch, set := s.bits["build_arch_any"]; set && anyArch {
		out = append(out, "--arch-any")
	} else if set {
		out = append(out, "--no-arch-any")
	}
	source := s.bits["build_source"]
	if source && (s.text["bin_nmu"] != "" || s.text["bin_nmu_changelog"] != "") {
		s.warn("Not building source package for binNMU")
		source = false
	}
	if _, set := s.bits["build_source"]; set {
		out = append(out, fmt.Sprintf("--source=%t", source))
	}
	if source && s.bits["force_orig_source"] {
		out = append(out, "--debbuildopt=-sa")
	}
	if only, set := s.bits["source_only_changes"]; set {
		out = append(out, fmt.Sprintf("--source-only-changes=%t", only))
	}
	profiles, set := s.text["build_profiles"]
	if !set {
		profiles, set = s.text["deb_build_profiles"]
	}
	if set {
		out = append(out, "--profiles="+profiles)
	}
	if options, set := s.text["deb_build_options"]; set {
		out = append(out, "--deb-build-options="+options)
	}
	return out, nil
}

// binNMU is the packages' own version.
func (s *Call) binNMU() ([]string, error) {
	out := s.texts([2]string{"bin_nmu", "make-binNMU"},
		[2]string{"bin_nmu_changelog", "binNMU-changelog"},
		[2]string{"append_to_version", "append-to-version"},
		[2]string{"maintainer_name", "maintainer"}, [2]string{"uploader_name", "uploader"})
	for _, f := range [][2]string{{"bin_nmu_version", "binNMU"},
		{"bin_nmu_timestamp", "binNMU-timestamp"}} {
		if s.option[f[0]] != "" || s.text["bin_nmu"] != "" { // alone in a file they say nothing
			out = append(out, s.texts(f)...)
		}
	}
	return out, nil
}

// tools are options for dpkg's tools.
func (s *Call) tools() (out []string, err error) {
	jobs := s.text["jobs"]
	for _, opt := range s.list["dpkg_buildpackage_user_options"] {
		n, ok := jobsOption(opt)
		if !ok {
			out = append(out, "--debbuildopt="+opt)
		} else if s.option["jobs"] == "" {
			jobs = n
		}
	}
	if jobs != "" {
		out = append(out, "--jobs="+jobs)
	}
	return append(out, s.lists([2]string{"dpkg_source_opts", "dpkg-source-opt"})...), nil
}

// jobsOption tells whether an option of dpkg-buildpackage says how many processes there may be, and
// how many: "" for as many as nsbuild thinks fit.
func jobsOption(opt string) (n string, ok bool) {
	for _, name := range []string{"--jobs-try", "--jobs", "-j", "-J"} {
		rest, found := strings.CutPrefix(opt, name)
		if !found {
			continue
		}
		rest = strings.TrimPrefix(rest, "=")
		if rest == "" || rest == "auto" {
			return "", true
		}
		_, err := strconv.Atoi(rest)
		return rest, err == nil
	}
	return "", false
}

// signing is on where there is a key for debsign, as sbuild has it, and where sbuild would have
// dpkg-buildpackage sign, too; here debsign does both, on the host.
func (s *Call) signing() ([]string, error) {
	if key := s.text["key_id"]; key != "" {
		return []string{"--keyid=" + key}, nil
	}
	options, set := s.list["pgp_options"]
	if !set || slices.Contains(options, "-uc") {
		return nil, nil
	}
	key := ""
	for i, o := range options {
		name, value, long := strings.Cut(o, "=")
		switch {
		case i > 0 && options[i-1] == "-k":
			key = o
		case o == "-us" || o == "-ui" || o == "":
		case strings.HasPrefix(o, "-k"):
			key = o[len("-k"):]
		case long && (name == "--sign-key" || name == "--sign-keyid"):
			key = value
		default:
			return nil, fault.New(fault.Usage, "-us, -uc and -kKEY are understood",
				"%s: the option %s cannot be had here", s.shown("pgp_options"), o)
		}
	}
	if key == "" {
		return []string{"--sign"}, nil
	}
	return []string{"--keyid=" + key}, nil
}

// packages are relations, resolvers, and packages from elsewhere.
func (s *Call) packages() ([]string, error) {
	resolver := s.text["build_dep_resolver"]
	if resolver == "internal" { // an old name for apt, as sbuild has it
		resolver = deps.ResolverApt
	}
	if criteria := s.text["aspcud_criteria"]; resolver == deps.ResolverAspcud && criteria != "" {
		resolver += ":" + criteria
	} else if criteria != "" && s.origin["aspcud_criteria"] == "" {
		s.idle = append(s.idle, s.shown("aspcud_criteria"))
	}
	var out []string
	if resolver != "" {
		out = append(out, "--build-dep-resolver="+resolver)
	}
	out = append(out, s.texts([2]string{"bd_uninstallable_explainer",
		"bd-uninstallable-explainer"})...)
	if alternatives, set := s.bits["resolve_alternatives"]; set {
		value := pkgbuild.FirstAlternative
		if alternatives {
			value = pkgbuild.AnyAlternative
		}
		out = append(out, "--resolve-alternatives="+value)
	}
	return append(out, s.lists(
		[2]string{"manual_depends", "add-depends"},
		[2]string{"manual_depends_arch", "add-depends-arch"},
		[2]string{"manual_depends_indep", "add-depends-indep"},
		[2]string{"manual_conflicts", "add-conflicts"},
		[2]string{"manual_conflicts_arch", "add-conflicts-arch"},
		[2]string{"manual_conflicts_indep", "add-conflicts-indep"},
		[2]string{"extra_packages", "extra-package"},
		[2]string{"extra_repositories", "extra-repository"},
		[2]string{"extra_repository_keys", "extra-repository-key"})...), nil
}

// checks are those of the results. As with sbuild, lintian is run unless it is forbidden.
func (s *Call) checks() (out []string, err error) {
	lintian, set := s.bits["run_lintian"]
	lintian = lintian || !set
	required, free := "", ""
	for _, c := range []struct {
		run        bool
		flag, need string
	}{
		{lintian, "run-lintian", "lintian_require_success"},
		{s.bits["run_piuparts"], "run-piuparts", "piuparts_require_success"},
		{s.bits["run_autopkgtest"], "run-autopkgtest", "autopkgtest_require_success"},
	} {
		if !c.run {
			continue
		}
		out = append(out, "--"+c.flag)
		if s.bits[c.need] {
			required = c.need
		} else {
			free = "$" + c.need
		}
	}
	if required != "" && free != "" {
		return nil, fault.New(fault.Usage, "set "+free+", too, or neither",
			"%s: here the checks that are made all let a build fail, or none does",
			s.shown(required))
	}
	if required != "" {
		out = append(out, "--fail-on=error")
	}
	if lintian {
		out = append(out, s.lists([2]string{"lintian_opts", "lintian-opt"})...)
	}
	if s.bits["run_piuparts"] {
		theirs, ours := checks.SplitPiuparts(s.list["piuparts_opts"])
		for _, option := range ours {
			s.idle = append(s.idle, "piuparts' "+option)
		}
		for _, option := range theirs {
			out = append(out, "--piuparts-opt="+option)
		}
	}
	return out, nil
}

// places are directories.
func (s *Call) places() ([]string, error) {
	if path := s.text["build_path"]; path != "" && path != buildroot.Dir {
		return nil, fault.New(fault.Usage, "it is always "+buildroot.Dir,
			"%s cannot be had here, and would change the result", s.shown("build_path"))
	}
	out := s.texts([2]string{"build_dir", "output"})
	if dir := s.text["build_dir"]; dir != "" && !isDir(dir) {
		return nil, fault.New(fault.Usage, "", "%s: there is no directory %s", s.shown("build_dir"),
			dir)
	}
	dir := s.text["log_dir"]
	nolog := s.bits["nolog"]
	if dir != "" && !nolog {
		if !isDir(dir) {
			s.warn("%s: there is no directory %s, so no log is written", s.shown("log_dir"), dir)
			nolog = true
		} else {
			out = append(out, "--log-dir="+dir)
		}
	}
	if nolog {
		out = append(out, "--nolog")
	}
	return out, nil
}

func isDir(name string) bool {
	st, err := os.Stat(name)
	return err == nil && st.IsDir()
}

// shows says how much is shown: the log on a terminal, without one only where it is asked for, or
// not written.
func (s *Call) shows(terminal bool) (out []string, err error) {
	level := 0
	if terminal {
		level = 1
	}
	if v, set := s.text["verbose"]; set {
		if level, err = strconv.Atoi(v); err != nil {
			return nil, fault.New(fault.Usage, "", "%s: a number is expected, not %q",
				s.shown("verbose"), v)
		}
	}
	if level+s.verbose > 0 || s.bits["nolog"] {
		out = append(out, "--verbose")
	}
	if s.quiet {
		out = append(out, "--quiet")
	}
	if d := s.text["debug"]; d != "" && d != "0" {
		out = append(out, "--debug")
	}
	return out, nil
}
