package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nsbuild/internal/archive/suites"
	"nsbuild/internal/base"
	"nsbuild/internal/bases"
	"nsbuild/internal/bootstrap"
	"nsbuild/internal/config"
	"nsbuild/internal/console"
	"nsbuild/internal/fault"
	"nsbuild/internal/hook"
	"nsbuild/internal/machine"
)

// createOptions are the flags of create.
type createOptions struct {
	bases.Options
	hooks        hookOptions
	from, locked string
	mirrors      []string
}

func newCreate(a *app) *cobra.Command {
	o := &createOptions{}
	a.createFlags = o
	c := &cobra.Command{
		Use:   "create SUITE",
		Short: "Make the base of a suite beforehand, or a particular one",
		Long: `create makes a base: the root directory of a suite, with the packages that every build
needs, as debootstrap --variant=buildd chooses them.

SUITE is a codename (trixie), an alias (stable, unstable), or a version (12, debian:12). With
--locked it may be left out.

Nothing in the base is younger than its suite's Release file, or than SOURCE_DATE_EPOCH where that
is set. So two bases of one Release file are the same, byte for byte.
`,
		Example: "  nsbuild create trixie\n  nsbuild create --name big --include=debhelper,git " +
			"sid\n  nsbuild create --lock trixie.lock trixie\n  nsbuild create --locked trixie.lock",
		Args: rangeArgs(0, 1, "give one suite"),
		RunE: func(c *cobra.Command, args []string) (err error) {
			if o.Mirror, err = absoluteMirrors(o.mirrors); err != nil {
				return err
			}
			if o.from != "" && o.hooks.any() {
				return usage("import it, and then: nsbuild update --hook … BASE",
					"--from contradicts hooks: they run when a base is made of packages")
			}
			if (o.locked != "" || o.LockTo != "") && o.hooks.any() {
				return usage("leave out one of them",
					"--lock and --locked contradict hooks: a lock names all that is in a base")
			}
			if o.locked != "" {
				return a.createLocked(c, args, o)
			}
			if len(args) == 0 {
				return usage("nsbuild create --help", "create: which suite?")
			}
			if o.from != "" {
				return a.createFrom(c, args[0], o)
			}
			if o.Suite, err = a.suites().Lookup(args[0]); err != nil {
				if o.Mirror == "" {
					return err
				}
				o.Suite = suites.Custom(args[0]) // the mirror says what it is
			}
			return a.create(c.Context(), o.complete)
		},
	}
	f := c.Flags()
	f.StringVar(&o.Name, "name", "", "call the base `NAME` (default: as the suite)")
	f.StringArrayVar(&o.mirrors, "mirror", nil, "take packages from `URL|DIR|LINE`, which is an "+
		"archive or a line of a sources.list; may be given several times (default: the host's "+
		"own mirror, else the distribution's)")
	f.StringVar(&o.Keyring, "keyring", "",
		"the keys in `FILE` may sign the archive (default: the suite's own)")
	f.StringVar(&o.Arch, "arch", "",
		"make it for `ARCH` (default: the machine's own, "+machine.Native()+")")
	f.BoolVar(&o.Unverified, "no-check-gpg", false, "believe the archive without a signature")
	f.StringSliceVar(&o.Components, "components", nil,
		"use these `COMPONENTS`, with commas between them (default: the suite's own)")
	f.StringVar(&o.Variant, "variant", bootstrap.VariantBuildd,
		"`WHICH` packages it has: "+strings.Join(bootstrap.Variants(), ", "))
	f.StringSliceVar(&o.Include, "include", nil, "add these `PACKAGES`, with commas between them")
	f.StringSliceVar(&o.Exclude, "exclude", nil,
		"leave out these `PACKAGES`, with commas between them")
	f.StringVar(&o.Bootstrapper, "bootstrapper", bootstrap.Native,
		"let this `PROGRAM` make it: "+strings.Join(bootstrap.Bootstrappers(), ", "))
	f.StringVar(&o.from, "from", "", "make it of `FILE|DIR`, which is a tar archive, a container "+
		"image or a directory, as nsbuild import does")
	f.StringVar(&o.LockTo, "lock", "",
		"write the exact versions and hashes of its packages to `FILE`")
	f.StringVar(&o.locked, "locked", "", "make it of just the packages in `FILE`, which --lock wrote")
	o.hooks.addFlags(f)
	a.addJSON(f)
	f.BoolVar(&o.Replace, "replace", false, "make it anew when it exists")
	return c
}

