package bases

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/suites"
	"nsbuild/internal/base"
	"nsbuild/internal/bootstrap"
	"nsbuild/internal/buildroot"
	"nsbuild/internal/fault"
	"nsbuild/internal/image"
	"nsbuild/internal/jails"
	"nsbuild/internal/machine"
	"nsbuild/internal/sandbox"
)

// ImportOptions say what becomes a base.
type ImportOptions struct {
	Name    string
	From    *os.File // an archive or a directory
	Suite   string   // "": what the tree says
	Mirror  string   // for updates; "": the suite's
	Keyring string
	Replace bool
}

// Import makes a base of a tree that was made elsewhere, and returns it in use.
func (k *Keeper) Import(ctx context.Context, o ImportOptions) (_ *base.Generation, err error) {
	if err := k.refuseExisting(o.Name, o.Replace, "nsbuild import --replace "+o.Name+
		" …"); err != nil {
		return nil, err
	}
	if err := k.sweepBases(ctx); err != nil {
		return nil, err
	}
	h, err := k.Work.Hold(ctx, k.IDs)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	draft, err := k.Store.Begin(ctx, o.Name, k.waitingFor(o.Name))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = k.abandon(ctx, draft, k.IDs, err)
		}
	}()
	// made while we waited
	if err := k.refuseExisting(o.Name, o.Replace, "nsbuild import --replace "+o.Name+
		" …"); err != nil {
		return nil, err
	}
	if err := h.MakeRoot(ctx, draft.Tree()); err != nil {
		return nil, err
	}
	ph := k.Progress.Phase("unpack")
	got, err := image.Import(ctx, h, o.From, draft.Tree())
	ph.Done(err)
	if err != nil {
		return nil, err
	}
	for _, line := range got.Notes.Lines() {
		k.Log.Info(line)
	}
	m, err := k.examine(ctx, h, draft.Tree(), o)
	if err != nil {
		return nil, err
	}
	if m.Digest, err = treeDigest(ctx, h, draft.Tree()); err != nil {
		return nil, err
	}
	if _, err = draft.Commit(*m); err != nil {
		return nil, err
	}
	return k.Store.Use(o.Name)
}

// refuseExisting refuses to make a base that exists.
func (k *Keeper) refuseExisting(name string, replace bool, hint string) error {
	if replace {
		return base.CheckName(name)
	}
	g, err := k.Store.Use(name)
	if errors.Is(err, base.ErrNone) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(fault.New(fault.Usage, hint, "base %s exists already (generation %d)", name,
		g.Number), g.Close())
}

