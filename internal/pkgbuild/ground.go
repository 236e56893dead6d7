package pkgbuild

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"nsbuild/internal/apt"
	"nsbuild/internal/base"
	"nsbuild/internal/buildroot"
	"nsbuild/internal/dsc"
	"nsbuild/internal/hook"
	"nsbuild/internal/layer"
	"nsbuild/internal/sandbox"
)

// ground is what a dependency layer lies on, and all else that decides what installing the same
// files makes of it. A layer has files that replace those below it as a whole, dpkg's status above
// all: over any other ground it is wrong.
type ground struct {
	base      string // digest of the base's packages and ids
	hooks     string // digest of what hooks have made of the base; "" when none has
	host      string // architecture that is built for
	resolver  string
	conflicts string // Build-Conflicts: what may have been removed
	program   string // what this nsbuild gives apt in every build
}

// key is the one name of a ground: it is part of a layer's two keys, and a smaller layer must have
// the same.
func (g ground) key() string {
	return layer.Key("ground", g.base, g.hooks, g.host, g.resolver, g.conflicts, g.program)
}

// groundFor is the ground of the layer with what relations want.
func (b *builder) groundFor(r dsc.Reduced) ground {
	return ground{
		base:      baseKey(b.base.Manifest),
		hooks:     b.hookedRoot,
		host:      b.host,
		resolver:  b.resolver(),
		conflicts: r.Conflicts.String(),
		program:   layer.Key(apt.Config, strings.Join(buildroot.Env(), "\n"), buildroot.Host),
	}
}

// layerLowers are the lowers of the jail that a layer is made in. What packing a source directory
// has left there, which is hostile, is no part of a ground, and no maintainer script is to find it.
func (b *builder) layerLowers() []sandbox.Lower {
	if b.in.tree == nil || !b.layers() {
		return b.lowers
	}
	return slices.DeleteFunc(slices.Clone(b.lowers), func(l sandbox.Lower) bool {
		return l == b.packedIn
	})
}

// baseKey identifies the packages and the ids of a base, and what else was done to it.
func baseKey(m base.Manifest) string {
	var packages []string
	for _, p := range m.Packages {
		packages = append(packages, p.Name+" "+p.Version+" "+p.Arch)
	}
	slices.Sort(packages)
	parts := []string{m.Suite, m.Arch, m.Variant, m.Bootstrapper, fmt.Sprintf("%+v", m.IDs)}
	return layer.Key(append(parts, strings.Join(packages, "\n"), m.Digest)...)
}

// wholeFiles are databases of the root that installing a package writes anew as a whole. Hooks can
// change them in ways that neither their files nor what they are told show: with packages of which
// the archive has a newer version by now, say.
var wholeFiles = [...]string{
	"var/lib/dpkg/status", "var/lib/dpkg/arch", "var/lib/dpkg/diversions",
	"var/lib/dpkg/statoverride", "etc/passwd", "etc/group",
}

// noteHookedRoot identifies the root that hooks have left in the open jail: by what the hooks are,
// by what they were told, and by what they have made of it.
func (b *builder) noteHookedRoot() error {
	b.hookedRoot, b.unknowable = "", b.o.Hooks.Unknown()
	digest, err := b.o.Hooks.Digest(b.hookContext(), hook.BeforeLayer()...)
	if err != nil {
		return fmt.Errorf("reading the hooks: %w", err)
	}
	if digest == "" {
		return nil
	}
	parts := []string{digest}
	if len(b.o.Hooks.At(hook.BeforeDeps)) > 0 {
		parts = append(parts, sourceDigests(b.in.dsc)...) // they have seen it, and may have run it
	}
	for _, name := range wholeFiles {
		sum, err := digestIn(b.open, name)
		if err != nil {
			b.log.Warning("No dependency layer is used over what hooks have made of the root: %v",
				err)
			b.unknowable = true
			return nil
		}
		parts = append(parts, name, sum)
	}
	b.hookedRoot = layer.Key(parts...)
	return nil
}

// sourceDigests identify the files of a source package.
func sourceDigests(s *dsc.Source) []string {
	digests := []string{s.Name, s.Version.String()}
	for _, f := range s.Files {
		digests = append(digests, fmt.Sprintf("%+v", f))
	}
	return digests
}

// maxDatabase bounds the databases of a root, in bytes: a hook may have run what a source says.
const maxDatabase = 256 << 20

// digestIn is the digest of a regular file in a jail; "" when there is none.
func digestIn(jail *sandbox.Jail, name string) (string, error) {
	f, err := jail.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, io.LimitReader(f, maxDatabase+1))
	if err == nil && n > maxDatabase {
		err = errors.New("it is too large")
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
