// Package buildroot is what every root has in common that packages are built in: where sources lie
// and results appear, the name of the machine, the environment of nsbuild's own commands there, and
// which packages dpkg has installed.
//
// How such a root is made is left to internal/bootstrap and internal/bases, what is done in it to
// internal/pkgbuild and internal/checks.
package buildroot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"nsbuild/internal/apt"
	"nsbuild/internal/base"
	"nsbuild/internal/bootstrap"
	"nsbuild/internal/jails"
	"nsbuild/internal/output"
	"nsbuild/internal/sandbox"
)

// Dir is where sources are unpacked and results appear in a jail: the same everywhere, for packages
// that record it.
const Dir = "/build/reproducible-path"

// Host is the name of every build's machine: a package must not learn where it was built.
const Host = "nsbuild"

// DummyName is the package that carries the build dependencies; sbuild's name, which readers of
// logs know.
const DummyName = "sbuild-build-depends-main-dummy"

// Env is the environment of what nsbuild itself runs in a jail as root: nothing of the caller's.
func Env(more ...string) []string {
	return append([]string{
		"PATH=" + sandbox.DefaultPath,
		"HOME=/nonexistent", "LC_ALL=C.UTF-8", "SHELL=/bin/sh", "USER=root", "LOGNAME=root",
		"DEBIAN_FRONTEND=noninteractive", "DEBCONF_NONINTERACTIVE_SEEN=true",
		"DEBIAN_PRIORITY=critical",
	}, more...)
}

// AsRoot runs a command of ours in a jail, which must succeed.
func AsRoot(ctx context.Context, jail jails.Jail, argv ...string) error {
	var said output.Tail
	status, err := jail.RunTo(ctx, sandbox.Command{Argv: argv, Env: Env()}, &said, &said)
	if err == nil && !status.Success() {
		err = said.Explain(fmt.Errorf("%s: %s", strings.Join(argv, " "), status))
	}
	return err
}

// MakeDir makes a directory of sources and results, unless an earlier jail has.
func MakeDir(jail jails.Jail, dir string) error {
	err := jail.Mkdir(dir, 0o755, bootstrap.BuilderUID, bootstrap.BuilderGID)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// Fill makes a file of the builder's in a jail.
func Fill(jail jails.Jail, to string, mode os.FileMode, write func(io.Writer) error) error {
	out, err := jail.Create(to, 0o644|mode&0o111, bootstrap.BuilderUID, bootstrap.BuilderGID)
	if err != nil {
		return err
	}
	return errors.Join(write(out), out.Close())
}

// Installed lists what a jail has installed, but our own dummy package.
func Installed(jail jails.Jail) ([]base.Package, error) {
	out, _, err := InstalledSizes(jail)
	return out, err
}

// InstalledSizes lists the same, and how many KiB each of the packages says that it takes.
func InstalledSizes(jail jails.Jail) ([]base.Package, map[base.Package]int64, error) {
	all, err := apt.Installed(jail)
	if err != nil {
		return nil, nil, err
	}
	out, sizes := make([]base.Package, 0, len(all)), make(map[base.Package]int64, len(all))
	for _, p := range all {
		if p.Name != DummyName {
			one := base.Package{Name: p.Name, Version: p.Version, Arch: p.Arch}
			out, sizes[one] = append(out, one), p.KiB
		}
	}
	return out, sizes, nil
}

// Beyond lists what is installed and was not before in just that version.
func Beyond(all, before []base.Package) (out []base.Package) {
	have := make(map[base.Package]bool, len(before))
	for _, p := range before {
		have[p] = true
	}
	for _, p := range all {
		if !have[p] {
			out = append(out, p)
		}
	}
	return out
}
