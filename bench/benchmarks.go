package main

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// small are ten packages that are built in a few seconds each, of both kinds: one whose tests sleep
// for a minute would set the time of all tools alike.
var small = []string{"tree", "cowsay", "sl", "figlet", "ncompress", "unifdef", "ed", "dos2unix",
	"xxhash", "hostname"}

// benchmarks is the table of all, in the report's order.
func benchmarks() []benchmark {
	return []benchmark{
		{
			name: "create", what: "a build base, nothing cached", newDisks: true,
			contestants: []contestant{
				{
					name: "nsbuild create",
					run: func(ctx context.Context, l *lab) (time.Duration, error) {
						return l.create(ctx, disk+"/state", disk+"/cache")
					},
				},
				bootstrapper("mmdebstrap, to a directory", "tree", false, "mmdebstrap", "--quiet",
					"--variant=buildd"),
				bootstrapper("mmdebstrap, to a tarball", "tree.tar", false, "mmdebstrap", "--quiet",
					"--variant=buildd"),
				bootstrapper("debootstrap", "tree", false, "debootstrap", "--variant=buildd"),
				{
					name: "pbuilder create", needs: []string{"pbuilder"}, long: true,
					once: needPbuilder,
					run: func(ctx context.Context, l *lab) (time.Duration, error) {
						return l.timed(ctx,
							l.pbuilderCreate(disk+"/create.tgz", disk+"/pbuilder-create")...)
					},
				},
			},
		},
		{
			name: "create-cached", what: "a build base, the packages' files at hand", long: true,
			newDisks: true, contestants: []contestant{
				{
					name: "nsbuild create, lists and debs in its cache",
					once: func(ctx context.Context, l *lab) error {
						_, err := l.create(ctx, disk+"/state", "cache-create")
						return err
					},
					run: func(ctx context.Context, l *lab) (time.Duration, error) {
						return l.create(ctx, disk+"/state", "cache-create")
					},
				},
				{
					name: "nsbuild create, cache empty, local mirror",
					once: func(ctx context.Context, l *lab) error {
						if err := l.localMirror(ctx); err != nil {
							return err
						}
						_, err := l.create(ctx, disk+"/state-local", disk+"/cache", "--mirror",
							l.mirror)
						return err
					},
					run: func(ctx context.Context, l *lab) (time.Duration, error) {
						return l.create(ctx, disk+"/state-local", disk+"/cache", "--mirror",
							l.mirror)
					},
				},
				bootstrapper("mmdebstrap, to a directory, local mirror", "tree", true, "mmdebstrap",
					"--quiet", "--variant=buildd"),
				bootstrapper("debootstrap, local mirror", "tree", true, "debootstrap",
					"--variant=buildd"),
			},
		},
		building("tree", false), building("hello", true), building("zlib", true),
		building("cowsay", true),
		starting(),
		dying(),
		many(),
		{name: "memory", what: "the most memory that nsbuild's own processes had", long: true,
			instead: memory},
		{name: "leaks", what: "what is in use before and after many runs", long: true,
			instead: leaks},
		{name: "io", what: "what came from the disk, page cache empty, and from the network",
			long: true, instead: transfers, needs: []string{"sbuild"}},
	}
}

// bootstrapper makes a base with another tool, from its own mirror or from the local one.
func bootstrapper(name, target string, local bool, argv ...string) contestant {
	command := func(l *lab) []string {
		c := append(append([]string(nil), argv...), l.suite, l.path(disk, target))
		if local {
			c = append(c, l.mirror)
		}
		return c
	}
	c := contestant{
		name: name, needs: argv[:1], long: target != "tree" || argv[0] == "debootstrap",
		run: func(ctx context.Context, l *lab) (time.Duration, error) {
			return l.timed(ctx, command(l)...)
		},
	}
	if local {
		c.once = func(ctx context.Context, l *lab) error { // has what it wants in the mirror
			if err := l.localMirror(ctx); err != nil {
				return err
			}
			if err := l.empty(disk + "/" + target); err != nil {
				return err
			}
			return l.do(ctx, command(l)...)
		}
	}
	return c
}

