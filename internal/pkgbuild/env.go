// Package pkgbuild is what nsbuild does: it makes bases, keeps them fresh, and builds source
// packages over them.
//
// It joins the other rooms and leaves their work to them: internal/archive fetches and verifies,
// internal/bootstrap makes trees, internal/base keeps them, internal/apt installs, internal/sandbox
// isolates, internal/dsc reads sources and results, internal/buildlog writes the log. The command
// line, the exit statuses and what is printed at the end are cmd/nsbuild's.
package pkgbuild

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/sirupsen/logrus"

	"nsbuild/internal/archive"
	"nsbuild/internal/base"
	"nsbuild/internal/budget"
	"nsbuild/internal/dsc"
	"nsbuild/internal/layer"
	"nsbuild/internal/machine"
	"nsbuild/internal/progress"
	"nsbuild/internal/sandbox"
)

// Env is what every verb works with.
type Env struct {
	Program  string // name and version, for logs
	StateDir string
	CacheDir string
	Store    *base.Store
	Host     *archive.Host
	Client   *archive.Client
	Layers   *layer.Store
	IDs      sandbox.IDMap // of new trees
	Log      logrus.FieldLogger
	Progress *progress.Progress
	Meter    *Meter
	// CacheLimit is how many bytes the cache may take, layers included.
	CacheLimit int64

	scratch scratch
	shared  *shared
}

// hold starts a holder for trees of the given ids, in which nothing of theirs is run.
func (e *Env) hold(ctx context.Context, ids sandbox.IDMap) (*sandbox.Holder, error) {
	return sandbox.Start(ctx, sandbox.HolderSpec{IDs: ids, FallbackDir: e.scratch.own,
		Memory: filepath.Join(e.StateDir, "kernel.json")})
}

// holdFor starts a holder in which programs of an architecture run, for trees of the given ids,
// with upper directories in a certain place and with limits.
func (e *Env) holdFor(ctx context.Context, arch string, ids sandbox.IDMap, p place,
	l sandbox.Limits) (*sandbox.Holder, error) {
	spec := sandbox.HolderSpec{IDs: ids, ScratchDir: p.dir, ScratchSize: p.limit,
		FallbackDir: e.scratch.own, Memory: filepath.Join(e.StateDir, "kernel.json"), Limits: l}
	if err := machine.Prepare(&spec, arch); err != nil {
		return nil, err
	}
	return sandbox.Start(ctx, spec)
}

// jobs is how many processes a build may use, of several that run beside each other.
func (e *Env) jobs() (int, error) {
	b, err := budget.Read()
	return b.Jobs(e.shared.side()), err
}

// keyrings are the keys that a source's signature is looked up in.
func (e *Env) keyrings() dsc.Keyrings {
	home, err := os.UserHomeDir()
	if err != nil {
		home = "" // without a home there are no keys of the caller's
	}
	return dsc.HostKeyrings("/", home)
}

// commandEnv is the environment of what nsbuild itself runs in a jail as root: nothing of the
// caller's.
func commandEnv(more ...string) []string {
	return append([]string{
		"PATH=" + sandbox.DefaultPath,
		"HOME=/nonexistent", "LC_ALL=C.UTF-8", "SHELL=/bin/sh", "USER=root", "LOGNAME=root",
		"DEBIAN_FRONTEND=noninteractive", "DEBCONF_NONINTERACTIVE_SEEN=true",
		"DEBIAN_PRIORITY=critical",
	}, more...)
}

// checkWritable makes sure that results can be stored, before hours are spent on them.
func checkWritable(dir string) error {
	f, err := os.CreateTemp(dir, ".nsbuild-")
	if err != nil {
		return err
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
func DefaultSuite() string {
	if s, err := archive.LookupSuite(hostSuite()); err == nil {
		return s.Name
	}
	return "sid"
}
