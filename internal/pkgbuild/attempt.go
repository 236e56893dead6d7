package pkgbuild

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"nsbuild/internal/base"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/checks"
	"nsbuild/internal/deps"
	"nsbuild/internal/install"
	"nsbuild/internal/jails"
	"nsbuild/internal/result"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/scratch"
	"nsbuild/internal/source"
	"nsbuild/internal/workdir"
)

// how says what is not as usual in an attempt.
type how struct {
	disk  bool // the scratch is on disk, be there memory or not
	plain bool // it is built in a plain copy of the tree
}

// attempt is what is open while a task is done: a sandbox, and what its stages have come to. It is
// made as one and closed as one; what goes otherwise the next time goes otherwise in another
// attempt.
type attempt struct {
	*builder
	how
	number int   // from 1 on
	place  place // of what is written
	holder jails.Holder
	watch  *scratch.Watch // of the room there
	begun  int            // lines of the log at that time

	root    root
	sources sources
	hookEnv []string        // what hooks add to the build's environment
	options []string        // of DEB_BUILD_OPTIONS
	deps    *deps.Installed // the build dependencies; nil before they are
	built   bool            // the results lie in the jail
	tracing *tracing        // what is installed; nil: not yet
	found   findings
	beside  comparing // with what the results are compared
}

// root is the root directory of an attempt's jails: what lies below the next one, and the one that
// is open.
type root struct {
	lowers  []sandbox.Lower // topmost first
	open    jails.Jail      // nil: none
	whole   bool            // the open one is a copy of the layers below it
	copied  []sandbox.Lower // those layers
	stopped bool            // nothing can be run in it any more
	jail    jails.Jail      // that builds, or has built
	varied  *Vary           // what it has otherwise than usual; nil: nothing yet
	clock   string          // directory of the library that sets its clock forward; "": none
	hooked  deps.Hooked     // what hooks have made of the base, below the build dependencies
	install *install.Into   // of packages that hooks want, in the open one
}

// sources is where an attempt has its source.
type sources struct {
	unpacked bool          // it lies in the open jail
	tar      string        // while it is in no jail: unpacked, in an archive
	packedIn sandbox.Lower // the jail in which a directory was packed
	packed   *source.Source
	changes  []byte // of the source alone, when one was asked for
}

// findings are what an attempt adds to the result.
type findings struct {
	stage     string          // that failed
	tail      []buildlog.Line // of the log, before what is said about it
	refused   bool            // tail has the changes that dpkg-source has refused
	hooks     []result.Hook
	strays    []result.Stray
	tried     []result.Tried
	installed []base.Package // when the source was unpacked
	layer     result.Layer
	bench     *checks.Bench // that the checks are made on; nil before the first of them
	checks    []result.Check
	failed    []checks.Failed  // jails of them that are to be kept
	unkept    int              // jails of them beyond those
	own       []buildlog.Field // of sbuild's summary
	artefacts []result.Artefact
	files     []string // the artefacts' paths, .changes last
}

// begin starts the sandbox that an attempt's jails are in.
func (b *builder) begin(ctx context.Context, how how) (_ *attempt, err error) {
	b.tries++
	at := &attempt{builder: b, how: how, number: b.tries, options: b.o.Options,
		root: root{lowers: []sandbox.Lower{{Path: b.base.Tree()}}}}
	if b.log != nil {
		at.begun = b.log.Lines()
	}
	defer func() {
		if err != nil {
			at.close(ctx)
		}
	}()
	if at.place, err = b.choosePlace(how); err != nil {
		return nil, err
	}
	if at.place.dir != "" {
		if _, err := b.env.giveWay(ctx, b.expectedSpace(how.plain)); err != nil {
			return nil, err
		}
	}
	held, err := b.hold(ctx, b.base.Manifest.Arch, sandbox.HolderSpec{
		IDs: b.base.Manifest.IDs, ScratchDir: at.place.dir, ScratchSize: at.place.limit,
		Limits: b.o.Limits})
	if err != nil {
		return nil, err
	}
	at.holder = held
	b.sample(held)
	b.result.Isolation.Scratch = string(at.holder.Scratch())
	if how.plain {
		b.result.Isolation.Scratch = string(sandbox.ScratchCopy)
	}
	isolation := b.base.Manifest.IDs.String()
	b.result.Isolation.Level = string(at.holder.Level())
	if at.holder.Level() != sandbox.LevelFull {
		isolation += ", " + sandbox.Weaker
	}
	b.header.Extra = []buildlog.Field{
		{Name: "Isolation", Value: isolation},
		{Name: "Scratch", Value: b.result.Isolation.Scratch},
		{Name: "Base", Value: fmt.Sprintf("%s, generation %d of %s", b.base.Name, b.base.Number,
			b.base.Manifest.Created.Format(time.DateOnly))},
	}
	at.watch, err = scratch.NewWatch(at.holder)
	return at, err
}

// close ends the sandbox and what belongs to it. What can fail in it was only to be thrown away.
func (at *attempt) close(ctx context.Context) {
	at.tracing.end()
	if at.watch != nil {
		if err := at.watch.Close(); err != nil {
			at.env.Log.Debugf("watching the scratch: %v", err)
		}
	}
	if at.holder != nil {
		at.leave()
		if err := at.holder.Close(); err != nil {
			at.env.Log.Warnf("ending the sandbox: %v", err)
		}
	}
	if at.place.dir != "" {
		// A tmpfs is gone with its namespace. Other builds of this command may want the room on the
		// disk.
		ctx, cancel := workdir.Afterwards(ctx)
		if err := workdir.UnlessLate(at.env.Log,
			sandbox.RemoveTree(ctx, at.place.dir)); err != nil {
			at.env.Log.Warnf("deleting what the build wrote: %v", err)
		}
		cancel()
	}
	if at.root.clock != "" {
		if err := os.RemoveAll(at.root.clock); err != nil {
			at.env.Log.Warnf("deleting the library of %s: %v", clockPackage, err)
		}
	}
	if at.place.give != nil {
		at.place.give()
	}
	if at.sources.tar != "" {
		if err := os.Remove(at.sources.tar); err != nil && !errors.Is(err, fs.ErrNotExist) {
			at.env.Log.Warnf("deleting the unpacked source: %v", err)
		}
	}
	if dir := at.beside.aside; dir != "" {
		if err := os.RemoveAll(dir); err != nil {
			at.env.Log.Warnf("deleting links to results of the build before: %v", err)
		}
	}
	if at.sources.packed != nil {
		if err := at.sources.packed.Close(); err != nil {
			at.env.Log.Warnf("deleting the packed source: %v", err)
		}
	}
	at.deps.Close()
}
