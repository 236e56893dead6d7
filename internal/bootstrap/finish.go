package bootstrap

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/bootstrap/unpack"
)

// The builder is the unprivileged user that packages are built as. nsbuild writes it into the base
// itself: trixie's bases have no useradd. Its home does not exist, as a build must not need one.
// 1000 is the first id of ordinary users (Debian Policy 9.2.2), the one that a developer's own
// account usually has.
const (
	BuilderName = "builder"
	BuilderUID  = 1000
	BuilderGID  = 1000
)

// prepared is what debootstrap puts into a tree before packages are configured.
func (j *job) prepared() unpack.Finish {
	f := unpack.Finish{Tree: jailTree, Files: []unpack.File{
		{Path: "/etc/fstab", Body: "# UNCONFIGURED FSTAB FOR BASE SYSTEM\n", Keep: true},
		{Path: "/etc/localtime", Target: "/usr/share/zoneinfo/UTC", Keep: true},
		{Path: "/etc/hostname", Body: "localhost\n", Keep: true},
		{Path: "/etc/resolv.conf", Keep: true},
		{Path: "/usr/sbin/policy-rc.d", Body: "#!/bin/sh\nexit 101\n", Mode: 0o755},
	}}
	if j.hasDebconf() {
		f.Files = append(f.Files, answers()...)
	}
	if slices.Contains(j.plan.required, "mawk") {
		// Scripts may run awk before mawk's own script has made the alternative, which replaces a
		// link.
		f.Files = append(f.Files, unpack.File{Path: "/usr/bin/awk", Target: "mawk", Keep: true})
	}
	return f
}

// hasDebconf tells whether the tree gets debconf.
func (j *job) hasDebconf() bool {
	return slices.Contains(j.plan.required, "debconf") || slices.Contains(j.plan.base, "debconf")
}

// answers are what debconf-set-selections would write for "man-db man-db/auto-update boolean false"
// (debconf-devel(7); the files are those of its File driver, debconf.conf(5)): debconf asks nothing
// that has been answered. man-db asks whether to read every manual page when it is installed, and
// again whenever a package has some. It came to ask for the sake of builds (Debian bug 554914), and
// sbuild gives the same answer. debhelper depends on man-db, and no build looks for pages in that
// index.
func answers() []unpack.File {
	const question, owner = "man-db/auto-update", "man-db"
	return []unpack.File{
		{Path: "/var/cache/debconf/config.dat", Body: "Name: " + question + "\nTemplate: " +
			question + "\nValue: false\nOwners: " + owner + "\nFlags: seen\n\n"},
		{Path: "/var/cache/debconf/templates.dat", Body: "Name: " + question +
			"\nDescription: The answer that nsbuild has given\nType: boolean\nOwners: " +
			question + "\n\n"},
	}
}

// finished is what makes a configured tree a base: neutral, without traces of its making, and the
// same each time.
func (j *job) finished(sources []aptconf.Repo) unpack.Finish {
	var list strings.Builder
	for _, r := range sources {
		list.WriteString(r.SourcesLine() + "\n")
	}
	days := j.o.Epoch.Unix() / int64(24*time.Hour/time.Second)
	user := fmt.Sprintf("%s:x:%d:%d::/nonexistent:/bin/sh", BuilderName, BuilderUID, BuilderGID)
	return unpack.Finish{
		Tree: jailTree,
		Files: []unpack.File{
			{Path: "/etc/apt/sources.list", Body: list.String()},
			{Path: "/etc/hosts",
				Body: "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"},
			{Path: "/etc/apt/apt.conf.d/90nsbuild", Body: aptConf},
			{Path: "/etc/dpkg/dpkg.cfg.d/90nsbuild", Body: "# A base can be made again: what is " +
				"written need not survive a power failure.\nforce-unsafe-io\n"},
		},
		Lines: []unpack.Line{
			{Path: "/etc/passwd", Text: user},
			{Path: "/etc/group", Text: fmt.Sprintf("%s:x:%d:", BuilderName, BuilderGID)},
			{Path: "/etc/shadow", Text: fmt.Sprintf("%s:!:%d:0:99999:7:::", BuilderName, days),
				Optional: true},
			{Path: "/etc/gshadow", Text: BuilderName + ":!::", Optional: true},
		},
		Remove: []string{
			// Device nodes have no place in a base, and a jail has its own.
			"/dev/*", "/tmp/*", "/tmp/.[!.]*", "/var/tmp/*",
			"/etc/machine-id", "/var/lib/dbus/machine-id",
			// Backups, caches with inode numbers or times in them, logs.
			"/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-", "/etc/subuid-",
			"/etc/subgid-",
			"/var/cache/ldconfig/aux-cache", "/var/cache/debconf/*-old", "/var/lib/dpkg/*-old",
			"/var/lib/apt/lists/lock", "/var/cache/apt/*.bin", "/var/cache/apt/archives/*.deb",
			"/var/log/alternatives.log", "/var/log/dpkg.log", "/var/log/bootstrap.log",
			"/var/log/apt/*",
		},
		Truncate: []string{"/var/log/btmp", "/var/log/wtmp", "/var/log/lastlog",
			"/var/log/faillog"},
		Epoch: j.o.Epoch,
	}
}

// aptConf is for whoever runs apt in a jail by hand or from a hook; nsbuild's own calls say
// everything on the command line.
const aptConf = `# Written by nsbuild: a base is for building packages.
APT::Install-Recommends "false";
Acquire::Languages "none";
APT::AutoRemove::SuggestsImportant "false";
`
