package sbuild

import (
	"fmt"
	"slices"
	"strings"

	"nsbuild/internal/fault"
	"nsbuild/internal/nearest"
	"nsbuild/internal/sbuildrc"
)

// shape is what sbuild takes as the value of a key.
type shape int

const (
	anyShape shape = iota // of keys without a meaning here
	textShape
	flagShape
	listShape
	wordShape    // a list, or a string with its words
	commandShape // external commands: stage → commands, each a string or a list of words
	tableShape   // name → text
	aliasShape   // distribution → chroot
	matchShape   // pairs of what a build matches, and what is done then
)

// configKey is one of sbuild's configuration variables, and what becomes of it.
type configKey struct {
	name   string
	shape  shape
	used   bool
	usual  string // a value, words joined by blanks, that asks for nothing
	way    string // of one that would change the result and cannot: the way out
	refuse bool
}

func used(s shape, names ...string) (out []configKey) {
	for _, n := range names {
		out = append(out, configKey{name: n, shape: s, used: true})
	}
	return out
}

func idle(names ...string) (out []configKey) {
	for _, n := range names {
		n, usual, _ := strings.Cut(n, "=")
		out = append(out, configKey{name: n, usual: usual})
	}
	return out
}

func refused(name, usual, way string) []configKey {
	return []configKey{{name: name, usual: usual, way: way, refuse: true}}
}

const noEnvironment = "a hook of before-build can give the build variables (NSBUILD_ENV, " +
	"docs/hooks.md)"

// configKeys are all keys of sbuild 0.85, and those that came later up to 0.91. Each is used, has
// no meaning here, or is refused since packages would come out differently.
func allKeys() map[string]configKey {
	keys := map[string]configKey{}
	for _, some := range [][]configKey{
		used(textShape, "distribution", "host_arch", "build_arch", "chroot", "build_profiles",
			"log_dir", "build_dir", "maintainer_name", "uploader_name", "key_id", "bin_nmu",
			"bin_nmu_version",
			"bin_nmu_timestamp", "append_to_version", "bin_nmu_changelog", "build_dep_resolver",
			"verbose", "debug", "build_path", "aspcud_criteria",
			"bd_uninstallable_explainer"),
		used(flagShape, "build_arch_all", "build_arch_any", "build_source", "nolog",
			"force_orig_source", "run_lintian", "lintian_require_success", "run_piuparts",
			"piuparts_require_success",
			"run_autopkgtest", "autopkgtest_require_success", "resolve_alternatives",
			"source_only_changes"),
		used(listShape, "dpkg_buildpackage_user_options", "dpkg_source_opts", "manual_depends",
			"manual_depends_arch", "manual_depends_indep", "manual_conflicts",
			"manual_conflicts_arch", "manual_conflicts_indep", "lintian_opts", "piuparts_opts",
			"extra_packages", "extra_repositories", "extra_repository_keys"),
		used(wordShape, "pgp_options"),
		used(commandShape, "external_commands"),
		used(tableShape, "build_environment"),
		used(aliasShape, "chroot_aliases"),
		used(matchShape, "unshare_mmdebstrap_extra_args"),

		refused("path", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/games",
			noEnvironment),
		refused("ld_library_path", "", noEnvironment),
		refused("gcc_snapshot", "0", "choose the compiler in debian/rules, or in a hook"),
		refused("build_env_cmnd", "", noEnvironment),
		refused("dpkg_file_suffix", "", "name the results apart with --build-dir"),
		refused("dsc_dir", "", "leave it out"),
		refused("sbuild_mode", "user", "user is the only mode"),
		refused("chroot_setup_script", "", `$external_commands->{"chroot-setup-commands"}`),
		refused("apt_allow_unauthenticated", "0",
			"[trusted=yes] in the line of a further repository"),
		refused("core_depends", "build-essential:native fakeroot:native",
			"$manual_depends adds to what is installed"),
		refused("crossbuild_core_depends", "", "$manual_depends adds to what is installed"),
		refused("unshare_bind_mounts", "",
			"a hook can have a directory that outlives builds (Cache: yes, docs/hooks.md)"),
		refused("build_as_root_when_needed", "0",
			"fakeroot stands in for root, where the source asks for that"),
		refused("enable_network", "0",
			"a build has no network here; hooks get it from “nsbuild build --hook-network”"),

		idle("chroot_mode", "chroot_split=0", "build_user", "sudo=sudo", "su=su",
			"schroot_options=-q", "autopkgtest_virt_server=autopkgtest-virt-schroot",
			"autopkgtest_virt_server_options", "fakeroot=fakeroot", "apt_get=apt-get",
			"apt_cache=apt-cache", "aptitude=aptitude", "xapt=xapt", "dpkg_source=dpkg-source",
			"md5sum=md5sum", "lintian=lintian", "piuparts=piuparts", "autopkgtest=autopkgtest",
			"unshare_tmpdir_template", "unshare_mmdebstrap_auto_create",
			"unshare_mmdebstrap_keep_tarball", "unshare_mmdebstrap_max_age",
			"unshare_mmdebstrap_distro_mangle",
			"unshare_mmdebstrap_env_cmd", "unshare_mmdebstrap_env_cmnd", // as 0.91 and 0.89 call it
			"mmdebstrap=mmdebstrap", "schroot=schroot", "clean_apt_cache=1",
			"log_filename_timestamp_format=%FT%TZ", "log_hidden_sections",
			"stats_dir", "package_checklist", "log_colour=1", "log_filter=1", "hide_log_sections",
			"mailprog=/usr/sbin/sendmail", "mailto", "mailto_hash",
			"mailfrom=Source Builder <sbuild>", "compress_build_log_mails=1",
			"mime_build_log_mails=1",
			"purge_build_deps=always", "purge_build_directory=always", "purge_session=always",
			"purge_extra_packages=0", "toolchain_regex", "stalled_pkg_timeout=150",
			"individual_stalled_pkg_timeout",
			"max_lock_trys=120", "lock_interval=5", "check_space=1", "environment_filter",
			"apt_get_extra_args", "apt_clean=0", "apt_keep_downloaded_packages=0", "apt_update=1",
			"apt_update_archive_only=1", "apt_upgrade=0",
			"apt_distupgrade=1", "batch_mode=0", "job_file=build-progress", "archive",
			"clean_source=1", "piuparts_root_args",
			"autopkgtest_opts", "autopkgtest_root_args",
			"log_external_command_output=1", "log_external_command_error=1"),
	} {
		for _, k := range some {
			keys[k.name] = k
		}
	}
	return keys
}

