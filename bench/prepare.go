package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// peers are the packages of what is measured beside nsbuild.
var peers = []string{"bubblewrap", "debian-archive-keyring", "debootstrap", "mmdebstrap", "sbuild", "uidmap"}

// prepare installs the peers and makes what several benchmarks need.
func (l *lab) prepare(ctx context.Context) error {
	l.say("installing %s", strings.Join(peers, ", "))
	if err := l.do(ctx, "apt-get", "-qq", "update"); err != nil {
		return err
	}
	if err := l.do(ctx, append([]string{"apt-get", "-qq", "install", "--no-install-recommends"}, peers...)...); err != nil {
		return err
	}
	if l.nsbuild == "" {
		l.nsbuild = l.path("nsbuild")
		l.say("building nsbuild")
		build := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-trimpath", "-o", l.nsbuild, "./cmd/nsbuild")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		return l.finish(build)
	}
	var err error
	l.nsbuild, err = filepath.Abs(l.nsbuild)
	return err
}

// clean removes what the lab made. Trees of shifted ids are root's to remove.
func (l *lab) clean() error {
	var errs []error
	for _, root := range l.mounted {
		// Not all of them are mounted when something failed: what matters is that the removal below finds nothing of the host.
		_ = exec.Command("umount", "-R", root).Run()
	}
	if l.user != "" {
		errs = append(errs, exec.Command("userdel", l.user).Run())
	}
	return errors.Join(append(errs, os.RemoveAll(l.dir))...)
}

// baseTar makes the suite's build base as a tarball.
func (l *lab) baseTar(ctx context.Context) error {
	if l.tar != "" {
		return nil
	}
	l.say("making a base for sbuild and the bare chroot")
	tar := l.path(l.suite + ".tar")
	if err := l.do(ctx, "mmdebstrap", "--variant=buildd", "--include=fakeroot", l.suite, tar); err != nil {
		return err
	}
	l.tar = tar
	return nil
}

// bareChroot unpacks the base on a tmpfs and installs a package's build dependencies in it. It returns the chroot's directory; the package's source is in /src there.
func (l *lab) bareChroot(ctx context.Context, pkg string) (string, error) {
	if root := l.mounted[pkg]; root != "" {
		return root, nil
	}
	if err := l.baseTar(ctx); err != nil {
		return "", err
	}
	l.say("making a chroot with %s's build dependencies", pkg)
	root := l.path("bare-" + pkg)
	if err := os.Mkdir(root, 0o755); err != nil {
		return "", err
	}
	if l.mounted == nil {
		l.mounted = map[string]string{}
	}
	l.mounted[pkg] = root
	script := `
mount -t tmpfs -o size=4g,mode=755 bench "$1"
tar -C "$1" -xf "$2" --numeric-owner
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
rm -f "$1/etc/resolv.conf"
cp -L /etc/resolv.conf /etc/hosts "$1/etc/"
# What the host's apt needs to reach its mirror, this one needs too.
apt-config dump | grep -E '^Acquire::(http|https|Check-Valid-Until)' >"$1/etc/apt/apt.conf.d/99bench" || true
sed -n 's/^deb /deb-src /p' "$1/etc/apt/sources.list" >"$1/etc/apt/sources.list.d/source.list"
chroot "$1" useradd --create-home --home-dir /home/builder builder
mkdir -m 777 "$1/src"
chroot "$1" sh -ec '
	apt-get -qq update
	apt-get -qq --no-install-recommends build-dep "$0"
	cd /src
	apt-get -qq --download-only source "$0"' "$3"
`
	return root, l.do(ctx, "sh", "-ec", script, "bare", root, l.tar, pkg)
}

// source is a package's .dsc, outside of all chroots.
func (l *lab) source(ctx context.Context, pkg string) (string, error) {
	dir := l.path("src-" + pkg)
	if _, err := os.Stat(dir); err != nil {
		root, err := l.bareChroot(ctx, pkg)
		if err != nil {
			return "", err
		}
		if err := l.do(ctx, "cp", "-r", filepath.Join(root, "src"), dir); err != nil {
			return "", err
		}
		if err := l.do(ctx, "chmod", "-R", "a+rX", dir); err != nil {
			return "", err
		}
	}
	found, err := filepath.Glob(filepath.Join(dir, "*.dsc"))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("%d .dsc files in %s", len(found), dir)
	}
	return found[0], nil
}

// tmpfs mounts one that everybody may write to, at shm, and writes a configuration that lets sbuild use it.
func (l *lab) tmpfs(ctx context.Context) error {
	if l.mounted["sbuild"] != "" {
		return nil
	}
	if err := l.fresh("shm"); err != nil {
		return err
	}
	if l.mounted == nil {
		l.mounted = map[string]string{}
	}
	l.mounted["sbuild"] = l.path("shm")
	config := fmt.Sprintf("$unshare_tmpdir_template = '%s/sbuild.XXXXXXXXXX';\n1;\n", l.path("shm"))
	if err := os.WriteFile(l.path("sbuild.conf"), []byte(config), 0o644); err != nil {
		return err
	}
	return l.do(ctx, "mount", "-t", "tmpfs", "-o", "size=6g,mode=1777", "bench", l.path("shm"))
}

// sbuildUser makes a user with subordinate ids: sbuild's unshare mode is not for root.
func (l *lab) sbuildUser(ctx context.Context) error {
	if l.user != "" {
		return nil
	}
	name := "bench" + strconv.Itoa(os.Getpid())
	if err := l.do(ctx, "useradd", "--create-home", "--home-dir", l.path("home"), name); err != nil {
		return err
	}
	l.user = name
	subuid, err := os.ReadFile("/etc/subuid")
	if err != nil {
		return err
	}
	if !strings.Contains("\n"+string(subuid), "\n"+name+":") {
		return fmt.Errorf("useradd gave %s no range in /etc/subuid", name)
	}
	return nil
}

// timed runs a command and returns how long it took.
func (l *lab) timed(ctx context.Context, argv ...string) (time.Duration, error) {
	cmd := l.command(ctx, argv...)
	began := time.Now()
	err := l.finish(cmd)
	return time.Since(began), err
}

// base sees to it that nsbuild has the suite's base.
func (l *lab) base(ctx context.Context) error {
	if l.based {
		return nil
	}
	l.say("nsbuild create %s", l.suite)
	if err := l.empty("state"); err != nil {
		return err
	}
	if err := l.do(ctx, l.nsbuild, "create", l.suite); err != nil {
		return err
	}
	l.based = true
	return nil
}

// empty removes directories of the lab.
func (l *lab) empty(names ...string) error {
	var errs []error
	for _, name := range names {
		errs = append(errs, os.RemoveAll(l.path(name)))
	}
	return errors.Join(errs...)
}

// fresh makes empty directories of the lab, that everybody may write to.
func (l *lab) fresh(names ...string) error {
	if err := l.empty(names...); err != nil {
		return err
	}
	for _, name := range names {
		if err := os.Mkdir(l.path(name), 0o755); err != nil {
			return err
		}
		if err := os.Chmod(l.path(name), 0o1777); err != nil {
			return err
		}
	}
	return nil
}
