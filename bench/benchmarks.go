package main

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// contestant is one tool's way of doing a benchmark's work.
type contestant struct {
	name string
	// prepare is not timed; once is done before the first round, before in front of each.
	once, before func(context.Context, *lab) error
	run          func(context.Context, *lab) (time.Duration, error)
}

// benchmark is work that several tools can do. The first contestant is the one that the others are compared with.
type benchmark struct {
	name, what  string
	times       int  // multiplies the rounds
	long        bool // left out by --short
	contestants []contestant
	// instead of a race, this makes the table's lines.
	instead func(context.Context, *lab) (string, error)
}

var benchmarks = []benchmark{
	{
		name: "create", what: "a build base, nothing cached", contestants: []contestant{
			{
				name: "nsbuild create", before: func(_ context.Context, l *lab) error { l.based = false; return l.empty("state", "cache") },
				run: func(ctx context.Context, l *lab) (time.Duration, error) {
					return l.timed(ctx, l.nsbuild, "create", l.suite)
				},
			},
			bootstrapper("mmdebstrap --variant=buildd, to a directory", "mmdebstrap", "--quiet", "--variant=buildd"),
			bootstrapper("debootstrap --variant=buildd", "debootstrap", "--variant=buildd"),
		},
	},
	{
		name: "create-cached", what: "a build base, nsbuild's debs and lists cached", contestants: []contestant{
			{
				name:   "nsbuild create",
				once:   func(ctx context.Context, l *lab) error { return l.base(ctx) },
				before: func(_ context.Context, l *lab) error { l.based = false; return l.empty("state") },
				run: func(ctx context.Context, l *lab) (time.Duration, error) {
					return l.timed(ctx, l.nsbuild, "create", l.suite)
				},
			},
		},
	},
	building("tree", false),
	building("hello", true),
	{
		name: "start", what: "a jail that runs true", times: 10, contestants: []contestant{
			{
				name: "nsbuild run", once: func(ctx context.Context, l *lab) error { return l.base(ctx) },
				run: func(ctx context.Context, l *lab) (time.Duration, error) {
					return l.timed(ctx, l.nsbuild, "run", l.suite, "--", "true")
				},
			},
			{
				name: "bwrap --unshare-all",
				run: func(ctx context.Context, l *lab) (time.Duration, error) {
					return l.timed(ctx, "bwrap", "--unshare-all", "--bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "true")
				},
			},
			{
				name: "unshare, all namespaces",
				run: func(ctx context.Context, l *lab) (time.Duration, error) {
					return l.timed(ctx, "unshare", "--user", "--map-root-user", "--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--mount-proc", "true")
				},
			},
		},
	},
	{name: "create-memory", what: "the most memory that each kind of process of nsbuild had while making a base", long: true, instead: createMemory},
}

func bootstrapper(name string, argv ...string) contestant {
	return contestant{
		name:   name,
		before: func(_ context.Context, l *lab) error { return l.empty("tree") },
		run: func(ctx context.Context, l *lab) (time.Duration, error) {
			return l.timed(ctx, append(argv, l.suite, l.path("tree"))...)
		},
	}
}

// building compares the build of one package.
func building(pkg string, long bool) benchmark {
	needSource := func(ctx context.Context, l *lab) error {
		_, err := l.source(ctx, pkg)
		return err
	}
	nsbuild := func(ctx context.Context, l *lab) (time.Duration, error) {
		dsc, err := l.source(ctx, pkg)
		if err != nil {
			return 0, err
		}
		took, err := l.timed(ctx, l.nsbuild, "build", "-d", l.suite, dsc, "-o", l.path("out"))
		if err != nil {
			return 0, err
		}
		return took, l.built("out", pkg)
	}
	ready := func(ctx context.Context, l *lab) error {
		if err := l.base(ctx); err != nil {
			return err
		}
		return needSource(ctx, l)
	}
	return benchmark{
		name: "build-" + pkg, what: "a build of " + pkg + ", the base present", long: long, contestants: []contestant{
			{
				name: "nsbuild build, warm",
				once: func(ctx context.Context, l *lab) error {
					if err := ready(ctx, l); err != nil {
						return err
					}
					if err := l.fresh("out"); err != nil {
						return err
					}
					_, err := nsbuild(ctx, l)
					return err
				},
				before: func(_ context.Context, l *lab) error { return l.fresh("out") },
				run:    nsbuild,
			},
			{
				name: "nsbuild build, dependencies not yet installed (debs cached)", once: ready,
				before: func(_ context.Context, l *lab) error {
					if err := l.empty("cache/layers"); err != nil {
						return err
					}
					return l.fresh("out")
				},
				run: nsbuild,
			},
			sbuild("sbuild, unshare mode", pkg, false),
			sbuild("sbuild, unshare mode, on a tmpfs", pkg, true),
			{
				name: "bare dpkg-buildpackage, chroot on a tmpfs ready", once: needSource,
				before: func(ctx context.Context, l *lab) error {
					root, err := l.bareChroot(ctx, pkg)
					if err != nil {
						return err
					}
					return l.do(ctx, "chroot", "--userspec=builder:builder", root, "sh", "-ec", "rm -rf /home/builder/b; mkdir /home/builder/b; cd /home/builder/b; dpkg-source -x /src/*.dsc >/dev/null")
				},
				run: func(ctx context.Context, l *lab) (time.Duration, error) {
					return l.timed(ctx, "chroot", "--userspec=builder:builder", l.mounted[pkg], "sh", "-ec",
						fmt.Sprintf("cd /home/builder/b/*/; exec env -i PATH=/usr/bin:/bin HOME=/nonexistent LC_ALL=C.UTF-8 DEB_BUILD_OPTIONS=parallel=%d dpkg-buildpackage -us -uc -b", runtime.NumCPU()))
				},
			},
		},
	}
}

// sbuild builds with the chroot unpacked where it does so by itself, or on a tmpfs.
func sbuild(name, pkg string, onTmpfs bool) contestant {
	return contestant{
		name: name,
		once: func(ctx context.Context, l *lab) error {
			if err := l.baseTar(ctx); err != nil {
				return err
			}
			if _, err := l.source(ctx, pkg); err != nil {
				return err
			}
			if err := l.tmpfs(ctx); err != nil {
				return err
			}
			return l.sbuildUser(ctx)
		},
		before: func(_ context.Context, l *lab) error { return l.fresh("out-sbuild") },
		run: func(ctx context.Context, l *lab) (time.Duration, error) {
			dsc, err := l.source(ctx, pkg)
			if err != nil {
				return 0, err
			}
			argv := []string{"setpriv", "--reuid", l.user, "--regid", l.user, "--init-groups", "env", "HOME=" + l.path("home"), "USER=" + l.user, "LOGNAME=" + l.user}
			if onTmpfs {
				argv = append(argv, "SBUILD_CONFIG="+l.path("sbuild.conf"))
			}
			argv = append(argv, "sbuild", "--quiet", "--chroot-mode=unshare", "--chroot="+l.tar, "--dist="+l.suite, "--arch-all", "--no-run-lintian", "--no-run-piuparts",
				"--no-run-autopkgtest", fmt.Sprintf("--jobs=%d", runtime.NumCPU()), "--build-dir="+l.path("out-sbuild"), dsc)
			took, err := l.timed(ctx, argv...)
			if err != nil {
				return 0, err
			}
			return took, l.built("out-sbuild", pkg)
		},
	}
}

// built checks that a build left its packages.
func (l *lab) built(dir, pkg string) error {
	for _, pattern := range []string{pkg + "_*.deb", "*.changes"} {
		if found, err := filepath.Glob(l.path(dir, pattern)); err != nil || len(found) == 0 {
			return fmt.Errorf("the build left no %s", pattern)
		}
	}
	return nil
}

func names() []string {
	var out []string
	for _, b := range benchmarks {
		out = append(out, b.name)
	}
	return out
}

func (b benchmark) chosen(s settings) bool {
	if s.only == "" {
		return !s.short || !b.long
	}
	for prefix := range strings.SplitSeq(s.only, ",") {
		if strings.HasPrefix(b.name, strings.TrimSpace(prefix)) {
			return true
		}
	}
	return false
}