// plain is a value as the table of keys writes usual ones.
func plain(v *sbuildrc.Value) string {
	switch v.Kind {
	case sbuildrc.Scalar:
		return v.Text
	case sbuildrc.List:
		words, ok := v.Strings()
		if !ok {
			return "[…]"
		}
		return strings.Join(words, " ")
	case sbuildrc.Hash:
		if len(v.Fields) > 0 {
			return "{…}"
		}
	}
	return ""
}

// ReadConfig takes what the configuration files say.
func (s *Call) ReadConfig(files []string) error {
	var names []string
	for name := range s.keys {
		names = append(names, name)
	}
	config := sbuildrc.New(names, s.environ, s.home)
	for _, file := range files {
		if err := config.ReadFile(file); err != nil {
			return s.nearest(err, names)
		}
	}
	for _, n := range config.Notes {
		s.warn("%s", n)
	}
	for _, set := range config.Settings() {
		if err := s.takeSetting(set); err != nil {
			return err
		}
	}
	for _, set := range config.Environment() {
		name := strings.TrimSuffix(strings.TrimPrefix(set.Name, "$ENV{"), "}")
		if err := s.takeVariable(name, set.Value, set.Name, set.Origin()); err != nil {
			return err
		}
	}
	return nil
}

// nearest adds what may have been meant to the error about a key that does not exist.
func (s *Call) nearest(err error, names []string) error {
	_, rest, ok := strings.Cut(err.Error(), ": $")
	if !ok || !strings.Contains(rest, " is no key of sbuild's") {
		return err
	}
	wrong, _, _ := strings.Cut(rest, " ")
	if near := nearest.Names(wrong, names, 1); len(near) > 0 {
		return fault.New(fault.Usage, "did you mean $"+near[0]+"?", "%w", err)
	}
	return err
}

