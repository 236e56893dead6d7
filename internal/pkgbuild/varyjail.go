package pkgbuild

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/index"
	"nsbuild/internal/archive/release"
	"nsbuild/internal/base"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/ctxio"
	"nsbuild/internal/deb"
	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
	"nsbuild/internal/regular"
	"nsbuild/internal/sandbox"
)

// The package whose library sets the clock of programs forward, and the library in it.
const (
	clockPackage = "libfaketime"
	clockFile    = "/usr/lib/*/faketime/libfaketimeMT.so.1"
)

// clockDir is where the jail that builds has the library.
const clockDir = "/usr/lib/nsbuild"

// maxClock bounds the library, in bytes.
const maxClock = 16 << 20

// clockEnvironment sets the clock forward for the programs that it is given to. Times of files stay
// as they are, for those that a source has are copied into packages; so does the clock that only
// runs, by which programs wait.
func clockEnvironment(forward time.Duration) []string {
	if forward == 0 {
		return nil
	}
	seconds := strconv.FormatInt(int64(forward/time.Second), 10)
	return []string{"LD_PRELOAD=" + path.Join(clockDir, path.Base(clockFile)),
		"FAKETIME=+" + seconds, "NO_FAKE_STAT=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"}
}

// variedSpec is what the jail that builds has otherwise, as far as that is not done in it.
func (at *attempt) variedSpec(ctx context.Context) (specChange, error) {
	v := at.o.Vary
	var mounts []sandbox.Mount
	if v.Clock != 0 {
		library, err := at.clockMount(ctx)
		if err != nil {
			return nil, err
		}
		mounts = append(mounts, library)
	}
	if v.OldKernel && !bearsOldKernel(at.base.Manifest.Packages) {
		v.OldKernel = false
		at.log.Warning("uname is not varied: static programs of this base's C library " +
			"end on an old kernel")
	}
	return func(spec *sandbox.Spec) {
		spec.Mounts = append(spec.Mounts, mounts...)
		spec.Vary = v.ofJail()
	}, nil
}

// bearsOldKernel tells whether programs that have the base's C library in them begin on a kernel
// whose release begins with 2.6. Those of bullseye's library (2.31) do not, those of bookworm's
// (2.36) do.
func bearsOldKernel(packages []base.Package) bool {
	i := slices.IndexFunc(packages, func(p base.Package) bool {
		return p.Name == "libc6" || p.Name == "libc6.1"
	})
	if i < 0 {
		return true
	}
	version, err := dsc.ParseVersion(packages[i].Version)
	return err == nil && !version.Older("2.36")
}

// clockMount has the library in the jail: out of the suite's package, fetched and verified as every
// other, and not installed, so that the build has the packages which it has otherwise.
func (at *attempt) clockMount(ctx context.Context) (sandbox.Mount, error) {
	if err := at.confirm(); err != nil {
		return sandbox.Mount{}, err
	}
	library, err := at.clockLibrary(ctx)
	if err != nil {
		return sandbox.Mount{}, &stageError{buildlog.StageInstallDeps, fault.Wrap(fault.GivenBack,
			"leave it out: nsbuild repro --vary=-time", fmt.Errorf("the clock cannot be set forward: %w",
				err))}
	}
	return sandbox.Mount{Type: "bind", Source: library, ReadOnly: true, NoSuid: true, NoDev: true,
		Target: path.Join(clockDir, path.Base(clockFile)), Mkdir: true}, nil
}

// clockLibrary fetches the package and takes the library out of it.
func (at *attempt) clockLibrary(ctx context.Context) (string, error) {
	p, err := at.newestOf(ctx, clockPackage)
	if err != nil {
		return "", err
	}
	files, err := at.env.Client.Debs(ctx, []*index.Package{p})
	if err != nil {
		return "", err
	}
	if at.root.clock, err = at.env.Work.Make("clock-"); err != nil {
		return "", err
	}
	to := filepath.Join(at.root.clock, path.Base(clockFile))
	if err := takeFile(ctx, files[p], clockFile, to); err != nil {
		return "", fmt.Errorf("%s: %w", p, err)
	}
	return to, nil
}

// newestOf is the newest package of a name in the suites of the base.
func (at *attempt) newestOf(ctx context.Context, name string) (*index.Package, error) {
	var newest *index.Package
	var version dsc.Version
	take := func(p *index.Package) error {
		v, err := dsc.ParseVersion(p.Version)
		if err == nil && p.Package == name && (newest == nil || v.Compare(version) > 0) {
			newest, version = p, v
		}
		return nil
	}
	for _, components := range []func(*release.File) []string{
		func(r *release.File) []string { return r.Repo().IndexComponents() },
		(*release.File).Components,
	} {
		for _, r := range at.releases {
			for _, c := range components(r) {
				err := at.env.Client.PackagesCalled(ctx, r, c, at.arch, map[string]bool{name: true},
					take)
				if err != nil && !errors.Is(err, failure.ErrNoIndex) {
					return nil, err
				}
			}
		}
		if newest != nil {
			return newest, nil
		}
	}
	return nil, fmt.Errorf("the suites of base %s have no package %s", at.base.Name, name)
}

// takeFile copies the file of a package whose path matches a pattern.
func takeFile(ctx context.Context, file, pattern, to string) error {
	f, err := regular.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := deb.NewReader(ctxio.NewReader(ctx, f), deb.Limits{})
	if err != nil {
		return err
	}
	defer r.Close()
	data, err := r.Data()
	if err != nil {
		return err
	}
	for {
		h, err := data.Next()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("it has no %s", pattern)
		}
		if err != nil {
			return err
		}
		if is, err := path.Match(pattern, path.Clean("/"+h.Name)); err != nil || !is ||
			h.Typeflag != tar.TypeReg {
			continue
		}
		if h.Size > maxClock {
			return fmt.Errorf("%s has %d bytes", h.Name, h.Size)
		}
		text, err := io.ReadAll(data)
		if err != nil {
			return err
		}
		if err := os.WriteFile(to, text, 0o600); err != nil {
			return err
		}
		return os.Chmod(to, 0o444) // for the jail's users, whatever our umask
	}
}
