package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"nsbuild/internal/fault"
	"nsbuild/internal/jails"
	"nsbuild/internal/keptroot"
	"nsbuild/internal/nearest"
	"nsbuild/internal/progress"
	"nsbuild/internal/session"
)

func newCopy(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "cp {NAME:PATH... DEST | FILE... SESSION:PATH | [ID] PATH... DEST}",
		Aliases: []string{"copy"},
		Short:   "Copy files out of a session or a kept build, or into a session",
		Long: `cp copies files, and directories with all below them.

NAME is a session, or else a kept build. A PATH of a kept build is relative to the unpacked source,
or begins with a slash. A name of yours that has a colon in it is written as ./a:b.

Out of a jail, what is copied belongs to you. DEST is a directory that it goes into; it may be a new
name, for one PATH. What is there already is not replaced. Regular files and directories are copied.
Links, devices, FIFOs and sockets are left out, and counted.

Into a session, what is copied belongs to the session's user. PATH is a directory that it goes into,
or the new name of one FILE. A file that is there already is replaced. A link below a directory is
copied as a link.
`,
		Example: "  nsbuild cp work:/srv/report.txt .\n  nsbuild cp ./data work:/srv\n  " +
			"nsbuild cp hello-7c1e:tests/test-suite.log .\n  nsbuild cp config.log /tmp/",
		Args: rangeArgs(2, -1, "what, and where to?"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.copy(c.Context(), args[:len(args)-1], args[len(args)-1])
		},
	}
}

// place is an argument of cp: a path in a session or a kept build, or one of the caller's.
type place struct{ name, path string }

// placeOf takes NAME:PATH apart, as scp(1) does: a colon behind a slash is a part of a file's name.
func placeOf(text string) place {
	name, rest, ok := strings.Cut(text, ":")
	if !ok || name == "" || strings.Contains(name, "/") {
		return place{path: text}
	}
	return place{name, rest}
}

// copy copies into a session, or out of a session or a kept build.
func (a *app) copy(ctx context.Context, from []string, to string) error {
	name, paths := "", make([]string, len(from))
	for i, text := range from {
		p := placeOf(text)
		if i > 0 && p.name != name {
			return usage("copy from one place at a time",
				"cp: %s and %s are not in the same place", from[0], text)
		}
		name, paths[i] = p.name, p.path
	}
	dest := placeOf(to)
	switch {
	case name != "" && dest.name != "":
		return usage("copy to a directory of yours first", "cp: %s and %s are both in a jail",
			from[0], to)
	case dest.name != "":
		return a.copyIn(ctx, paths, dest)
	case name != "":
		return a.copyOutOf(ctx, name, paths, to)
	}
	return a.copyOut(ctx, from, to)
}

// visit enters a session.
func (a *app) visit(ctx context.Context, name string) (*session.Visit, error) {
	host, _, err := a.openSessions()
	if err != nil {
		return nil, err
	}
	return session.Enter(ctx, host.StateDir, name)
}

func (a *app) copyIn(ctx context.Context, files []string, to place) (err error) {
	v, err := a.visit(ctx, to.name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	if err := v.Bring(ctx, files, to.path); err != nil {
		return err
	}
	a.tellLeft(v.Left, "devices, FIFOs and sockets")
	return nil
}

// copyOutOf takes files out of the session of a name, or of the kept build.
func (a *app) copyOutOf(ctx context.Context, name string, paths []string, dest string) (err error) {
	v, err := a.visit(ctx, name)
	if errors.Is(err, session.ErrNone) || fault.KindOf(err) == fault.Usage {
		return a.copyOutOfKept(ctx, name, paths, dest, err)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	return a.take(ctx, v.Files(), "/", paths, dest)
}

// copyOutOfKept takes files out of a kept build. Where there is none of the name, none is the error
// that a session of it was.
func (a *app) copyOutOfKept(ctx context.Context, name string, paths []string, dest string,
	none error) error {
	env, err := a.openLocal(ctx)
	if err != nil {
		return err
	}
	id, err := env.Kept.Find(name, "")
	if err == nil {
		return a.copyKept(ctx, id, paths, dest)
	}
	all, listErr := env.Kept.List()
	if listErr != nil {
		return listErr
	}
	ids := make([]string, 0, len(all))
	for _, i := range all {
		ids = append(ids, i.ID)
	}
	if near := nearest.Names(name, ids, 2); len(near) > 0 {
		return err // which asks whether it was meant
	}
	return fault.Wrap(fault.Internal, fault.HintOf(none),
		fmt.Errorf("%w, and no build is kept as %s", none, name))
}

// copyOut takes files out of the kept build that is named, or meant.
func (a *app) copyOut(ctx context.Context, args []string, dest string) error {
	if _, err := a.openLocal(ctx); err != nil {
		return err
	}
	id, paths, err := a.keptAndPaths(args)
	if err != nil {
		return err
	}
	if len(paths) == 0 {
		return usage("nsbuild cp --help", "cp: what of %s?", id)
	}
	return a.copyKept(ctx, id, paths, dest)
}

func (a *app) copyKept(ctx context.Context, id string, paths []string, dest string) (err error) {
	from, root, err := useKept(a.env, id)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	open, err := from.Open(ctx, root, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, open.Close()) }()
	return a.take(ctx, open.Jail, root.Where(), paths, dest)
}

// take takes files out of a jail, in which paths are relative to where.
func (a *app) take(ctx context.Context, files jails.Files, where string, paths []string,
	dest string) error {
	targets, err := targetsOf(paths, dest)
	if err != nil {
		return err
	}
	c := keptroot.Copier{Jail: files}
	for i, p := range paths {
		if !path.IsAbs(p) {
			p = path.Join(where, p)
		}
		if err := c.Copy(ctx, path.Clean(p), targets[i]); err != nil {
			return fmt.Errorf("copying %s: %w", paths[i], err)
		}
	}
	a.tellLeft(c.Left, "links, devices, FIFOs and sockets")
	return nil
}

// tellLeft tells what was not copied.
func (a *app) tellLeft(n int, what string) {
	if n == 0 {
		return
	}
	log := a.logger(progress.New(a.stderr, progress.Options{Quiet: a.quiet}))
	log.Warnf("%s left out: %s are not copied", fault.Count(n, "name is", "names are"), what)
}

// targetsOf are the names that paths get on the host.
func targetsOf(paths []string, dest string) ([]string, error) {
	st, err := os.Stat(dest)
	if err == nil && !st.IsDir() {
		return nil, usage("name a directory, or a new name", "cp: %s is there already", dest)
	}
	isDir := err == nil
	if !isDir && (len(paths) > 1 || strings.HasSuffix(dest, "/")) {
		return nil, usage("make it", "cp: %s is no directory", dest)
	}
	targets := make([]string, len(paths))
	for i, p := range paths {
		targets[i] = dest
		if isDir {
			base := path.Base(path.Clean("/" + p))
			if base == "/" {
				return nil, usage("name a new directory", "cp: %s has no name of its own", p)
			}
			targets[i] = filepath.Join(dest, base)
		}
	}
	return targets, nil
}
