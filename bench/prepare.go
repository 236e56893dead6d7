package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// create makes a base in a state and with a cache that hold nothing else.
func (l *lab) create(ctx context.Context, state, cache string, options ...string) (time.Duration,
	error) {
	argv := append(
		[]string{"env", "NSBUILD_STATE=" + l.path(state), "NSBUILD_CACHE=" + l.path(cache),
			l.nsbuild, "create"}, options...)
	return l.timed(ctx, append(argv, l.suite)...)
}

// base sees to it that nsbuild has the suite's base.
func (l *lab) base(ctx context.Context) error {
	if l.has("state/bases/" + l.suite + "/current") {
		return nil
	}
	l.say("nsbuild create %s", l.suite)
	return l.do(ctx, l.nsbuild, "create", l.suite)
}

// noLayers removes the dependency layers.
func (l *lab) noLayers() error { return l.empty("cache/layers") }

// nsbuildBuild is the command that builds packages into out.
func (l *lab) nsbuildBuild(packages ...string) []string {
	argv := []string{l.nsbuild, "build", "-d", l.suite, "-o", l.path("out")}
	for _, pkg := range packages {
		argv = append(argv, l.dsc(pkg))
	}
	return argv
}

// baseTar makes the suite's build base as a tarball, for sbuild and the bare chroot.
func (l *lab) baseTar(ctx context.Context) (string, error) {
	name := l.suite + ".tar"
	return l.path(name), l.makeFile(name, func(temp string) error {
		l.say("making a base for sbuild and the bare chroot")
		if err := l.do(ctx, "mmdebstrap", "--variant=buildd", "--include=fakeroot", "--format=tar",
			l.suite, temp); err != nil {
			return err
		}
		return os.Chmod(temp, 0o644)
	})
}

// inChroot unpacks the base on a tmpfs and makes it one that can be worked in; $1 of the script is
// its directory.
const inChroot = `
mkdir -p "$1"
mount -t tmpfs -o size=4g,mode=755 bench "$1"
tar -C "$1" -xf "$2" --numeric-owner
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
rm -f "$1/etc/resolv.conf"
cp -L /etc/resolv.conf /etc/hosts "$1/etc/"
`

