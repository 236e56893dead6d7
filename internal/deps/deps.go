// Package deps makes a layer of a root of what build relations want: of packages that an earlier
// build has installed, or of what the jail's apt says that it wants, fetched and verified outside
// and installed without network. A layer is looked for by two keys: by what was asked for, and by
// what apt wants. Where there is none, one may be made over a smaller one, if nothing can tell the
// result from one that was made at once.
//
// Which relations a build has is left to internal/pkgbuild and internal/checks; how a layer lies on
// disk to internal/layer, and how packages are installed to internal/install.
package deps

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"nsbuild/internal/archive"
	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/pool"
	"nsbuild/internal/archive/release"
	"nsbuild/internal/base"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/dsc"
	"nsbuild/internal/jails"
	"nsbuild/internal/layer"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/workdir"
)

// What finds the packages that a build needs.
const (
	// the first alternative of each relation counts, as on Debian's build daemons
	ResolverApt = "apt"
	// every alternative counts, and a suite that adds to another is used where it must be
	ResolverAptitude = "aptitude"
	// it finds a solution wherever there is one; behind a colon there may be what makes one better
	// than another (ParseAspcud)
	ResolverAspcud = "aspcud"
	// nothing is installed: that is left to hooks
	ResolverNull = "null"
)

// KnownResolver tells whether there is a resolver of a name.
func KnownResolver(name string) bool {
	_, aspcud := ParseAspcud(name)
	return aspcud || name == ResolverApt || name == ResolverAptitude || name == ResolverNull
}

// ParseAspcud reads the name of the resolver aspcud, with its criteria: those that sbuild gives it
// where the name has none.
func ParseAspcud(name string) (criteria string, ok bool) {
	if name == ResolverAspcud {
		return "-removed,-changed,-new", true
	}
	criteria, ok = strings.CutPrefix(name, ResolverAspcud+":")
	return criteria, ok && criteria != ""
}

// Maker makes layers, and keeps them for later builds.
type Maker struct {
	Client   *archive.Client
	Layers   *layer.Store
	Work     *workdir.Dir
	CacheDir string
	Grown    *atomic.Bool // set when a layer was added to the cache
	Log      logrus.FieldLogger
}

// Extra is what packages may come from besides the repositories of a base.
type Extra struct {
	Releases []*release.File // of packages
	Sources  []*release.File // of sources
	Local    *pool.Local
	Pins     string // preferences of apt
}

// key is the part of a request that they are.
func (x *Extra) key() []string {
	var parts []string
	for _, r := range x.Releases {
		parts = append(parts, r.Repo().SourcesLine(), r.Digest())
	}
	if x.Local != nil {
		parts = append(parts, "local", x.Local.Digest)
	}
	return append(parts, x.Pins)
}

// Request says what is to be installed, and what decides how.
type Request struct {
	Reduced    dsc.Reduced
	Base       *base.Generation
	Arch       string // of the jail
	Host       string // that is built for
	Suite      string // for errors
	Resolver   string
	Explainer  string         // what explains a failure of it, beside its own words
	Repos      []aptconf.Repo // of the base
	Components []string
	Extra      Extra
	NoLayers   bool // neither use nor keep any
	// Planned are the files that apt must want, by their names in its directory, and no others; nil
	// where that is not fixed.
	Planned []string
	// What is done, for the error that it becomes when it fails; "": the error says it all.
	What string
	// Unresolved is what the user may do when there is no way to install it; "" for nothing.
	Unresolved string
}

// cross tells whether the packages are for another architecture than that of the jail.
func (r *Request) cross() bool { return r.Host != r.Arch }

// Copier makes copies of packages that are unpacked more quickly, beside what else is done.
type Copier interface {
	Start(digests []string, form pool.CopyForm)
}

// On is what it is installed on.
type On struct {
	Holder jails.Holder
	Lowers []sandbox.Lower // topmost first
	// Leavings are those of a jail that no layer may lie on: what packing a source directory has
	// left there is hostile, and no maintainer script is to find it.
	Leavings sandbox.Lower
	Hooked   Hooked
	Copies   Copier
	Log      *buildlog.File
	// Confirm waits until it is known that the base is up to date, and what the mirrors have.
	Confirm func() ([]*release.File, error)
}

