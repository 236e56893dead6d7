package pkgbuild

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nsbuild/internal/budget"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/checks"
	"nsbuild/internal/ctxio"
	"nsbuild/internal/fault"
	"nsbuild/internal/kept"
	"nsbuild/internal/layer"
	"nsbuild/internal/plan"
	"nsbuild/internal/result"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/workdir"
)

// What Keeping.Keep may be.
const (
	KeepFailed = "failed" // what has failed
	KeepAlways = "always"
	KeepNever  = "never"
)

// frozen is what an attempt has written, as it was at the end of its stages: nothing is written
// there any more.
type frozen struct {
	draft    *kept.Draft
	manifest kept.Manifest // what has to be known of the jail while that is open
	lowers   []sandbox.Lower
	below    []sandbox.Lower // what the topmost lies on, where it is a whole root
	trees    map[int]string  // jails, and the trees that they are kept as
	copying  chan error      // of those that are not moved; nil: none
	dsc      []byte          // of the source that is unpacked there
	check    *checks.Failed  // whose jail it is; nil: it is the build
	err      error           // why it cannot be kept
}

// freeze closes the jail that is open, and begins to keep what was written in it, if that is
// wanted. Hooks that come after a failure get another jail over it. It returns nil where nothing is
// to be kept.
func (at *attempt) freeze(ctx context.Context, failed error) *frozen {
	if at.o.Keep != KeepAlways && (at.o.Keep != KeepFailed || failed == nil) ||
		errors.Is(failed, errSkipped) || ctx.Err() != nil || at.holder == nil || at.log == nil {
		return nil
	}
	if at.o.Keep == KeepFailed && failedStage(failed).after {
		return nil // a check's jail is kept; what was built is good, and lies outside
	}
	f := &frozen{trees: map[int]string{},
		manifest: kept.Manifest{Environment: kept.Environment(at.environment())}}
	if at.sources.unpacked {
		f.manifest.Dir, f.manifest.DSC = at.sourceTree(), filepath.Base(at.in.DSC.Path)
		if f.dsc = at.in.Text; at.retried != nil {
			f.manifest.DSC, f.dsc = at.retried.Root.DSC, at.retried.text
		} else if f.dsc == nil && at.sources.packed != nil {
			f.dsc = at.sources.packed.Text
		} else if f.dsc == nil {
			f.dsc, f.err = at.readOut(f.manifest.DSC)
		}
	}
	reopened := at.root.open != nil && !at.root.stopped
	if at.root.open != nil {
		at.root.stopped = false
		strays, err := at.closeJail()
		if err != nil {
			f.err = err
			return f
		}
		for _, s := range strays {
			at.log.Printf("Ended, as it was still running: %s", s.Command)
		}
	}
	f.lowers = slices.Clone(at.root.lowers)
	if at.root.copied != nil && len(f.lowers) == 1 {
		f.below = at.root.copied
	} else if at.holder.Scratch() == sandbox.ScratchCopy && len(f.lowers) > 1 {
		f.below = f.lowers[len(f.lowers)-1:]
		f.lowers = f.lowers[:1]
	}
	if !slices.ContainsFunc(f.lowers, func(l sandbox.Lower) bool {
		return l.Path == "" && l.Jail != at.deps.InJail()
	}) {
		return nil // nothing was written but what a layer has
	}
	f.err = errors.Join(f.err, at.beginKeeping(ctx, f))
	if reopened && failed != nil && at.afterFailure() {
		if err := at.reopen(ctx); err != nil {
			at.env.Log.Warnf("opening a jail for what comes after the failure: %v", err)
		}
	}
	return f
}

// beginKeeping moves what was written on disk, and begins to copy what was not.
func (at *attempt) beginKeeping(ctx context.Context, f *frozen) (err error) {
	if f.draft, err = at.env.Kept.Begin(); err != nil {
		return err
	}
	moves := at.holder.Scratch() == sandbox.ScratchDisk
	var copied []int
	for i, l := range f.lowers {
		if l.Path != "" || l.Jail == at.deps.InJail() {
			continue
		}
		to, name := f.draft.NewTree()
		f.trees[l.Jail] = name
		if moves {
			if err := at.holder.MoveLayer(ctx, l.Jail, to); err != nil {
				return err
			}
			// a jail that is opened later finds it by its new path
			at.root.lowers[i] = sandbox.Lower{Path: to}
			continue
		}
		copied = append(copied, l.Jail)
	}
	if len(copied) == 0 {
		return nil
	}
	if err := at.roomToKeep(ctx); err != nil {
		return err
	}
	f.copying = make(chan error, 1)
	go func() {
		var err error
		for _, jail := range copied {
			_, saveErr := at.holder.SaveLayer(ctx, jail, f.draft.Tree(f.trees[jail]))
			err = errors.Join(err, saveErr)
		}
		f.copying <- err
	}()
	return nil
}