// takeSetting takes one key.
func (s *Call) takeSetting(set sbuildrc.Setting) error {
	name := strings.TrimLeft(set.Name, "$@%")
	if name == "mailto" && set.Name[0] == '%' {
		name = "mailto_hash"
	}
	k := s.keys[name]
	shown := fmt.Sprintf("%s (%s)", set.Name, set.Origin())
	switch {
	case set.Kind == sbuildrc.Undef:
		return nil // the default
	case set.Kind == sbuildrc.Unreadable && !k.used && !k.refuse:
		s.idle = append(s.idle, shown)
		return nil
	case set.Kind == sbuildrc.Unreadable && k.shape == matchShape:
		s.warn("%s: %s is not read, and is taken not to be about this build: %s", set.Origin(),
			set.Name, set.Text)
		return nil
	case set.Kind == sbuildrc.Unreadable:
		s.unread[name] = fault.New(fault.Usage,
			"write it as a string, a number, a list or a hash, or give it on the command line",
			"%s: %s is not read: %s", set.Origin(), set.Name, set.Text)
		return nil
	case !k.used && plain(set.Value) == k.usual:
		return nil
	case k.refuse && k.usual == "0" && !set.True():
		return nil
	case k.refuse:
		return fault.New(fault.Usage, k.way,
			"%s: %s cannot be had here, and would change the result", set.Origin(), set.Name)
	case !k.used:
		s.idle = append(s.idle, shown)
		return nil
	}
	return s.takeUsed(k, set)
}

// takeUsed takes a key that has a meaning here.
func (s *Call) takeUsed(k configKey, set sbuildrc.Setting) error {
	s.origin[k.name] = set.Origin()
	bad := func(want string) error {
		return fault.New(fault.Usage, "", "%s: %s: %s is expected", set.Origin(), set.Name, want)
	}
	switch k.shape {
	case flagShape:
		s.flag(k.name, set.True())
	case textShape:
		if set.Kind != sbuildrc.Scalar {
			return bad("a string")
		}
		s.text[k.name] = set.Text
	case listShape, wordShape:
		words, ok := set.Strings()
		if k.shape == wordShape && set.Kind == sbuildrc.Scalar {
			words, ok = strings.Fields(set.Text), true
		}
		if !ok {
			return bad("a list of strings, as in ['a', 'b'],")
		}
		s.list[k.name] = words
	case commandShape:
		if set.Kind != sbuildrc.Hash {
			return bad("a hash")
		}
		for _, stage := range set.Keys() {
			for _, c := range set.Fields[stage].Items {
				words, ok := c.Strings()
				if c.Kind == sbuildrc.Scalar {
					words, ok = []string{c.Text}, true
				}
				if !ok || len(words) == 0 {
					return bad("a list of commands for " + stage)
				}
				shown := set.Name + "->{" + stage + "}"
				// sbuild passes over it, too
				if !known(stage) && !slices.Contains(formerMoments, stage) {
					s.idle = append(s.idle,
						fmt.Sprintf("%s (%s): there is no such moment in a build", shown,
							set.Origin()))
					continue
				}
				if err := s.addCommand(stage, commandLineOf(words), shown,
					set.Origin()); err != nil {
					return err
				}
			}
		}
	case matchShape:
		if set.Kind != sbuildrc.List {
			return bad("a list of pairs")
		}
		s.extraArgs = set
	case aliasShape:
		if set.Kind != sbuildrc.Hash {
			return bad("a hash")
		}
		for _, name := range set.Keys() {
			s.aliases[name] = plain(set.Fields[name])
		}
	case tableShape:
		if set.Kind != sbuildrc.Hash {
			return bad("a hash")
		}
		for _, name := range set.Keys() {
			if err := s.takeVariable(name, set.Fields[name], set.Name+"->{"+name+"}",
				set.Origin()); err != nil {
				return err
			}
		}
	}
	return nil
}

// formerMoments are those that older versions of sbuild knew: what stands there was meant to be
// run.
var formerMoments = []string{"chroot-user-setup-commands", "chroot-system-setup-commands"}

// takeVariable takes a variable of the build's environment: dpkg's own options are the only ones
// that reach it.
func (s *Call) takeVariable(name string, v *sbuildrc.Value, shown, origin string) error {
	key := map[string]string{"DEB_BUILD_OPTIONS": "deb_build_options",
		"DEB_BUILD_PROFILES": "deb_build_profiles"}[name]
	switch {
	case key == "" && strings.HasPrefix(shown, "$ENV"):
		s.idle = append(s.idle, fmt.Sprintf("%s (%s)", shown, origin))
		return nil
	case key == "":
		return fault.New(fault.Usage, noEnvironment,
			"%s: %s cannot be had here, and would change the result", origin, shown)
	case v.Kind != sbuildrc.Scalar:
		return fault.New(fault.Usage, "", "%s: %s: a string is expected", origin, shown)
	}
	s.text[key], s.origin[key] = v.Text, origin
	return nil
}

// commandLineOf makes a line for the shell of a command that sbuild runs without one. A single word
// is the shell's, there as here.
func commandLineOf(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = w
		if w == "" ||
			strings.Trim(w,
				"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-") != "" {
			quoted[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}
