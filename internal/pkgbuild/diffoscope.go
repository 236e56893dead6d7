package pkgbuild

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"nsbuild/internal/bases"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/checks"
	"nsbuild/internal/fault"
	"nsbuild/internal/machine"
	"nsbuild/internal/sandbox"
)

// Diffoscope says what diffoscope is to compare.
type Diffoscope struct {
	Suite string // over whose base it is installed; "": DefaultSuite
	Pairs []checks.FilePair
	Dir   string // where its texts and pages go
	// NewBase is how a base is made that is missing; nil: as it was asked for
	NewBase func(asked bases.Options) (bases.Options, error)
}

// Diffoscope has diffoscope compare packages, in a jail: they are what others have made. It returns
// the files that it has written.
func (e *Env) Diffoscope(ctx context.Context, d Diffoscope) (written []string, err error) {
	if len(d.Pairs) == 0 {
		return nil, nil
	}
	if err := os.Mkdir(d.Dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fault.Wrap(fault.Usage, "choose another directory", err)
	}
	if err := CheckWritable(d.Dir); err != nil {
		return nil, fault.Wrap(fault.Usage, "choose another directory", err)
	}
	over, err := e.overSuite(ctx, d)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, over.base.Close()) }()
	ph := e.Progress.Phase("diffoscope")
	defer e.Meter.During(ph)()
	written, err = e.diffoscopeOver(ctx, d, over)
	ph.Done(err)
	return written, err
}

// overSuite takes the base of the suite into use, up to date.
func (e *Env) overSuite(ctx context.Context, d Diffoscope) (o over, err error) {
	suite, err := e.Suites.Lookup(cmp.Or(d.Suite, DefaultSuite(e.Suites)))
	if err != nil {
		return o, fault.Wrap(fault.Usage, "choose one with --dist", err)
	}
	arch := machine.Native()
	keeper := e.Bases()
	o.base, err = keeper.Take(ctx, bases.Options{Name: bases.Name(suite.Name, arch), Suite: suite,
		Arch: arch}, d.NewBase)
	if err != nil {
		return o, err
	}
	if o.repos, err = keeper.RememberedRepos(o.base.Manifest); err == nil {
		o.releases, err = keeper.Ask(ctx, o.base).Wait()
	}
	if err != nil {
		return o, errors.Join(err, o.base.Close())
	}
	if !bases.Unchanged(o.base.Manifest, o.releases) {
		o.base, err = keeper.Renew(ctx, o.base, o.releases, nil)
	}
	return o, err
}

// diffoscopeOver runs it over a base. All that it writes is memory, of which it may have no more
// than a build: what is in a package can be large when it is unpacked.
func (e *Env) diffoscopeOver(ctx context.Context, d Diffoscope, o over) (written []string,
	err error) {
	limit, give, err := e.shared.memory.Take(0, 0)
	if err != nil {
		return nil, err
	}
	defer give()
	m := o.base.Manifest
	holder, err := e.Work.HoldFor(ctx, m.Arch, sandbox.HolderSpec{IDs: m.IDs,
		ScratchSize: max(limit, leastDiffoscope)})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, holder.Close()) }()
	dir, err := e.Work.Make("log-")
	if err != nil {
		return nil, err
	}
	log, err := buildlog.Create(dir, "diffoscope", "", m.Arch, time.Now(), buildlog.Options{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	bench := &checks.Bench{Subject: checks.Subject{Arch: m.Arch, Host: m.Arch, Suite: m.Suite,
		Base: o.base, Repos: o.repos, Releases: o.releases}, Deps: e.deps(), Copies: e.Copies,
		Holder: holder, Log: log}
	err = bench.Diffoscope(ctx, d.Pairs, func(name string, in io.Reader) error {
		path := filepath.Join(d.Dir, fileName(name))
		if err := keepText(path, in); err != nil {
			return err
		}
		written = append(written, path)
		return nil
	})
	if err != nil && ctx.Err() == nil {
		var tail []string
		for _, l := range log.Tail(5) {
			tail = append(tail, buildlog.VisibleString(l.Text))
		}
		err = fmt.Errorf("%w; its last words: %s", err, strings.Join(tail, " / "))
	}
	return written, err
}

// leastDiffoscope is what diffoscope may write at least, in bytes.
const leastDiffoscope = 256 << 20

// fileName is a name that a package has chosen, as that of a file in a directory.
func fileName(name string) string {
	return strings.TrimLeft(strings.Map(func(r rune) rune {
		if strings.ContainsRune("+.~_-", r) || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' ||
			r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, name), ".")
}

// keepText writes a file in one step.
func keepText(path string, in io.Reader) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".nsbuild-*")
	if err != nil {
		return err
	}
	_, err = io.Copy(f, in)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