// afterFailure tells whether something is to be run in the jail of a build that has failed.
func (at *attempt) afterFailure() bool { return at.o.ShellOnFailure || !at.o.Hooks.Empty() }

// keep publishes what was frozen, and returns its ID. That it cannot be kept is told, and changes
// nothing of how the build has ended.
func (at *attempt) keep(ctx context.Context, f *frozen) (id string) {
	if f == nil {
		at.trimKept(ctx)
		return ""
	}
	id, err := at.finishKeeping(ctx, f)
	if err != nil && f.draft != nil {
		short, cancel := workdir.Afterwards(ctx)
		removed := at.holder.RemoveTree(short, f.draft.Dir())
		cancel()
		err = errors.Join(err, workdir.UnlessLate(at.env.Log, removed))
	}
	if f.draft != nil {
		err = errors.Join(err, f.draft.Close())
	}
	if err != nil {
		who := "the build"
		if f.check != nil {
			who = f.check.Check
		}
		at.env.Log.WithField(fault.Shown, true).Warnf("what %s wrote is not kept: %v",
			buildlog.VisibleString(who), err)
		return id
	}
	at.trimKept(ctx)
	return id
}

// trimKept forgets what was kept before and is beyond the limits.
func (at *attempt) trimKept(ctx context.Context) {
	ctx, cancel := workdir.Sweeping(ctx)
	defer cancel()
	if err := at.env.TrimKept(ctx, at.o.KeepLimits); err != nil && ctx.Err() == nil {
		at.env.Log.Warnf("forgetting builds that were kept before: %v", err)
	}
}

func (at *attempt) finishKeeping(ctx context.Context, f *frozen) (id string, err error) {
	if f.copying != nil {
		err = <-f.copying
	}
	if err = errors.Join(f.err, err); err != nil {
		return "", err
	}
	m := &f.manifest
	m.Program, m.Created = at.env.Program, time.Now().UTC()
	m.Source, m.Version, m.Distribution = at.header.Package, at.header.Version, at.suite.Name
	m.Status = string(at.outcome.Status)
	if f.check == nil {
		m.Why, m.Stage = at.why(), at.stageFailed()
	}
	if !at.env.Work.Had(at.output) { // else it is gone when nsbuild ends
		m.Output = at.output
	}
	m.RetryOf = at.result.RetryOf
	m.Base, m.Generation, m.IDs = at.base.Name, at.base.Number, at.base.Manifest.IDs
	if m.Directory, err = at.in.Directory(); err != nil {
		return "", err
	}
	var used []*layer.Layer
	defer func() {
		for _, l := range used {
			err = errors.Join(err, l.Close())
		}
	}()
	for _, part := range []struct {
		from []sandbox.Lower
		to   *[]kept.Lower
	}{{f.lowers, &m.Lowers}, {f.below, &m.Below}} {
		for _, l := range part.from {
			lower, uses, err := at.keptLower(ctx, f, l)
			if uses != nil {
				used = append(used, uses)
			}
			if err != nil {
				return "", err
			}
			*part.to = append(*part.to, lower)
		}
	}
	if m.Size, err = at.holder.TreeSize(ctx, f.draft.Trees()); err != nil {
		return "", err
	}
	if m.Size > at.o.KeepLimits.Bytes {
		return "", fault.New(fault.Internal, "", "it takes %s, and --keep-size is %s",
			fault.Size(m.Size), fault.Size(at.o.KeepLimits.Bytes))
	}
	if err := at.keepRecord(ctx, f.draft); err != nil {
		return "", err
	}
	if f.dsc != nil {
		if err := os.WriteFile(f.draft.DSCText(), f.dsc, 0o600); err != nil {
			return "", err
		}
	}
	for _, l := range slices.Concat(m.Lowers, m.Below) {
		if l.Layer == "" {
			continue
		}
		if err := at.env.Layers.Settle(l.Layer); err != nil { // it is to outlive this boot, too
			return "", err
		}
	}
	return f.draft.Commit(*m, func(by string) error {
		err := at.base.Lease(by)
		if f.check == nil {
			err = errors.Join(err, at.deps.Lease(by))
		}
		for _, l := range used {
			err = errors.Join(err, l.Lease(by))
		}
		return err
	})
}

