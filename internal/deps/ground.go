package deps

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
	"nsbuild/internal/jails"
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

// ground is the ground of the layer.
func (in *installation) ground() ground {
	return ground{
		base:      baseKey(in.Base.Manifest),
		hooks:     in.on.Hooked.Key,
		host:      in.Host,
		resolver:  in.Resolver,
		conflicts: in.Reduced.Conflicts.String(),
		program:   layer.Key(apt.Config, strings.Join(buildroot.Env(), "\n"), buildroot.Host),
	}
}

// layerLowers are the lowers of the jail that a layer is made in. What packing a source directory
// has left there, which is hostile, is no part of a ground, and no maintainer script is to find it.
func (in *installation) layerLowers() []sandbox.Lower {
	if !in.layers() {
		return in.done.Lowers
	}
	return slices.DeleteFunc(slices.Clone(in.done.Lowers), func(l sandbox.Lower) bool {
		return l == in.on.Leavings
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

// Hooked tells roots apart that hooks have changed below the build dependencies. The zero value is
// of one that none has.
type Hooked struct {
	Key        string // digest of what hooks have made of the base
	Unknowable bool   // what they have made of it is
}

// wholeFiles are databases of the root that installing a package writes anew as a whole. Hooks can
// change them in ways that neither their files nor what they are told show: with packages of which
// the archive has a newer version by now, say.
var wholeFiles = [...]string{
	"var/lib/dpkg/status", "var/lib/dpkg/arch", "var/lib/dpkg/diversions",
	"var/lib/dpkg/statoverride", "etc/passwd", "etc/group",
}

// HookedRoot identifies the root that hooks have left in a jail: by what the caller knows of what
// they are and were told, and by what they have made of it.
func HookedRoot(jail jails.Jail, known ...string) (Hooked, error) {
	parts := known
	for _, name := range wholeFiles {
		sum, err := digestIn(jail, name)
		if err != nil {
			return Hooked{Unknowable: true}, err
		}
		parts = append(parts, name, sum)
	}
	return Hooked{Key: layer.Key(parts...)}, nil
}

// maxDatabase bounds the databases of a root, in bytes: a hook may have run what a source says.
const maxDatabase = 256 << 20

// digestIn is the digest of a regular file in a jail; "" when there is none.
func digestIn(jail jails.Jail, name string) (string, error) {
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