// Installed is what was asked for, as lowers of a root.
type Installed struct {
	Lowers   []sandbox.Lower // with those that it was installed on, topmost first
	Layer    *layer.Layer    // of an earlier build, all of it or a part of it; nil: none
	Key      string          // of the layer, once it is known
	Jail     int             // whose files the layer has, where it was installed now
	Cached   bool            // an earlier build had made it
	Packages []base.Package  // that the base does not have, where they were installed now
	// Files are the packages' files by apt's names, each with a space and its hash as apt has it.
	Files []string
	Time  time.Duration // of installing, where that was necessary
	Open  jails.Jail    // left open by a failure, as it was then; nil: none

	log    logrus.FieldLogger
	saving chan error    // of a layer that is being kept for later builds
	making *layer.Making // the right to make that layer
	kept   int64         // bytes of the layer that was kept
}

// Install installs what a request says, or finds a layer that has it. What it returns is to be
// closed, also when it failed.
func (m *Maker) Install(ctx context.Context, r Request, on On) (*Installed, error) {
	in := &installation{Maker: m, Request: &r, on: on,
		done: &Installed{Lowers: on.Lowers, log: m.Log}}
	return in.done, in.install(ctx)
}

func (in *installation) install(ctx context.Context) (err error) {
	if in.Resolver == ResolverNull {
		in.on.Log.Printf("The resolver null installs nothing.")
		_, err := in.on.Confirm()
		return err
	}
	in.request = in.requestKey()
	if in.layers() {
		found, err := in.Layers.Request(in.request)
		if err != nil {
			return err
		}
		if found != nil {
			return in.useLayer(found)
		}
	}
	if in.releases, err = in.on.Confirm(); err != nil {
		return err
	}
	begin := time.Now()
	err = in.makeLayer(ctx)
	in.done.Time = time.Since(begin)
	if err != nil { // other builds wait for the layer that there will not be
		err = errors.Join(err, in.done.made())
	}
	return err
}

// InJail is Jail, of what may be nil.
func (i *Installed) InJail() int {
	if i == nil {
		return 0
	}
	return i.Jail
}

// LayerAt is the key of the layer of an earlier build that has its tree at a path; "" for none.
func (i *Installed) LayerAt(path string) string {
	if i == nil {
		return ""
	}
	return i.Layer.At(path)
}

// Lease has the layer of an earlier build stay while another directory is there; see
// store.Dir.Lease.
func (i *Installed) Lease(by string) error {
	if i == nil {
		return nil
	}
	return i.Layer.Lease(by)
}

// Size is what the layers of it have, in bytes; 0 when none was used or kept.
func (i *Installed) Size() int64 {
	if i == nil {
		return 0
	}
	return i.kept + i.Layer.Size()
}

// Saved waits until the layer is kept. A full disk, say, is no failure of this build: the next one
// installs again.
func (i *Installed) Saved() {
	if i == nil || i.saving == nil {
		return
	}
	err := <-i.saving
	i.saving = nil
	if err != nil && !errors.Is(err, context.Canceled) {
		i.log.Warnf("the build dependencies cannot be kept for the next build: %v", err)
	}
}

// made tells other builds that this one no longer makes a layer.
func (i *Installed) made() error {
	m := i.making
	i.making = nil
	if m == nil {
		return nil
	}
	return m.Close()
}

// Close gives up what is in use of it, once the holder has ended. What can fail in it was only to
// be given up.
func (i *Installed) Close() {
	if i == nil {
		return
	}
	i.Saved()
	if err := i.made(); err != nil {
		i.log.Debugf("giving up the right to make a layer: %v", err)
	}
	if i.Layer != nil {
		if err := i.Layer.Close(); err != nil {
			i.log.Warnf("releasing layer %.12s: %v", i.Layer.Key, err)
		}
		i.Layer = nil
	}
}