// stageFailed is the stage that the build has failed at; "" for none. The stages of attempts before
// this one stand in the result, too.
func (at *attempt) stageFailed() (name string) {
	for _, s := range at.result.Stages {
		if s.Failed && at.outcome.Status != buildlog.Successful {
			name = s.Name
		}
	}
	return name
}

// why is the reason of the failure in one line.
func (at *attempt) why() string {
	if len(at.outcome.Causes) > 0 {
		return strings.TrimSpace(at.outcome.Causes[0].Text)
	}
	line, _, _ := strings.Cut(at.result.Outcome.Error, "\n")
	return line
}

// keptLower is a layer of the root as a kept build names it; where it is a dependency layer that
// has to be used while the build is being kept, that, too.
func (at *attempt) keptLower(ctx context.Context, f *frozen, l sandbox.Lower) (kept.Lower,
	*layer.Layer, error) {
	if name, ok := f.trees[l.Jail]; ok && l.Path == "" {
		return kept.Lower{Tree: name}, nil, nil
	}
	if l.Path == at.base.Tree() {
		return kept.Lower{Base: true}, nil, nil
	}
	if f.check != nil {
		return at.checkLower(ctx, f, l)
	}
	if at.retried != nil && l.Path != "" {
		return at.retriedLower(ctx, f, l.Path)
	}
	if l.Path != "" {
		if key := at.deps.LayerAt(l.Path); key != "" {
			return kept.Lower{Layer: key}, nil, nil
		}
		return kept.Lower{}, nil, fmt.Errorf("the root has an unknown layer %s", l.Path)
	}
	if l.Jail == at.deps.InJail() {
		saved, err := at.env.Layers.Use(at.deps.Key)
		if saved != nil || err != nil {
			return kept.Lower{Layer: at.deps.Key}, saved, err
		}
	}
	to, name := f.draft.NewTree()
	f.trees[l.Jail] = name
	_, err := at.holder.SaveLayer(ctx, l.Jail, to)
	return kept.Lower{Tree: name}, nil, err
}

// retriedLower is a layer of the kept build that this one goes on with.
func (at *attempt) retriedLower(ctx context.Context, f *frozen, dir string) (kept.Lower,
	*layer.Layer, error) {
	if key := at.retried.Root.LayerAt(dir); key != "" {
		l, err := at.env.Layers.Use(key)
		return kept.Lower{Layer: key}, l, err
	}
	to, name := f.draft.NewTree()
	return kept.Lower{Tree: name}, nil, at.holder.CopyTree(ctx, dir, to)
}

