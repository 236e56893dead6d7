package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"time"

	"nsbuild/internal/base"
	"nsbuild/internal/bases"
	"nsbuild/internal/config"
	"nsbuild/internal/hook"
	"nsbuild/internal/jails"
	"nsbuild/internal/machine"
	"nsbuild/internal/pkgbuild"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/session"
)

// missingBase says how the base is made that a verb wants and that is not there; nil where it is
// there, or cannot be made by its name. A suite's other name becomes that of its base.
func (a *app) missingBase(name *string) (*bases.Options, error) {
	if *name == "" {
		return nil, nil
	}
	store, err := a.bases()
	if err != nil {
		return nil, err
	}
	there := func(name string) (bool, error) {
		g, err := store.Use(name)
		if err != nil {
			return false, err
		}
		return true, g.Close()
	}
	if ok, _ := there(*name); ok {
		return nil, nil
	} // what is wrong with it is said when it is used; debian:12 is the name of no base
	o := bases.Options{Arch: machine.Native()}
	suite, err := a.suites().Lookup(*name)
	if err != nil {
		dash := strings.LastIndexByte(*name, '-')
		if dash < 0 {
			return nil, nil
		}
		if suite, err = a.suites().Lookup((*name)[:dash]); err != nil {
			return nil, nil //nolint:nilerr // it is the name of no suite
		}
		if o.Arch = (*name)[dash+1:]; !slices.Contains(machine.Known(), o.Arch) {
			return nil, nil
		}
	}
	o.Suite, o.Name = suite, bases.Name(suite.Name, o.Arch)
	*name = o.Name
	if _, err := there(o.Name); !errors.Is(err, base.ErrNone) {
		return nil, nil
	}
	return &o, nil
}

// bases is the store, for questions that come before there is an environment.
func (a *app) bases() (*base.Store, error) {
	dirs, err := config.FindDirs(a.stateDir, a.cacheDir)
	if err != nil {
		return nil, err
	}
	return base.Open(dirs.State)
}

// makeBase makes a base that is missing, with what is configured for create.
func (a *app) makeBase(ctx context.Context, env *pkgbuild.Env, o bases.Options) error {
	env.Log.Infof("there is no base %s yet: it is made", o.Name)
	g, err := env.Bases().Take(ctx, o, func(o bases.Options) (bases.Options, error) {
		return a.createFlags.completeFor(a, o)
	})
	if err != nil {
		return err
	}
	return g.Close()
}

// defaultBase is the base that is meant when none is named.
func (a *app) defaultBase() (string, error) {
	store, err := a.bases()
	if err != nil {
		return "", err
	}
	names, err := store.Names()
	if err != nil {
		return "", err
	}
	if len(names) == 1 {
		return names[0], nil
	}
	return pkgbuild.DefaultSuite(a.suites()), nil
}

// installing installs packages over a base, for a jail.
func installing(env *pkgbuild.Env, packages []string) func(context.Context, jails.Holder,
	session.Ground) ([]sandbox.Lower, error) {
	return func(ctx context.Context, h jails.Holder, g session.Ground) ([]sandbox.Lower, error) {
		l, err := env.Bases().InstallLayer(ctx, h, g.Base, g.Lowers, g.Caller, packages)
		return []sandbox.Lower{l}, err
	}
}

// settings are what a supervisor that installs packages has to know of its creator's.
type settings struct {
	Offline, Refresh, Quiet     bool
	RefreshAfter, MirrorTimeout time.Duration
	CacheLimit                  string
	RequireIsolation            string
	Environ                     []string
}

func (a *app) settings() ([]byte, error) {
	return json.Marshal(settings{a.offline, a.refresh, a.quiet, a.refreshAfter, a.mirrorTimeout,
		a.cacheLimit, a.requireIsolation, os.Environ()})
}

// beforeSession makes what a session begins with, in its supervisor: hooks, and packages that are
// installed.
func beforeSession(ctx context.Context, s session.Spec, stderr *os.File) (around session.Around,
	release func(context.Context) error, err error) {
	release = func(context.Context) error { return nil }
	if s.Hooks != nil {
		if around.Hooks, err = findHooks(*s.Hooks); err != nil {
			return around, nil, err
		}
	}
	if len(s.Install) == 0 {
		return around, release, nil
	}
	var set settings
	if err := json.Unmarshal(s.Settings, &set); err != nil {
		return around, nil, err
	}
	for _, v := range set.Environ {
		name, value, _ := strings.Cut(v, "=")
		if err := os.Setenv(name, value); err != nil {
			return around, nil, err
		}
	}
	a := &app{stdout: stderr, stderr: stderr, globalFlags: globalFlags{stateDir: s.StateDir,
		cacheDir: s.CacheDir, quiet: set.Quiet, offline: set.Offline, refresh: set.Refresh,
		refreshAfter: set.RefreshAfter, mirrorTimeout: set.MirrorTimeout,
		cacheLimit: set.CacheLimit, requireIsolation: set.RequireIsolation}}
	env, err := a.open(ctx)
	if err != nil {
		return around, nil, errors.Join(err, a.close(ctx))
	}
	around.Under = installing(env, s.Install)
	return around, a.close, nil
}

// depsShell is a shell in an unpacked source with its build dependencies installed.
func (a *app) depsShell(ctx context.Context, build *buildOptions) (err error) {
	r := build.Each()[0]
	if r.Hooks, err = build.hooks.load(hook.Build); err != nil {
		return err
	}
	r.NewBase = func(asked bases.Options) (bases.Options, error) {
		return a.createFlags.completeFor(a, asked)
	}
	r.UpdateHooks = func() (bases.Hooks, error) {
		return a.updateFlags.loadForBase(a, hook.Update)
	}
	dir, err := os.MkdirTemp("", "nsbuild-shell-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	r.InsteadOfBuild(pkgbuild.Streams{Stdin: os.Stdin, Stdout: a.stdout, Stderr: a.stderr}, dir)
	if err := r.Validate(); err != nil {
		return err
	}
	if r.Terminal = openTerminal(a.stderr); r.Terminal != nil {
		defer r.Terminal.Close()
	}
	env, err := a.open(ctx)
	if err != nil {
		return err
	}
	outcome, err := env.Build(ctx, r)
	if err != nil {
		return err
	}
	if code := outcome.Shell.ExitCode(); code != 0 {
		return commandStatus(code)
	}
	return nil
}