// building compares the build of one package.
func building(pkg string, long bool) benchmark {
	needSource := func(ctx context.Context, l *lab) error { return l.sources(ctx, pkg) }
	nsbuild := func(ctx context.Context, l *lab) (time.Duration, error) {
		took, err := l.timed(ctx, l.nsbuildBuild(pkg)...)
		if err != nil {
			return 0, err
		}
		return took, l.built("out", pkg)
	}
	ready := func(ctx context.Context, l *lab) error {
		if err := needSource(ctx, l); err != nil {
			return err
		}
		if err := l.base(ctx); err != nil {
			return err
		}
		if err := l.fresh("out"); err != nil {
			return err
		}
		_, err := nsbuild(ctx, l) // the layer, and the debs for a cold build
		return err
	}
	fresh := func(_ context.Context, l *lab) error { return l.fresh("out") }
	return benchmark{
		name: "build-" + pkg, what: "a build of " + pkg + ", the base present", long: long,
		contestants: []contestant{
			{name: "nsbuild build, warm", once: ready, before: fresh, run: nsbuild},
			{
				name: "nsbuild build, cold: dependencies not yet installed, debs cached",
				before: func(_ context.Context, l *lab) error {
					if err := l.noLayers(); err != nil {
						return err
					}
					return l.fresh("out")
				},
				run: func(ctx context.Context, l *lab) (time.Duration, error) {
					took, err := nsbuild(ctx, l)
					// The next round of the warm one finds its layer.
					return took, err
				},
			},
			sbuild("sbuild, unshare mode", pkg, false),
			sbuild("sbuild, unshare mode, on a tmpfs", pkg, true),
			{
				name: "pbuilder build", needs: []string{"pbuilder"}, long: true,
				once: func(ctx context.Context, l *lab) error {
					if err := needPbuilder(ctx, l); err != nil {
						return err
					}
					return l.pbuilderBase(ctx)
				},
				before: func(_ context.Context, l *lab) error { return l.fresh("out-pbuilder") },
				run: func(ctx context.Context, l *lab) (time.Duration, error) {
					took, err := l.timed(ctx, l.pbuilderBuild(pkg)...)
					if err != nil {
						return 0, err
					}
					return took, l.built("out-pbuilder", pkg)
				},
			},
			{
				name:   "bare dpkg-buildpackage, chroot on a tmpfs ready",
				once:   func(ctx context.Context, l *lab) error { return l.bareChroot(ctx, pkg) },
				before: func(ctx context.Context, l *lab) error { return l.bareSource(ctx, pkg) },
				run: func(ctx context.Context, l *lab) (time.Duration, error) {
					return l.timed(ctx, "chroot", "--userspec=builder:builder", l.mounted[pkg],
						"sh", "-ec", bareBuild(runtime.NumCPU()))
				},
			},
		},
	}
}

// bareSource unpacks a package's source in its bare chroot.
func (l *lab) bareSource(ctx context.Context, pkg string) error {
	return l.do(ctx, "chroot", "--userspec=builder:builder", l.mounted[pkg], "sh", "-ec",
		"rm -rf /home/builder/b; mkdir /home/builder/b; cd /home/builder/b; dpkg-source -x "+
			"/src/*.dsc >/dev/null")
}

// bareBuild is the script that builds what bareSource unpacked, with so many processors.
func bareBuild(jobs int) string {
	return fmt.Sprintf("cd /home/builder/b/*/; exec env -i PATH=/usr/bin:/bin HOME=/nonexistent "+
		"LC_ALL=C.UTF-8 DEB_BUILD_OPTIONS=parallel=%d dpkg-buildpackage -us -uc -b", jobs)
}

// sbuild builds with the chroot unpacked where it does so by itself, or on a tmpfs.
func sbuild(name, pkg string, onTmpfs bool) contestant {
	return contestant{
		name: name, needs: []string{"sbuild"}, long: true,
		once: func(ctx context.Context, l *lab) error {
			if err := l.sources(ctx, pkg); err != nil {
				return err
			}
			return l.sbuildReady(ctx)
		},
		before: func(_ context.Context, l *lab) error { return l.fresh("out-sbuild") },
		run: func(ctx context.Context, l *lab) (time.Duration, error) {
			took, err := l.timed(ctx, append(l.sbuild(onTmpfs, runtime.NumCPU()), l.dsc(pkg))...)
			if err != nil {
				return 0, err
			}
			return took, l.built("out-sbuild", pkg)
		},
	}
}