// keepRecord keeps what is known of the build, beside what it wrote.
func (at *attempt) keepRecord(ctx context.Context, d *kept.Draft) error {
	relations, err := at.planRelations()
	if err != nil {
		return err
	}
	for _, p := range at.result.Inputs.Dependencies {
		relations.Packages = append(relations.Packages,
			plan.Package{Name: p.Name, Version: p.Version, Arch: p.Arch, SHA256: p.SHA256})
	}
	p, err := at.planWith(ctx, relations)
	if err != nil {
		return err
	}
	if err := plan.Write(d.Plan(), p); err != nil {
		return err
	}
	if err := result.Write(d.Result(), at.result); err != nil {
		return err
	}
	in, err := os.Open(at.log.Path)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(d.Log(), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(copyLog(ctx, out, in, mostOfLog), out.Close())
}

// mostOfLog is how much of a log is kept beside what a build wrote, in bytes.
const mostOfLog = 64 << 20

// copyLog copies a log, or of one that is longer than most its beginning and its end.
func copyLog(ctx context.Context, to io.Writer, log *os.File, most int64) error {
	st, err := log.Stat()
	if err != nil {
		return err
	}
	over := st.Size() - most
	if over <= 0 {
		_, err := io.Copy(to, ctxio.NewReader(ctx, log))
		return err
	}
	head := most / 8
	if _, err := io.CopyN(to, ctxio.NewReader(ctx, log), head); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(to, "\n[%d bytes are left out here: they are in %s]\n", over,
		log.Name()); err != nil {
		return err
	}
	_, err = io.Copy(to, ctxio.NewReader(ctx, io.NewSectionReader(log, head+over, most-head)))
	return err
}

// roomToKeep has room on the disk for what lies on a tmpfs: builds that were kept before give way.
func (at *attempt) roomToKeep(ctx context.Context) error {
	room, err := at.holder.Room()
	if err != nil {
		return err
	}
	now, err := room.Now()
	if err = errors.Join(err, room.Close()); err != nil {
		return err
	}
	need := now.Used()
	const long = 256 << 20 // so much that a person waits for it
	if need > long {
		at.env.Log.Infof("%s that the build wrote are copied to disk, to be kept", fault.Size(need))
	}
	enough, err := at.env.giveWay(ctx, need+reserve)
	if err == nil && !enough {
		err = fmt.Errorf("there is no room for %s under %s, where %s stay free for others",
			fault.Size(need), at.env.StateDir, fault.Size(reserve))
	}
	return err
}

// reserve is what keeping leaves on the disk for others, in bytes.
const reserve = 512 << 20

// giveWay forgets kept builds, the oldest first, until there is as much room on the disk of the
// state directory. It tells whether there is. Where there would be too little without any of them,
// none is forgotten.
func (e *Env) giveWay(ctx context.Context, room int64) (enough bool, err error) {
	all, err := e.Kept.List()
	if err != nil {
		return false, err
	}
	slices.Reverse(all)
	most, err := budget.FreeSpace(e.StateDir)
	if err != nil {
		return false, err
	}
	for _, i := range all {
		most += i.Size
	}
	if most < room {
		return false, nil
	}
	for {
		free, err := budget.FreeSpace(e.StateDir)
		if err != nil {
			return false, err
		}
		if free >= room {
			return true, nil
		}
		if len(all) == 0 {
			return false, nil
		}
		used, err := e.Forget(ctx, all[0].ID)
		if err != nil {
			return false, err
		}
		if len(used) == 0 {
			e.Log.Infof("the kept build %s is forgotten: its room is needed", all[0].ID)
		}
		all = all[1:]
	}
}

// TrimKept forgets what is beyond the limits, and what killed processes have left.
func (e *Env) TrimKept(ctx context.Context, l kept.Limits) error {
	excess, err := e.Kept.Excess(l)
	if err != nil {
		return err
	}
	var ids []string
	for _, i := range excess {
		ids = append(ids, i.ID)
	}
	_, err = e.Forget(ctx, ids...)
	return err
}

// Forget deletes kept builds, and what killed processes have left of some. Those that somebody uses
// stay, and are returned.
func (e *Env) Forget(ctx context.Context, ids ...string) (used []string, err error) {
	dirs, used, release, err := e.Kept.Take(ids)
	for _, dir := range dirs {
		if removed := sandbox.RemoveTree(ctx, dir); !errors.Is(removed, fs.ErrNotExist) {
			err = errors.Join(err, removed)
		}
	}
	return used, errors.Join(err, release())
}

// ForgetAll deletes all kept builds, and tells how many bytes they took. Those that somebody uses
// stay, which is an error.
func (e *Env) ForgetAll(ctx context.Context) (freed int64, err error) {
	freed, used, err := e.forgetUnused(ctx)
	return freed, errors.Join(err, InUse(used))
}

// forgetUnused deletes all kept builds but those that somebody uses, which it returns, and tells
// how many bytes they took.
func (e *Env) forgetUnused(ctx context.Context) (freed int64, used []string, err error) {
	all, err := e.Kept.List()
	if err != nil {
		return 0, nil, err
	}
	ids := make([]string, 0, len(all))
	for _, i := range all {
		ids = append(ids, i.ID)
	}
	used, err = e.Forget(ctx, ids...)
	for _, i := range all {
		if err == nil && !slices.Contains(used, i.ID) {
			freed += i.Size
		}
	}
	return freed, used, err
}

// InUse is the error of kept builds that cannot be forgotten as they are used.
func InUse(ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	return fault.New(fault.Internal, "wait for the commands that use it",
		"in use, and not forgotten: %s", strings.Join(ids, ", "))
}
