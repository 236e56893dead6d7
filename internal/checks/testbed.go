package checks

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"nsbuild/internal/apt"
	"nsbuild/internal/archive/release"
	"nsbuild/internal/bootstrap"
	"nsbuild/internal/buildroot"
	"nsbuild/internal/copies"
	"nsbuild/internal/ctxio"
	"nsbuild/internal/deps"
	"nsbuild/internal/dsc"
	"nsbuild/internal/install"
	"nsbuild/internal/jails"
	"nsbuild/internal/sandbox"
)

// testbed is a jail of a check, over the base and what relations want installed.
type testbed struct {
	*Bench
	buildroot.Worker
	extra     deps.Extra // packages for it come from there, too
	installed *deps.Installed
	copies    *copies.Beside

	unpacked  bool            // the source lies there
	failing   sandbox.Command // that has failed, if the check has
	artifacts string          // the directory of a test's artifacts
}

// bare is a testbed over the base alone.
func (b *Bench) bare() *testbed {
	return &testbed{Bench: b, Worker: buildroot.Worker{Env: b.Env, Log: b.Log}, extra: b.Extra,
		installed: &deps.Installed{Lowers: []sandbox.Lower{{Path: b.Base.Tree()}}},
		copies:    &copies.Beside{Maker: b.Copies, Log: b.Deps.Log}}
}

// with is a testbed over the base, with what relations want installed. Its layer is kept, as those
// of builds are, unless it is to have none.
func (b *Bench) with(ctx context.Context, relations string, extra deps.Extra, noLayers bool) (
	_ *testbed, err error) {
	t := b.bare()
	t.extra = extra
	defer func() {
		if err != nil {
			err = t.end(ctx, t.making+": installing", "", "", err)
		}
	}()
	wanted, err := dsc.ParseRelations(relations)
	if err != nil {
		return nil, err
	}
	reduced := dsc.BuildRelations{Depends: wanted}.Reduce(dsc.Context{BuildArch: b.Arch,
		HostArch: b.Arch, Profiles: b.Env.Profiles})
	reduced.Depends = reduced.Depends.FirstAlternatives()
	b.Log.Printf("Wanted: %s", reduced.Depends)
	request := deps.Request{Reduced: reduced, Base: b.Base, Arch: b.Arch, Host: b.Arch,
		Suite: b.Suite, Resolver: b.Resolver, Repos: b.Repos, Components: b.Components,
		Extra: extra, NoLayers: noLayers}
	t.installed, err = b.Deps.Install(ctx, request, deps.On{Holder: b.Holder,
		Lowers: t.installed.Lowers, Copies: t.copies, Log: b.Log,
		Confirm: func() ([]*release.File, error) { return b.Releases, nil }})
	t.Jail = t.installed.Open
	if err != nil {
		return nil, err
	}
	return t, nil
}

// withBuilt is a testbed over the base, with what relations want installed, of what was built and
// of the suite. Tests of one source mostly want the same, as does the install check: a build
// installs that once, and each of them has a jail of its own over the frozen result.
func (b *Bench) withBuilt(ctx context.Context, relations string) (*testbed, error) {
	built, err := b.built(ctx)
	if err != nil {
		return nil, err
	}
	if lowers, ok := b.roots[relations]; ok {
		b.Log.Printf("Wanted, and installed above: %s", relations)
		t := b.bare()
		t.extra, t.installed.Lowers = built, lowers
		return t, nil
	}
	t, err := b.with(ctx, relations, built, true)
	if err == nil {
		b.roots[relations] = t.installed.Lowers
	}
	return t, err
}

// close ends the jail, and gives up what it lies on.
func (t *testbed) close() (err error) {
	t.installed.Saved()
	t.copies.Stop()
	if t.Jail != nil {
		_, err = t.closeJail()
	}
	t.installed.Close()
	return err
}

func (t *testbed) closeJail() ([]sandbox.Stray, error) {
	jail := t.Jail
	t.Jail = nil
	t.Bench.open.Store(nil)
	return jail.Close()
}

// open opens the jail. With apt, packages can be installed in it.
func (t *testbed) open(ctx context.Context, withApt bool, mounts ...sandbox.Mount) error {
	spec := sandbox.Spec{Root: sandbox.Root{Lowers: t.installed.Lowers}, Mounts: mounts,
		Hostname: buildroot.Host}
	if withApt {
		spec.Mounts = append(spec.Mounts, apt.Mounts(t.Deps.CacheDir)...)
	}
	jail, err := t.Holder.NewJail(ctx, spec)
	if err != nil {
		return err
	}
	t.Jail = jail
	t.Bench.open.Store(&jail)
	return nil
}

// say writes into the log.
func (t *testbed) say(format string, args ...any) { t.Bench.Log.Printf(format, args...) }

// installMore installs packages in the open jail, which has the mounts of apt.
func (t *testbed) installMore(ctx context.Context, wanted dsc.Reduced) error {
	sources, err := deps.Sources(ctx, t.Deps.Client, []string{t.Arch}, t.extra, t.Releases)
	if err != nil {
		return err
	}
	into, err := install.Open(t.Deps.Client, t.Deps.CacheDir, t.Jail, t.Arch, sources,
		t.Base.Manifest.Packages, t.extra.Pins)
	if err != nil {
		return err
	}
	out := t.Bench.Log.Stream()
	defer out.Flush()
	return into.Install(ctx, wanted, out)
}

// installFiles has dpkg install files that the open jail was shown.
func (t *testbed) installFiles(ctx context.Context, files []string) error {
	if len(files) == 0 {
		return nil
	}
	return t.commands(ctx, installByDpkg(files))
}

func installByDpkg(files []string) []string {
	argv := []string{"dpkg", "--force-confold", "--install"}
	for _, file := range files {
		argv = append(argv, path.Join(checkDir, filepath.Base(file)))
	}
	return argv
}

// commands runs commands as the jail's root, each of which must succeed.
func (t *testbed) commands(ctx context.Context, commands ...[]string) error {
	for _, argv := range commands {
		t.say("Command: %s", strings.Join(argv, " "))
		t.failing = sandbox.Command{Argv: argv, Env: buildroot.Env()}
		status, err := t.Run(ctx, t.failing)
		if err != nil {
			return err
		}
		if !status.Success() {
			return &install.Refused{Err: fmt.Errorf("%s: %s", strings.Join(argv, " "), status)}
		}
	}
	return nil
}

// show copies files of the host into the open jail, for the builder to read.
func (t *testbed) show(ctx context.Context, files ...string) error {
	if err := buildroot.MakeDir(t.Jail, buildroot.Dir); err != nil {
		return err
	}
	if err := t.Jail.Mkdir(checkDir, 0o755, bootstrap.BuilderUID,
		bootstrap.BuilderGID); err != nil {
		return err
	}
	for _, file := range files {
		if err := copyIn(ctx, t.Jail, file, path.Join(checkDir, filepath.Base(file)),
			0o644); err != nil {
			return err
		}
	}
	return nil
}

func copyIn(ctx context.Context, jail jails.Jail, from, to string, mode os.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	return buildroot.Fill(jail, to, mode, func(out io.Writer) error {
		_, err := io.Copy(out, ctxio.NewReader(ctx, in))
		return err
	})
}