// complete fills in what of the flags is not looked at before a base is made, for create and for a
// build that makes one.
func (o *createOptions) complete(a *app) (b bases.Options, err error) {
	b = o.Options
	if b.Mirror, err = absoluteMirrors(o.mirrors); err != nil {
		return b, err
	}
	if b.Epoch, err = sourceDateEpoch(); err != nil {
		return b, err
	}
	if b.Keyring, err = absoluteKeyring(b.Keyring); err != nil {
		return b, err
	}
	b.Hooks, err = o.hooks.loadForBase(a, hook.Create)
	return b, err
}

// completeFor is complete for a base that a build makes by itself. What the build says of it counts
// more than what is configured.
func (o *createOptions) completeFor(a *app, asked bases.Options) (bases.Options,
	error) {
	b, err := o.complete(a)
	if err != nil {
		return b, err
	}
	b.Name, b.Suite, b.Arch = asked.Name, asked.Suite, asked.Arch
	if asked.Mirror != "" {
		b.Mirror, err = absoluteMirrors([]string{asked.Mirror})
	}
	return b, err
}

// createFrom is import under the name of create.
func (a *app) createFrom(c *cobra.Command, suite string, o *createOptions) error {
	for _, name := range []string{"variant", "include", "exclude", "components", "arch",
		"bootstrapper", "lock"} {
		if c.Flags().Changed(name) {
			return usage("leave out one of them",
				"--from and --%s contradict each other: the packages are those that are there",
				name)
		}
	}
	if o.Unverified && c.Flags().Changed("no-check-gpg") {
		return usage("leave out one of them",
			"--from and --no-check-gpg contradict each other: nothing is fetched")
	}
	if o.Name == "" {
		o.Name = suite
		if s, err := a.suites().Lookup(suite); err == nil {
			o.Name = s.Name // as create calls it
		}
	}
	return a.importBase(c.Context(),
		&importOptions{from: o.from, ImportOptions: bases.ImportOptions{Name: o.Name,
			Suite: suite, Mirror: o.Mirror, Keyring: o.Keyring, Replace: o.Replace}})
}

// absoluteKeyring is a keyring as a base remembers it.
func absoluteKeyring(name string) (string, error) {
	if name == "" {
		return "", nil
	}
	return filepath.Abs(name)
}

func (a *app) create(ctx context.Context, complete func(*app) (bases.Options, error)) error {
	env, err := a.open(ctx)
	if err != nil {
		return err
	}
	o, err := complete(a)
	if err != nil {
		return err
	}
	start := time.Now()
	number, err := env.Bases().Create(ctx, o)
	if err != nil {
		return err
	}
	name := o.Name
	if name == "" {
		name = bases.Name(o.Suite.Name, o.Arch)
	}
	env.Log.Infof("base %s (generation %d) is ready after %.1f s", name, number,
		time.Since(start).Seconds())
	if o.LockTo != "" {
		env.Log.Infof("its lock is %s", o.LockTo)
	}
	return nil
}

func newUpdate(a *app) *cobra.Command {
	var all bool
	hooks := &hookOptions{}
	a.updateFlags = hooks
	c := &cobra.Command{
		Use:   "update BASE...",
		Short: "Bring bases up to date",
		Long: `update makes a new generation of a base when its suite has newer packages. Builds that
use the old generation keep it until they end. A base that was made with --locked is not updated.
With hooks there is always a new generation.
`,
		Example: "  nsbuild update trixie\n  nsbuild update --all",
		Args:    rangeArgs(0, -1, ""),
		RunE: func(c *cobra.Command, names []string) error {
			return a.update(c.Context(), names, all, hooks)
		},
	}
	c.Flags().BoolVar(&all, "all", false, "update every base")
	hooks.addFlags(c.Flags())
	return c
}

