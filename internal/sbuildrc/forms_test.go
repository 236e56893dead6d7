package sbuildrc

import (
	"strings"
	"testing"
)

// formKeys are the keys that the forms below set.
const formKeys = "apt_upgrade autopkgtest_opts autopkgtest_root_args autopkgtest_virt_server_options " +
	"bd_uninstallable_explainer build_arch_all build_dep_resolver build_dir " +
	"build_environment build_source check_space chroot_aliases " +
	"clean_apt_cache distribution dpkg_buildpackage_user_options dpkg_source_opts " +
	"environment_filter external_commands extra_packages extra_repositories " +
	"force_orig_source host_arch key_id lintian_opts " +
	"log_dir log_hidden_sections mailto maintainer_name " +
	"manual_depends nolog path pgp_options " +
	"piuparts_opts piuparts_root_args purge_build_deps run_lintian " +
	"source_only_changes unshare_bind_mounts unshare_mmdebstrap_distro_mangle " +
	"unshare_mmdebstrap_env_cmd " +
	"unshare_mmdebstrap_extra_args unshare_mmdebstrap_keep_tarball unshare_tmpdir_template verbose"

// TestForms reads forms that were met in some forty sbuildrc, config.pl and sbuild.conf files in
// public. What is readable in them has the values that sbuild 0.89 itself gave its keys.
func TestForms(t *testing.T) {
	for _, f := range []struct{ text, want string }{
		{"# -d\n$distribution = 'unstable';\n$build_arch_all = 1;\n$run_lintian = " +
			"1;\n$lintian_opts = ['-i', '-I'];\n$autopkgtest_root_args = '';\n$autopkgtest_opts " +
			"= [ '--', 'schroot', '%r-%a-sbuild' ];\n1;",
			`$autopkgtest_opts=["--" "schroot" "%r-%a-sbuild"]@7 $autopkgtest_root_args=""@6 $build_arch_all="1"@3 $distribution="unstable"@2 $lintian_opts=["-i" "-I"]@5 $run_lintian="1"@4`},
		{"$maintainer_name='林 B " +
			"<b@mirror.example>';\n$log_dir=$ENV{HOME}.\"/ubuntu/logs\";\n$piuparts_opts = " +
			"[\"--basetgz=$HOME/.cache/sbuild/%r-%a.tar.zst\", '--distribution=%r'];\n1;",
			`$log_dir="/home/pete/ubuntu/logs"@2 $maintainer_name="林 B <b@mirror.example>"@1 $piuparts_opts=["--basetgz=/home/pete/.cache/sbuild/%r-%a.tar.zst" "--distribution=%r"]@3`},
		{"$build_arch_all = 1; \n$apt_upgrade = 0;\n$purge_build_deps=\"never\";",
			`$apt_upgrade="0"@2 $build_arch_all="1"@1 $purge_build_deps="never"@3`},
		{"$ENV{'DEB_BUILD_OPTIONS'} = 'parallel=4';\n$lintian_opts = ['--fail-on-warnings', " +
			"'--color', 'auto',];\n1;",
			`$lintian_opts=["--fail-on-warnings" "--color" "auto"]@2 $ENV{DEB_BUILD_OPTIONS}="parallel=4"@1`},
		{"use Dpkg::BuildInfo;\n$environment_filter = " +
			"[\n\tDpkg::BuildInfo::get_build_env_allowed(),\n\t'^DEB(IAN|SIGN)?_[A-Z_]+$',\n\t# " +
			"why\n\t'^(C(PP|XX)?|LD|F)FLAGS_APPEND$',\n];\n$run_lintian = 1;\n1;",
			`$environment_filter=unreadable (the form "Dpkg::BuildInfo::get_build_env_allowed()…" is not understood)@3 $run_lintian="1"@8`},
		{"$external_commands = { \"build-failed-commands\" => [ [ '%SBUILD_SHELL' ] ] " +
			"};\n$piuparts_root_args = ['PATH=/usr/sbin:/usr/bin', 'unshare', " +
			"'--pid'];\n$source_only_changes = 1;",
			`$external_commands={build-failed-commands:[["%SBUILD_SHELL"]]}@1 $piuparts_root_args=["PATH=/usr/sbin:/usr/bin" "unshare" "--pid"]@2 $source_only_changes="1"@3`},
		{"$build_environment = {\n\t'DEB_BUILD_OPTIONS' => 'parallel=4'\n};",
			`$build_environment={DEB_BUILD_OPTIONS:"parallel=4"}@1`},
		{"$unshare_mmdebstrap_extra_args = [\n\t'*' => ['--include=debhelper', " +
			"q#--aptopt='Acquire::http { Proxy \"http://127.0.0.1:3142\"; }'#, " +
			"\"$HOME/.config/%r.sources\"],\n\t'a-%r' => " +
			"['--include=dh-cargo'],\n];\n$unshare_mmdebstrap_env_cmd = [ 'env', " +
			"'TMPDIR=/dev/shm/' ];\n$distribution = 'sid';",
			`$distribution="sid"@6 $unshare_mmdebstrap_env_cmd=["env" "TMPDIR=/dev/shm/"]@5 $unshare_mmdebstrap_extra_args=["*" ["--include=debhelper" "--aptopt='Acquire::http { Proxy \"http://127.0.0.1:3142\"; }'" "/home/pete/.config/%r.sources"] "a-%r" ["--include=dh-cargo"]]@1`},
		{"push @{$unshare_mmdebstrap_distro_mangle}, qr/^grml-.*$/ => 'unstable';\npush " +
			"@$unshare_mmdebstrap_distro_mangle, qr/^(.*)-backports$/ => '$1';\n$verbose = 1;",
			`$unshare_mmdebstrap_distro_mangle=[/^grml-.*$/ "unstable" /^(.*)-backports$/ "$1"]@2 $verbose="1"@3`},
		{"my @ubuntu = split(/\\n/, `true`);\n$unshare_mmdebstrap_extra_args = [\n    \"*\" => [ " +
			"\"--verbose\", \"--customize-hook=chroot \\$1 update-ccache-symlinks\" ],\n    map " +
			"{ $_ => [ \"--components=main,universe\" ] } " +
			"@ubuntu,\n];\n$unshare_mmdebstrap_keep_tarball = 1;\n1;",
			"$unshare_mmdebstrap_extra_args=unreadable (the form \"map { $_ => [ " +
				"\\\"--components=main,univers…\" is not understood)@4 " +
				"$unshare_mmdebstrap_keep_tarball=\"1\"@6 note f:1: not read: the form " +
				"\"split(/\\\\n/, `true`);\" is not understood"},
		{"if (-d \"/nonexistent/x\") {\n    $build_dir = \"/nonexistent/x\";\n}\nif (-d " +
			"\"/etc\") { $log_dir = '/etc'; }\n1;", `$log_dir="/etc"@4`},
		{"$distribution = 'unstable';\nif ($distribution eq 'unstable') {\n    push " +
			"@{$extra_repositories}, 'deb http://m.example sid main';\n}\n1;",
			`$distribution="unstable"@1 $extra_repositories=["deb http://m.example sid main"]@3`},
		{"$host_arch = 'arm64';\nif ($host_arch eq 'amd64') {\n    $external_commands = { " +
			"'chroot-setup-commands' => [ \"export A=}\" ] };\n    " +
			"$build_environment->{\"LD_PRELOAD\"} = \"/usr/lib/x.so\";\n    " +
			"$environment_filter=[Dpkg::BuildInfo::get_build_env_allowed(), '^LD_PRELOAD$'];\n} " +
			"elsif ($host_arch eq 'arm64') {\n    $build_environment->{\"LD_PRELOAD\"} = " +
			"\"/usr/lib/y.so\";\n} else { $verbose = 2; }\n$build_environment->{\"CCACHE_DIR\"} " +
			"= \"/build/ccache\";\n1;",
			`$build_environment={CCACHE_DIR:"/build/ccache" LD_PRELOAD:"/usr/lib/y.so"}@9 $host_arch="arm64"@1`},
		{"my $fqdn=`echo a.example`;\nchomp $fqdn;\n$maintainer_name=\"Daemon " +
			"<buildd\\@$fqdn>\";\n$build_arch_all = 0;\n1;", "$build_arch_all=\"0\"@4 " +
			"$maintainer_name=unreadable (it is made of $fqdn, which is not read)@3 note f:1: " +
			"not read: the form \"`echo a.example`;\" is not understood note f:2: not read: the " +
			"form \"chomp $fqdn;\" is not understood"},
		{"{\n    no strict 'vars';\n    $bd_uninstallable_explainer = '';\n}\n$check_space = 0;\n1;", `$bd_uninstallable_explainer=""@3 $check_space="0"@5`},
		{"my $USERNAME = \"$ENV{USER}\";\n$build_dir = \"/home/${USERNAME}/build\";\n$log_dir = " +
			"'/home/${USERNAME}/logs';\n1;",
			`$build_dir="/home/pete/build"@2 $log_dir="/home/${USERNAME}/logs"@3`},
		{"my @_qemu = ('--ram-size=4096', '--cpus=2');\n$autopkgtest_virt_server_options = [ " +
			"@_qemu, '--', '/srv/%r.img' ];\n$lintian_opts = [ '-E', @_qemu ];\n$extra_packages " +
			"= [\n    # '/home/x'\n];\n1;",
			`$autopkgtest_virt_server_options=["--ram-size=4096" "--cpus=2" "--" "/srv/%r.img"]@2 $extra_packages=[]@4 $lintian_opts=["-E" "--ram-size=4096" "--cpus=2"]@3`},
		{"use Getopt::Long qw(GetOptionsFromArray);\nmy $cli_dist;\n{\n    my @argv_copy = " +
			"@ARGV;\n    Getopt::Long::Configure(qw(pass_through no_auto_abbrev));\n    " +
			"GetOptionsFromArray(\\@argv_copy, 'd|dist|distribution=s' => \\$cli_dist);\n}\nif " +
			"(($cli_dist // '') eq 'experimental') {\n    $build_dep_resolver = " +
			"'aptitude';\n}\n$verbose = 1;\n1;",
			`$build_dep_resolver=unreadable (it is made of $cli_dist, which is not read)@8 $verbose="1"@11 note f:4: not read: @ARGV is not read note f:5: not read: the form "Getopt::Long::Configure(qw(pass_through …" is not understood note f:6: not read: the form "GetOptionsFromArray(\\@argv_copy, 'd|dist…" is not understood`},
		{"$build_environment = {\n    'DEB_BUILD_OPTIONS' => 'parallel=' . (int(`echo 4` * 0.9) " +
			"|| 1),\n};\n$verbose = 1;\n1;", "$build_environment=unreadable (the form " +
			"\"int(`echo 4` * 0.9) || 1),\" is not understood)@2 $verbose=\"1\"@4"},
		{"my $tmpdir_root = $ENV{NONE_SUCH} // '/var/tmp/x';\n$unshare_tmpdir_template = " +
			"\"$tmpdir_root/tmp.sbuild\";\n$path = join(':', '/usr/lib/ccache', " +
			"'/bin');\nmy $d = \"$ENV{HOME}/c\";\n$unshare_bind_mounts = [ { directory => $d, " +
			"mountpoint => '/build/ccache' }, ];\n1;",
			`$path=unreadable (the form "join(':', '/usr/lib/ccache', '/bin');" is not understood)@3 $unshare_bind_mounts=[{directory:"/home/pete/c" mountpoint:"/build/ccache"}]@5 $unshare_tmpdir_template="/var/tmp/x/tmp.sbuild"@2`},
		{"$dpkg_source_opts = [\n    '--extend-diff-ignore=(^|/)\\.jj/',\n    " +
			"'-I.jj',\n];\n$distribution = 'resolute';\n$autopkgtest_opts = [ '--', 'lxd', " +
			"\"ubuntu:$distribution\" ];\n$pgp_options = ['-us', '-k Mini Key'];\n1;",
			`$autopkgtest_opts=["--" "lxd" "ubuntu:resolute"]@6 $distribution="resolute"@5 $dpkg_source_opts=["--extend-diff-ignore=(^|/)\\.jj/" "-I.jj"]@1 $pgp_options=["-us" "-k Mini Key"]@7`},
		{"$chroot_aliases->{reform} = 'unstable';\n$clean_apt_cache = 0;\n$log_hidden_sections = " +
			"['cleanup'];\n1;",
			`$chroot_aliases={reform:"unstable"}@1 $clean_apt_cache="0"@2 $log_hidden_sections=["cleanup"]@3`},
		{"$verbose = 1 if $ENV{HOME};\n$nolog = 1 unless defined $ENV{HOME};\n$build_source = 1 " +
			"if (-e '/nonexistent' or $verbose == 1) and not $nolog;\n$distribution = 'x' if " +
			"$HOME =~ m{^/nope};\npush @{$extra_packages}, '/x' if !$distribution;\n1;",
			`$build_source="1"@3 $extra_packages=["/x"]@5 $verbose="1"@1`},
		{"$distribution = $ENV{DIST_NONE} ? 'a' : 'b';\n$dpkg_buildpackage_user_options = " +
			"['-j16'];\n$external_commands->{\"chroot-setup-commands\"} = [\n    \"echo " +
			"'APT::Sandbox::User \\\"root\\\";' > /etc/apt/x\",\n];\n1;",
			`$distribution="b"@1 $dpkg_buildpackage_user_options=["-j16"]@2 $external_commands={chroot-setup-commands:["echo 'APT::Sandbox::User \"root\";' > /etc/apt/x"]}@3`},
		{"if ($ENV{HOME} =~ /it's/ || $ENV{HOME} ne $HOME) { $distribution = 'q'; }\nunless " +
			"($distribution) { $distribution = \"sid\" }\n$verbose = 1;\n1;",
			`$distribution="sid"@2 $verbose="1"@3`},
		{"$unshare_mmdebstrap_extra_args = $conf->_get('UNSHARE_MMDEBSTRAP_EXTRA_ARGS');\npush " +
			"@{$unshare_mmdebstrap_extra_args}, \"*\", ['--include=netbase'];\npush " +
			"@$unshare_mmdebstrap_extra_args,\n    qr/^(experimental|rc-buggy)$/ => [\n        " +
			"'--keyring=/usr/share/keyrings/debian-archive-keyring.gpg',\n    ];\n1;",
			`$unshare_mmdebstrap_extra_args=["*" ["--include=netbase"] /^(experimental|rc-buggy)$/ ["--keyring=/usr/share/keyrings/debian-archive-keyring.gpg"]]@3`},
		{"$mailto = $ENV{USER};\n$key_id='a@mirror.example';\n$build_source = 0; " +
			"$force_orig_source = 1;\n$manual_depends = [ 'foo (>= 1)' ];\n1;",
			`$build_source="0"@3 $force_orig_source="1"@3 $key_id="a@mirror.example"@2 $mailto="pete"@1 $manual_depends=["foo (>= 1)"]@4`},
		{"my %opts = (a => '-i', b => '-I');\nif (exists $opts{a}) { $lintian_opts = [ values " +
			"%opts ]; }\n$run_lintian = 0;\n1;",
			`$lintian_opts=unreadable (the form "exists $opts{a}) { $lintian_opts = [ val…" is not understood)@2 $run_lintian="0"@3`},
	} {
		cfg := New(strings.Fields(formKeys), []string{"HOME=/home/pete", "USER=pete"}, "/home/pete")
		if err := cfg.Parse("f", f.text); err != nil {
			t.Errorf("%s\n%v", f.text, err)
		} else if got := shown(cfg); got != f.want {
			t.Errorf("%s\ngot  %s\nwant %s", f.text, got, f.want)
		}
	}
}
