// Package pkgbuild builds source packages over bases: one, or several of one command, from what is
// asked for to results, a log and perhaps a kept build. It also plans builds, and goes on with kept
// ones.
//
// It joins the other rooms and leaves their work to them: internal/archive fetches and verifies,
// internal/bases makes bases and keeps them fresh, internal/install installs, internal/sandbox
// isolates, internal/dsc reads sources and results, internal/buildlog writes the log. The command
// line, the exit statuses and what is printed at the end are cmd/nsbuild's.
package pkgbuild

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/sirupsen/logrus"

	"nsbuild/internal/archive"
	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/fetch"
	"nsbuild/internal/archive/suites"
	"nsbuild/internal/base"
	"nsbuild/internal/bases"
	"nsbuild/internal/budget"
	"nsbuild/internal/copies"
	"nsbuild/internal/deps"
	"nsbuild/internal/kept"
	"nsbuild/internal/layer"
	"nsbuild/internal/progress"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/source"
	"nsbuild/internal/workdir"
)

// Env is what every verb works with.
type Env struct {
	Program  string // name and version, for logs
	StateDir string
	CacheDir string
	Store    *base.Store
	Suites   *suites.Table // that are known
	Host     *aptconf.Host
	Client   *archive.Client
	Layers   *layer.Store
	Kept     *kept.Store
	IDs      sandbox.IDMap // of new trees
	Log      logrus.FieldLogger
	Progress *progress.Progress
	Meter    *progress.Meter

	Require sandbox.Level // the least level of isolation that will do; "" is any

	Work   *workdir.Dir  // this process's own
	Copies *copies.Maker // of packages
	shared *shared
}

// Open makes this process's own directory, and deletes those of processes that were killed.
func (e *Env) Open(ctx context.Context) (err error) {
	e.shared = newShared()
	e.Copies = &copies.Maker{CacheDir: e.CacheDir, Grown: &e.shared.grown}
	if e.Kept, err = kept.Open(e.StateDir); err != nil {
		return err
	}
	if e.Work, err = workdir.Open(ctx, e.StateDir, e.Log); err != nil {
		return err
	}
	e.Work.Require = e.Require
	return nil
}

// Close deletes this process's own directory.
func (e *Env) Close(ctx context.Context) error {
	if e.Work == nil {
		return nil
	}
	return e.Work.Close(ctx, e.Log)
}

// Bases makes bases and keeps them fresh.
func (e *Env) Bases() *bases.Keeper {
	return &bases.Keeper{Store: e.Store, Suites: e.Suites, Host: e.Host, Client: e.Client,
		Work:     e.Work,
		StateDir: e.StateDir, CacheDir: e.CacheDir, IDs: e.IDs, Log: e.Log, Progress: e.Progress,
		Meter: e.Meter, Copies: e.Copies, Turns: &e.shared.turns}
}

// deps makes layers of build dependencies.
func (e *Env) deps() *deps.Maker {
	return &deps.Maker{Client: e.Client, Layers: e.Layers, Work: e.Work, CacheDir: e.CacheDir,
		Grown: &e.shared.grown, Log: e.Log}
}

// sources looks at sources, and fetches them.
func (e *Env) sources() *source.Opener {
	return &source.Opener{Suites: e.Suites, Client: e.Client, Work: e.Work, IDs: e.IDs, Log: e.Log}
}

// Grown tells whether something was added to the cache.
func (e *Env) Grown() bool { return e.shared.grown.Load() || e.Meter.Transferred() != 0 }

// Transferred is archive.Options.Progress: it passes what is fetched to the phase under way.
func (e *Env) Transferred(p fetch.Progress) { e.Meter.Add(p.Total, p.Done) }

// jobs is how many processes a build may use, of several that run beside each other.
func (e *Env) jobs() (int, error) {
	b, err := budget.Read()
	return b.Jobs(e.shared.side()), err
}

// CheckWritable makes sure that results can be stored, before hours are spent on them.
func CheckWritable(dir string) error {
	f, err := os.CreateTemp(dir, ".nsbuild-")
	if err != nil {
		return fmt.Errorf("writing to %s: %w", dir, reason(err))
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Remove(f.Name())
}

// hostSuite is the suite that this machine runs, or "".
func hostSuite() string {
	data, err := os.ReadFile(filepath.Join("/etc", "os-release"))
	if err != nil {
		return "" // not every system has one (os-release(5))
	}
	for line := range strings.Lines(string(data)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "VERSION_CODENAME="); ok {
			return strings.Trim(name, `"'`)
		}
	}
	return ""
}

// DefaultSuite is what is built for when nothing says otherwise: the host's own suite where nsbuild
// knows it, else Debian's unstable.
func DefaultSuite(known *suites.Table) string {
	if s, err := known.Lookup(hostSuite()); err == nil {
		return s.Name
	}
	return "sid"
}