// treeDigest tells one tree from another by everything that is in it.
func treeDigest(ctx context.Context, h jails.Holder, tree string) (string, error) {
	sum := sha256.New()
	if _, err := image.Export(ctx, h, tree, sum, image.Tar); err != nil {
		return "", fmt.Errorf("reading the tree again: %w", err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// examine reads what a tree says of itself, and completes it for builds where it lacks something.
func (k *Keeper) examine(ctx context.Context, h jails.Holder, tree string, o ImportOptions) (
	*base.Manifest, error) {
	jail, err := h.NewJail(ctx,
		sandbox.Spec{Root: sandbox.Root{Lowers: []sandbox.Lower{{Path: tree}}}})
	if err != nil {
		return nil, err
	}
	packages, err := buildroot.Installed(jail)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(packages) == 0 {
		return nil,
			fault.New(fault.Usage,
				"give the root directory of a Debian system, or a tar archive of one",
				"it has no installed packages of Debian's (var/lib/dpkg/status): it is no base")
	}
	if err != nil {
		return nil, err
	}
	suite, err := k.suiteOf(jail, o)
	if err != nil {
		return nil, err
	}
	lacks := bareOfBuilds(jail)
	if _, err := jail.Close(); err != nil {
		return nil, err
	}
	if lacks {
		if err := bootstrap.Adopt(ctx,
			bootstrap.Options{Holder: h, Tree: tree, CacheDir: k.CacheDir,
				Log: io.Discard}); err != nil {
			return nil, fmt.Errorf("completing the tree: %w", err)
		}
	}
	return &base.Manifest{
		Suite: suite.Name, Distribution: suite.Distribution, Arch: archOf(packages), Variant: "-",
		Bootstrapper: "import", Mirror: o.Mirror, Keyring: o.Keyring,
		IDs: h.IDs(), Created: time.Now().UTC().Truncate(time.Second), Packages: packages,
	}, nil
}

// bareOfBuilds tells whether a tree lacks what bootstrap gives every base.
func bareOfBuilds(jail jails.Jail) bool {
	return !strings.Contains("\n"+readText(jail, "etc/passwd"), "\n"+bootstrap.BuilderName+":") ||
		readText(jail, "usr/sbin/policy-rc.d") == ""
}

// archOf is the architecture of the tree's own dpkg.
func archOf(packages []base.Package) string {
	for _, p := range packages {
		if p.Name == "dpkg" {
			return p.Arch
		}
	}
	return machine.Native()
}

// suiteOf finds out which suite a tree is of: by its sources, by os-release(5), by the version of
// base-files, in this order.
func (k *Keeper) suiteOf(jail jails.Jail, o ImportOptions) (suites.Suite, error) {
	if o.Suite != "" {
		s, err := k.Suites.Lookup(o.Suite)
		if err != nil && o.Mirror != "" {
			return suites.Custom(o.Suite), nil
		}
		return s, err
	}
	release := map[string]string{}
	// the first is a link to the second in most trees, and links are not followed
	for _, name := range []string{"etc/os-release", "usr/lib/os-release"} {
		for line := range strings.Lines(readText(jail, name)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			release[key] = strings.Trim(value, `"'`)
		}
	}
	var candidates []string
	for _, name := range sourceFiles(jail) {
		for _, suite := range aptconf.DistributionSuites(k.Suites, readText(jail, name),
			strings.HasSuffix(name, ".sources")) {
			s, err := k.Suites.Lookup(suite)
			// A name that moves on, such as stable, says less than the codename of what is there.
			// But unstable has that of the next release in its os-release.
			if err == nil && s.Base == "" &&
				(s.Name == suite || s.Name == "sid" || release["VERSION_CODENAME"] == "") {
				candidates = append(candidates, suite)
			}
		}
	}
	version, _, _ := strings.Cut(strings.TrimSpace(readText(jail, "etc/debian_version")), ".")
	for _, name := range append(candidates, release["VERSION_CODENAME"], version) {
		if s, err := k.Suites.Lookup(name); name != "" && err == nil {
			return s, nil
		}
	}
	return suites.Suite{}, fault.New(fault.Usage, "say it with --suite, and for a suite that "+
		"nsbuild does not know with --mirror and --keyring",
		"neither its sources nor its os-release tell of a suite that nsbuild knows")
}

// sourceFiles are the files in which apt looks for sources.
func sourceFiles(jail jails.Jail) []string {
	names := []string{"etc/apt/sources.list"}
	dir, err := jail.Open("etc/apt/sources.list.d")
	if err != nil {
		return names // there is none
	}
	defer dir.Close()
	entries, err := dir.Readdirnames(1000)
	if err != nil {
		return names
	}
	for _, n := range entries {
		if strings.HasSuffix(n, ".list") || strings.HasSuffix(n, ".sources") {
			names = append(names, path.Join("etc/apt/sources.list.d", n))
		}
	}
	return names
}

// readText is the text of a small file of a tree, "" when it has none.
func readText(jail jails.Jail, name string) string {
	f, err := jail.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil {
		return ""
	}
	return string(data)
}

// Export writes a base as a tar archive.
func (k *Keeper) Export(ctx context.Context, name string, w io.Writer, format image.Format) error {
	g, err := k.Store.Use(name)
	if err != nil {
		return err
	}
	defer g.Close()
	h, err := k.Work.Hold(ctx, g.Manifest.IDs)
	if err != nil {
		return err
	}
	defer h.Close()
	notes, err := image.Export(ctx, h, g.Tree(), w, format)
	for _, line := range notes.Lines() {
		k.Log.Info(line)
	}
	return fault.Interruption(ctx, err)
}