// sources has the packages' source files in the lab, fetched in a chroot of the suite.
func (l *lab) sources(ctx context.Context, packages ...string) error {
	var missing []string
	for _, pkg := range packages {
		if !l.has("src-" + pkg) {
			missing = append(missing, pkg)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	tar, err := l.baseTar(ctx)
	if err != nil {
		return err
	}
	l.say("fetching the sources of %s", strings.Join(missing, ", "))
	root := l.path("fetch")
	l.mounted["fetch"] = root
	script := inChroot + `
# What the host's apt needs to reach its mirror, this one needs too.
apt-config dump | grep -E '^Acquire::(http|https|Check-Valid-Until)' >"$1/etc/apt/apt.conf.d/99bench" || true
sed -n 's/^deb /deb-src /p' "$1/etc/apt/sources.list" >"$1/etc/apt/sources.list.d/source.list"
chroot "$1" apt-get -qq update
root=$1 lab=$3
shift 3
for package; do
	mkdir -p "$root/src/$package"
	chroot "$root" sh -ec 'cd "/src/$0"; apt-get -qq -o APT::Sandbox::User=root --download-only source "$0"' "$package"
	rm -rf "$lab/new-src"
	cp -r "$root/src/$package" "$lab/new-src"
	chmod -R a+rX "$lab/new-src"
	mv "$lab/new-src" "$lab/src-$package"
done
umount -R "$root"
`
	return l.do(ctx, append([]string{"sh", "-ec", script, "fetch", root, tar, l.dir},
		missing...)...)
}

// dsc is the .dsc of a package whose source is in the lab.
func (l *lab) dsc(pkg string) string {
	found, err := filepath.Glob(l.path("src-"+pkg, "*.dsc"))
	if err != nil || len(found) != 1 {
		return l.path("src-"+pkg, "missing.dsc") // which the tools will say
	}
	return found[0]
}

// bareChroot mounts a tmpfs with a chroot that has a package's build dependencies, and its source
// in /src.
func (l *lab) bareChroot(ctx context.Context, pkg string) error {
	if l.mounted[pkg] != "" {
		return nil
	}
	if err := l.sources(ctx, pkg); err != nil {
		return err
	}
	tar, err := l.baseTar(ctx)
	if err != nil {
		return err
	}
	root, ready := l.path("bare-"+pkg), "bare-"+pkg+".tar"
	l.mounted[pkg] = root
	if l.has(ready) {
		return l.do(ctx, "sh", "-ec", inChroot, "bare", root, l.path(ready))
	}
	l.say("making a chroot with %s's build dependencies", pkg)
	script := inChroot + `
apt-config dump | grep -E '^Acquire::(http|https|Check-Valid-Until)' >"$1/etc/apt/apt.conf.d/99bench" || true
chroot "$1" useradd --create-home --home-dir /home/builder builder
cp -r "$3" "$1/src"
chroot "$1" sh -ec '
	apt-get -qq update
	apt-get -qq --no-install-recommends build-dep /src/*.dsc
	apt-get clean'
tar -C "$1" --one-file-system --numeric-owner -cf "$4.new" .
mv "$4.new" "$4"
`
	return l.do(ctx, "sh", "-ec", script, "bare", root, tar, l.path("src-"+pkg), l.path(ready))
}

// sbuildReady makes what sbuild needs: its base, a user with subordinate ids (its unshare mode is
// not for root), and a tmpfs that everybody may write to, with a configuration that has sbuild use
// it.
func (l *lab) sbuildReady(ctx context.Context) error {
	if _, err := l.baseTar(ctx); err != nil || l.user != "" {
		return err
	}
	name := "bench" + strconv.Itoa(os.Getpid())
	if err := l.empty("home"); err != nil {
		return err
	}
	if err := l.do(ctx, "useradd", "--create-home", "--home-dir", l.path("home"),
		name); err != nil {
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
	if err := l.fresh("shm"); err != nil {
		return err
	}
	l.mounted["shm"] = l.path("shm")
	config := fmt.Sprintf("$unshare_tmpdir_template = '%s/sbuild.XXXXXXXXXX';\n1;\n", l.path("shm"))
	if err := os.WriteFile(l.path("sbuild.conf"), []byte(config), 0o644); err != nil {
		return err
	}
	return l.do(ctx, "mount", "-t", "tmpfs", "-o", "size=6g,mode=1777", "bench", l.path("shm"))
}

// sbuild is its command without the .dsc.
func (l *lab) sbuild(onTmpfs bool, jobs int) []string {
	argv := []string{"setpriv", "--reuid", l.user, "--regid", l.user, "--init-groups", "env",
		"HOME=" + l.path("home"), "USER=" + l.user, "LOGNAME=" + l.user}
	if onTmpfs {
		argv = append(argv, "SBUILD_CONFIG="+l.path("sbuild.conf"))
	}
	return append(argv, "sbuild", "--quiet", "--chroot-mode=unshare",
		"--chroot="+l.path(l.suite+".tar"), "--dist="+l.suite, "--arch-all", "--no-run-lintian",
		"--no-run-piuparts",
		"--no-run-autopkgtest", fmt.Sprintf("--jobs=%d", jobs), "--build-dir="+l.path("out-sbuild"))
}

// needPbuilder writes pbuilder a configuration that is none: what the host's says does not count.
func needPbuilder(_ context.Context, l *lab) error {
	return os.WriteFile(l.path("pbuilderrc"), []byte("USEDEVPTS=yes\nUSEPROC=yes\n"), 0o644)
}

func (l *lab) pbuilderCreate(tgz, place string) []string {
	if err := os.MkdirAll(l.path(place), 0o755); err != nil {
		l.say("%v", err) // pbuilder will say more
	}
	return []string{"pbuilder", "create", "--configfile", l.path("pbuilderrc"), "--distribution",
		l.suite, "--basetgz", l.path(tgz), "--buildplace", l.path(place), "--aptcache", ""}
}

// pbuilderBase makes pbuilder its base.
func (l *lab) pbuilderBase(ctx context.Context) error {
	return l.makeFile("pbuilder.tgz", func(temp string) error {
		l.say("making a base for pbuilder")
		return l.do(ctx, l.pbuilderCreate(filepath.Base(temp), "pbuilder-create")...)
	})
}

func (l *lab) pbuilderBuild(pkg string) []string {
	place, aptcache := l.path("pbuilder-build"), l.path("pbuilder-apt")
	for _, dir := range []string{place, aptcache} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			l.say("%v", err)
		}
	}
	return []string{"pbuilder", "build", "--configfile", l.path("pbuilderrc"), "--distribution",
		l.suite, "--basetgz", l.path("pbuilder.tgz"), "--buildplace", place, "--aptcache", aptcache,
		"--buildresult", l.path("out-pbuilder"), l.dsc(pkg)}
}

// hundred makes a state and a cache in which the base is one of a hundred, and so are the layers.
func (l *lab) hundred(ctx context.Context) error {
	if err := l.base(ctx); err != nil || l.mounted["hundred"] != "" {
		return err
	}
	if err := l.empty("state-100", "cache-100"); err != nil {
		return err
	}
	mount := l.path("state-100", "bases", l.suite)
	l.mounted["hundred"] = mount
	script := `
mkdir -p "$1/state-100/bases/$2"
mount --bind "$1/state/bases/$2" "$1/state-100/bases/$2"
generation=$(readlink "$1/state/bases/$2/current")
i=1
while [ $i -lt 100 ]; do
	other=$1/state-100/bases/other$i
	mkdir -p "$other/gen-1/tree"
	touch "$other/lock" "$other/gen-1/lock"
	cp "$1/state/bases/$2/$generation/manifest.json" "$other/gen-1/"
	ln -s gen-1 "$other/current"
	layer=$1/cache-100/layers/$(printf '%064x' $i)
	mkdir -p "$layer/tree"
	touch "$layer/lock"
	echo '{"base":"other","created":"2024-01-01T00:00:00Z","size":1,"packages":[]}' >"$layer/manifest.json"
	i=$((i + 1))
done
`
	return l.do(ctx, "sh", "-ec", script, "hundred", l.dir, l.suite)
}

// nspawnTree mounts a tree for systemd-nspawn.
func (l *lab) nspawnTree(ctx context.Context) error {
	if l.mounted["nspawn"] != "" {
		return nil
	}
	tar, err := l.baseTar(ctx)
	if err != nil {
		return err
	}
	l.mounted["nspawn"] = l.path("nspawn")
	return l.do(ctx, "sh", "-ec",
		`mkdir -p "$1"; mount -t tmpfs -o size=2g,mode=755 bench "$1"; tar -C "$1" -xf "$2" --numeric-owner`, "nspawn", l.path("nspawn"), tar)
}

func (l *lab) nspawn() []string {
	return []string{"systemd-nspawn", "--quiet", "--register=no", "--keep-unit",
		"--directory=" + l.path("nspawn"), "true"}
}
