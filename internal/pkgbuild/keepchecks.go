package pkgbuild

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"nsbuild/internal/buildlog"
	"nsbuild/internal/checks"
	"nsbuild/internal/fault"
	"nsbuild/internal/kept"
	"nsbuild/internal/layer"
	"nsbuild/internal/sandbox"
)

// KeptCheck is the jail of a failed check that is kept.
type KeptCheck struct {
	ID        string
	Check     string // its name, and that of a test
	Artifacts string // the directory of a test's artifacts there; ""
}

// mostKeptChecks is how many jails of failed checks are kept of a build: a source decides how many
// tests it has, and what was kept before has to give way.
const mostKeptChecks = 3

// checkFailed takes note of a jail in which a check has failed: it is kept at the end of the build.
// Where that was asked for, a shell is opened over what lies there.
func (at *attempt) checkFailed(ctx context.Context, f checks.Failed) {
	if f.Outcome == checks.OutcomeWarn && at.o.FailOn != FailOnWarning {
		return
	}
	if ctx.Err() != nil && !errors.As(context.Cause(ctx), new(*timeLimit)) {
		return // the build is interrupted
	}
	switch {
	case at.o.Keep != KeepAlways && at.o.Keep != KeepFailed:
	case len(at.found.failed) < mostKeptChecks:
		at.found.failed = append(at.found.failed, f)
	default:
		at.found.unkept++
		at.log.Printf("What it wrote is not kept: that of %d others of this build is.",
			mostKeptChecks)
	}
	if at.o.ShellOnFailure && ctx.Err() == nil {
		at.checkShell(ctx, f)
	}
}

// checkShell opens a shell in a jail over what a failed check has left.
func (at *attempt) checkShell(ctx context.Context, f checks.Failed) {
	if !at.hasTerminal() {
		at.env.Log.Warn("--shell-on-failure: there is no terminal")
		return
	}
	_, err := at.openOver(ctx, sandbox.Root{Lowers: f.Lowers}, false)
	if err != nil {
		at.env.Log.Warnf("--shell-on-failure: %v", err)
		return
	}
	defer func() {
		jail := at.root.open
		at.root.open = nil // nothing lies on it
		if _, err := jail.Close(); err != nil {
			at.env.Log.Warnf("--shell-on-failure: %v", err)
		}
	}()
	out := at.env.Progress.Writer()
	fmt.Fprintf(out, "nsbuild: %s: %s\n", buildlog.VisibleString(f.Check),
		buildlog.VisibleString(f.Why))
	if again := f.Again(); again != "" {
		fmt.Fprintf(out, "to repeat it: %s\n", buildlog.VisibleString(again))
	}
	fmt.Fprintln(out, "a shell as it ran there; the check goes on when it ends")
	at.log.Info("A shell was opened in the jail (--shell-on-failure).")
	c := f.Command
	c.Argv = []string{"/bin/bash", "--norc", "-i"}
	status, err := at.onTerminal(ctx, c, nil)
	if err != nil {
		at.env.Log.Warnf("--shell-on-failure: %v", err)
		return
	}
	at.log.Info("The shell ended: %s", status)
}

// keepChecks keeps the jails of failed checks. Those of the same check of the same source directory
// that were kept before are forgotten for them: who mends a test has it fail more than once.
func (at *attempt) keepChecks(ctx context.Context) (all []KeptCheck) {
	if len(at.found.failed) == 0 || ctx.Err() != nil || at.log == nil {
		return nil
	}
	for _, c := range at.found.failed {
		f := at.freezeCheck(ctx, &c)
		id := at.keep(ctx, f)
		if id == "" {
			continue
		}
		all = append(all, KeptCheck{ID: id, Check: f.manifest.Stage, Artifacts: c.Artifacts})
		if err := at.replaceKept(ctx, id, &f.manifest); err != nil {
			at.env.Log.Warnf("forgetting what was kept of %s before: %v", f.manifest.Stage, err)
		}
	}
	return all
}

// freezeCheck begins to keep the jail of a failed check, which is closed.
func (at *attempt) freezeCheck(ctx context.Context, c *checks.Failed) *frozen {
	f := &frozen{check: c, trees: map[int]string{}, lowers: c.Lowers}
	f.manifest = kept.Manifest{Stage: buildlog.VisibleString(c.Check), Why: c.Why,
		Environment: kept.Environment(at.environment()),
		Check: &kept.Check{Dir: c.Command.Dir, Root: c.AsRoot(), Env: c.Command.Env,
			Again: c.Again(), Artifacts: c.Artifacts, Brought: c.Brought}}
	if c.HasSource {
		in := at.found.bench.Source
		f.manifest.Dir, f.manifest.DSC, f.dsc = in.Path(), filepath.Base(in.DSC.Path), in.Text
	}
	if at.holder.Scratch() == sandbox.ScratchCopy && len(f.lowers) > 1 {
		f.below = f.lowers[len(f.lowers)-1:]
		f.lowers = f.lowers[:1]
	}
	if f.draft, f.err = at.env.Kept.Begin(); f.err != nil {
		return f
	}
	jail := f.lowers[0].Jail
	to, name := f.draft.NewTree()
	f.trees[jail] = name
	if at.holder.Scratch() == sandbox.ScratchDisk {
		f.err = at.holder.MoveLayer(ctx, jail, to)
	} else if f.err = at.roomToKeep(ctx); f.err == nil {
		_, f.err = at.holder.SaveLayer(ctx, jail, to)
	}
	return f
}

// checkLower is a layer of the root of a failed check as a kept build names it; where it is a
// dependency layer, that, too. What several checks lie on, and is no layer, each has of its own.
func (at *attempt) checkLower(ctx context.Context, f *frozen, l sandbox.Lower) (kept.Lower,
	*layer.Layer, error) {
	if key := f.check.Layer(l); key != "" {
		saved, err := at.env.Layers.Use(key)
		if saved != nil || err != nil {
			return kept.Lower{Layer: key}, saved, err
		}
	}
	if l.Path != "" {
		return kept.Lower{}, nil, fmt.Errorf("the root has an unknown layer %s", l.Path)
	}
	to, name := f.draft.NewTree()
	f.trees[l.Jail] = name
	_, err := at.holder.SaveLayer(ctx, l.Jail, to)
	return kept.Lower{Tree: name}, nil, err
}

// replaceKept forgets what was kept before of the same check of the same source directory.
func (at *attempt) replaceKept(ctx context.Context, id string, m *kept.Manifest) error {
	all, err := at.env.Kept.List()
	if err != nil {
		return err
	}
	var old []string
	for _, i := range all {
		if i.Check != nil && i.ID != id && i.Stage == m.Stage && i.Source == m.Source &&
			i.Directory == m.Directory && i.Base == m.Base {
			old = append(old, i.ID)
		}
	}
	_, err = at.env.Forget(ctx, old...)
	return err
}

// noRetry refuses to go on with a check: there is no later stage, and what it did would be done
// over its own leavings.
func noRetry(b *kept.Build) error {
	if b.Check == nil {
		return nil
	}
	hint := "nsbuild build makes the check anew"
	if b.Check.Again != "" {
		hint = fmt.Sprintf("nsbuild enter %s -- %s repeats it there; %s", b.ID, b.Check.Again, hint)
	}
	return fault.New(fault.Usage, hint, "%s is no build, but the jail of a check (%s): there is "+
		"nothing to go on with", b.ID, b.Stage)
}