// starting compares what it takes until a command runs in a sandbox, and until it has ended.
func starting() benchmark {
	nsbuild := func(name, state, cache string, once func(context.Context, *lab) error) contestant {
		return contestant{name: name, once: once, run: func(ctx context.Context, l *lab) (
			time.Duration, error) {
			return l.timed(ctx, "env", "NSBUILD_STATE="+l.path(state),
				"NSBUILD_CACHE="+l.path(cache), l.nsbuild, "run", l.suite, "--", "true")
		}}
	}
	plain := func(name, pkg string, argv ...string) contestant {
		return contestant{name: name, needs: []string{pkg}, run: func(ctx context.Context, l *lab) (
			time.Duration, error) {
			return l.timed(ctx, append([]string{"env", "--"}, argv...)...)
		}}
	}
	return benchmark{
		name: "start", what: "a sandbox that runs true", times: 10, contestants: []contestant{
			nsbuild("nsbuild run", "state", "cache", func(ctx context.Context, l *lab) error {
				return l.base(ctx)
			}),
			nsbuild("nsbuild run, 100 bases and layers present", "state-100", "cache-100",
				func(ctx context.Context, l *lab) error { return l.hundred(ctx) }),
			plain("bwrap --unshare-all", "bubblewrap", "bwrap", "--unshare-all", "--bind", "/", "/",
				"--proc", "/proc", "--dev", "/dev", "true"),
			plain("unshare, all namespaces", "util-linux", "unshare", "--user", "--map-root-user",
				"--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--mount-proc", "true"),
			{
				name: "systemd-nspawn", needs: []string{"systemd-container"}, long: true,
				optional: true,
				once: func(ctx context.Context, l *lab) error {
					if err := l.nspawnTree(ctx); err != nil {
						return err
					}
					return l.do(ctx, l.nspawn()...)
				},
				run: func(ctx context.Context, l *lab) (time.Duration, error) {
					return l.timed(ctx, append([]string{"env", "--"}, l.nspawn()...)...)
				},
			},
		},
	}
}

// many compares ways to build ten packages.
func many() benchmark {
	return benchmark{
		name: "many", what: "ten small packages: " + strings.Join(small, ", "), long: true,
		contestants: []contestant{
			manyByNsbuild("nsbuild build, two at once, warm", false, "2"),
			manyByNsbuild("nsbuild build, one after another, warm", false, "1"),
			manyByNsbuild("nsbuild build, two at once, cold", true, "2"),
			manyBySbuild("sbuild, on a tmpfs, two at once"),
			manyBare("bare dpkg-buildpackage, chroots on a tmpfs ready, two at once"),
		},
	}
}

func manyByNsbuild(name string, cold bool, atOnce string) contestant {
	run := func(ctx context.Context, l *lab) (time.Duration, error) {
		took, err := l.timed(ctx, append(l.nsbuildBuild(small...), "--jobs-at-once", atOnce)...)
		if err != nil {
			return 0, err
		}
		return took, l.built("out", small...)
	}
	return contestant{
		name: name,
		once: func(ctx context.Context, l *lab) error {
			if err := l.sources(ctx, small...); err != nil {
				return err
			}
			if err := l.base(ctx); err != nil {
				return err
			}
			if err := l.fresh("out"); err != nil || l.warmed {
				return err
			}
			l.warmed = true
			_, err := run(ctx, l)
			return err
		},
		before: func(_ context.Context, l *lab) error {
			if cold {
				if err := l.noLayers(); err != nil {
					return err
				}
			}
			return l.fresh("out")
		},
		run: run,
	}
}

func manyBySbuild(name string) contestant {
	return contestant{
		name: name, needs: []string{"sbuild"},
		once: func(ctx context.Context, l *lab) error {
			if err := l.sources(ctx, small...); err != nil {
				return err
			}
			return l.sbuildReady(ctx)
		},
		before: func(_ context.Context, l *lab) error { return l.fresh("out-sbuild") },
		run: func(ctx context.Context, l *lab) (time.Duration, error) {
			var list strings.Builder
			for _, pkg := range small {
				list.WriteString(l.dsc(pkg) + "\n")
			}
			argv := append([]string{"sh", "-c", `printf %s "$0" | xargs -n1 -P2 "$@"`,
				list.String()}, l.sbuild(true, 1)...)
			took, err := l.timed(ctx, argv...)
			if err != nil {
				return 0, err
			}
			return took, l.built("out-sbuild", small...)
		},
	}
}

func manyBare(name string) contestant {
	return contestant{
		name: name,
		once: func(ctx context.Context, l *lab) error {
			for _, pkg := range small {
				if err := l.bareChroot(ctx, pkg); err != nil {
					return err
				}
			}
			return nil
		},
		before: func(ctx context.Context, l *lab) error {
			for _, pkg := range small {
				if err := l.bareSource(ctx, pkg); err != nil {
					return err
				}
			}
			return nil
		},
		run: func(ctx context.Context, l *lab) (time.Duration, error) {
			// One processor for each, as sbuild above.
			script := `for root; do echo "$root"; done | xargs -P2 -I{} chroot --userspec=builder:builder {} sh -ec "$0"`
			argv := []string{"sh", "-c", script, bareBuild(1)}
			for _, pkg := range small {
				argv = append(argv, l.mounted[pkg])
			}
			return l.timed(ctx, argv...)
		},
	}
}

// built checks that a build left its packages.
func (l *lab) built(dir string, packages ...string) error {
	for _, pkg := range packages {
		if found, err := filepath.Glob(l.path(dir, pkg+"_*.changes")); err != nil ||
			len(found) == 0 {
			return fmt.Errorf("the build left no .changes of %s", pkg)
		}
	}
	return nil
}