func (a *app) update(ctx context.Context, names []string, all bool, options *hookOptions) error {
	if all == (len(names) > 0) {
		return usage("nsbuild update --help", "update: name the bases, or say --all")
	}
	a.refresh = !a.offline // whoever says update means now
	env, err := a.open(ctx)
	if err != nil {
		return err
	}
	hooks, err := options.loadForBase(a, hook.Update)
	if err != nil {
		return err
	}
	if all {
		if names, err = env.Store.Names(); err != nil {
			return err
		}
	}
	var failed error
	for _, name := range names {
		before, after, err := env.Bases().Update(ctx, name, hooks)
		if all && errors.Is(err, base.ErrNone) {
			continue // removed meanwhile
		}
		if all && errors.Is(err, bases.ErrLocked) {
			fmt.Fprintf(a.stdout, "%s is fixed by a lock file (generation %d)\n", name, after)
			continue
		}
		// one base without a mirror does not keep the others old
		if err != nil && all && ctx.Err() == nil {
			a.printError(err)
			failed = commandStatus(exitStatus(err))
			continue
		}
		if err != nil {
			return err
		}
		if before == after {
			fmt.Fprintf(a.stdout, "%s is up to date (generation %d)\n", name, after)
		} else {
			fmt.Fprintf(a.stdout, "%s was updated (generation %d)\n", name, after)
		}
	}
	return failed
}

func newRemove(a *app) *cobra.Command {
	var all, yes bool
	c := &cobra.Command{
		Use:   "remove BASE...",
		Short: "Delete bases",
		Long: `remove deletes bases with all their generations. A base that is in use is not deleted.
A base that kept builds lie on is deleted after them only. --all also deletes these, the layers of
build dependencies, and what hooks keep. On a terminal it asks first; --yes answers.
`,
		Example: "  nsbuild remove sid",
		Args:    rangeArgs(0, -1, ""),
		RunE: func(c *cobra.Command, names []string) error {
			return a.remove(c.Context(), names, all, yes)
		},
	}
	c.Flags().BoolVar(&all, "all", false,
		"delete every base, all kept builds, all dependency layers, and what hooks keep")
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return c
}

func (a *app) remove(ctx context.Context, names []string, all, yes bool) error {
	if all == (len(names) > 0) {
		return usage("nsbuild remove --help", "remove: name the bases, or say --all")
	}
	env, err := a.open(ctx)
	if err != nil {
		return err
	}
	var freed int64 // in bytes
	if all {
		if names, err = env.Store.Names(); err != nil {
			return err
		}
		if sure, err := a.sure(names, yes); !sure {
			return err
		}
		if freed, err = env.ForgetAll(ctx); err != nil {
			return err
		}
	}
	for _, name := range names {
		ph := env.Progress.Phase("remove " + name)
		size, err := env.Bases().Remove(ctx, name)
		ph.Done(err)
		freed += size
		if err != nil && !(all && errors.Is(err, base.ErrNone)) {
			return err
		}
	}
	if all { // no base, no use for what lies over bases
		ph := env.Progress.Phase("remove layers")
		layers, err := a.cache.RemoveLayers(ctx)
		hooks, hooksErr := a.cache.RemoveHooks(ctx)
		err = errors.Join(err, hooksErr)
		ph.Done(err)
		if err != nil {
			return err
		}
		freed += layers + hooks
	}
	return a.tellFreed(ctx, freed)
}

// sure asks a person whether everything is to go.
func (a *app) sure(names []string, yes bool) (bool, error) {
	if yes || len(names) == 0 || !console.IsTerminal(os.Stdin) || !console.IsTerminal(a.stderr) {
		return true, nil
	}
	return a.ask(fmt.Sprintf("Delete %s (%s), all kept builds and all layers? [y/N] ",
		fault.Count(len(names), "base", "bases"), strings.Join(names, ", ")))
}

// tellFreed tells what was deleted, by its size (what else is written to the disk meanwhile does
// not count), and what is left that can be had again.
func (a *app) tellFreed(ctx context.Context, freed int64) error {
	items, err := a.cache.Items(ctx)
	if err != nil {
		return err
	}
	var rest int64
	for _, i := range items {
		rest += i.Size
	}
	text := "freed " + config.FormatSize(freed)
	if rest > 0 {
		text += "; nsbuild cache clean would free " + config.FormatSize(rest) + " more"
	}
	a.env.Log.Info(text)
	return nil
}
