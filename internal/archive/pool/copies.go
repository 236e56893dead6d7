package pool

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	"pault.ag/go/debian/version"

	"nsbuild/internal/archive/cache"
	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/hashes"
	"nsbuild/internal/archive/index"
	"nsbuild/internal/ctxio"
	"nsbuild/internal/deb"
)

// CopyForm is how a recompressed copy of a package is packed: as quickly to unpack as a suite's
// dpkg can read. The zero value is no copy, but the original. It is a number, so that none of the
// many strings which go where it goes can take its place.
type CopyForm int

const (
	// CopyZstd needs a dpkg of 1.21.18 or later (or none: the native bootstrapper reads it).
	CopyZstd CopyForm = iota + 1
	// CopyPlain is uncompressed.
	CopyPlain
	// CopyOld is uncompressed but for the control member, which dpkg before 1.17.6 expects
	// compressed.
	CopyOld
)

// String is the form's part of a copy's name.
func (f CopyForm) String() string {
	switch f {
	case CopyZstd:
		return "zst"
	case CopyPlain:
		return "tar"
	case CopyOld:
		return "old"
	}
	return "original"
}

// members is how the members of a copy are packed.
func (f CopyForm) members() (deb.Form, bool) {
	switch f {
	case CopyZstd:
		return deb.Form{Data: ".zst"}, true
	case CopyPlain:
		return deb.Form{}, true
	case CopyOld:
		return deb.Form{Control: ".gz"}, true
	}
	return deb.Form{}, false
}

// CopyFormFor is the form for a version of dpkg.
func CopyFormFor(dpkg string) (CopyForm, error) {
	v, err := version.Parse(dpkg)
	if err != nil {
		return 0, fmt.Errorf("dpkg's version %q: %w", dpkg, err)
	}
	for _, from := range []struct {
		version string
		form    CopyForm
	}{{"1.21.18", CopyZstd}, {"1.17.6", CopyPlain}} {
		least, err := version.Parse(from.version)
		if err != nil {
			return 0, err
		}
		if version.Compare(v, least) >= 0 {
			return from.form, nil
		}
	}
	return CopyOld, nil
}

// A copy's name is all that is recorded about it: ORIGINAL.FORM.COPY.deb, with the digests of the
// original and of the copy itself. So one rename publishes it, and nothing can get apart.

// Copies are those in a cache.
type Copies struct {
	cache *cache.Cache
	log   logrus.FieldLogger
}

// of lists the copies of an original in one form: none or one, save for what two makers of
// different versions left.
func (c *Copies) of(digest string, form CopyForm) ([]string, error) {
	if digest == "" {
		return nil, nil
	}
	dir := filepath.Join(c.cache.Dir(cache.Copies), digest[:2])
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cache: %w", err)
	}
	var out []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), digest+"."+form.String()+".") {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	return out, nil
}

// Find returns a copy of a package that is intact, or "" when there is none. A damaged one is
// deleted, so that it is made again.
func (c *Copies) Find(p *index.Package, form CopyForm) string {
	found, err := c.of(p.Hashes.SHA256, form)
	if err != nil {
		c.log.Debug(err)
		return ""
	}
	for _, path := range found {
		digest := cache.CopyDigest(path)
		ok := len(digest) == 2*sha256.Size && hashes.IsHex(digest)
		if ok {
			ok, err = c.cache.Intact(path,
				cache.Content{Name: "the copy of " + p.String(), Size: -1,
					Hashes: hashes.Set{SHA256: digest}})
		}
		if ok && err == nil {
			return path
		}
		if err != nil {
			c.log.Debug(err)
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			c.log.Debugf("cache: %v", err)
		}
	}
	return ""
}

// Missing returns the digests of those packages that are in the cache without a copy and would
// gain by one, in their order.
func (c *Copies) Missing(packages []*index.Package, form CopyForm) []string {
	var out []string
	for _, p := range packages {
		if p.Hashes.SHA256 != "" && c.lacks(p.Hashes.SHA256, form) {
			out = append(out, p.Hashes.SHA256)
		}
	}
	return out
}

func (c *Copies) lacks(digest string, form CopyForm) bool {
	if c.Has(digest, form) {
		return false
	}
	f, err := os.Open(c.cache.Place(cache.Debs, digest, ".deb"))
	if err != nil {
		return false
	}
	defer f.Close()
	quick, err := deb.Quick(f)
	return err != nil || !quick // Make will say what is wrong with it
}

// Has tells whether there is a copy, damaged or not.
func (c *Copies) Has(digest string, form CopyForm) bool {
	found, err := c.of(digest, form)
	return err == nil && len(found) > 0
}

// AllMissing returns the digests of all packages in the cache that have no copy and would gain by
// one, the last used first.
func (c *Copies) AllMissing(form CopyForm) ([]string, error) {
	var files []string
	err := filepath.WalkDir(c.cache.Dir(cache.Debs),
		func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err == nil && !d.IsDir() {
				files = append(files, path)
			}
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	type original struct {
		digest string
		used   time.Time
	}
	var all []original
	for _, file := range files {
		fi, err := os.Lstat(file)
		if err != nil {
			continue // deleted meanwhile
		}
		digest := strings.TrimSuffix(filepath.Base(file), ".deb")
		if len(digest) == 2*sha256.Size && hashes.IsHex(digest) && c.lacks(digest, form) {
			all = append(all, original{digest, fi.ModTime()})
		}
	}
	slices.SortFunc(all, func(a, b original) int { return b.used.Compare(a.used) })
	out := make([]string, len(all))
	for i, o := range all {
		out[i] = o.digest
	}
	return out, nil
}

// Make makes the copy of the package of that digest. It binds the copy to what it has read: an
// original that is not what its name says makes none.
func (c *Copies) Make(ctx context.Context, digest string, form CopyForm) error {
	members, ok := form.members()
	if !ok || len(digest) != 2*sha256.Size || !hashes.IsHex(digest) {
		return fmt.Errorf("copy of %q in the form %s: no such thing", digest, form)
	}
	in, err := os.Open(c.cache.Place(cache.Debs, digest, ".deb"))
	if err != nil {
		return fmt.Errorf("cache: %w", err)
	}
	defer in.Close()
	out, err := c.cache.Scratch()
	if err != nil {
		return err
	}
	name := out.Name()
	sum := sha256.New()
	read := io.TeeReader(ctxio.NewReader(ctx, in), sum)
	err = deb.Recompress(out, read, members, deb.Limits{})
	if err == nil {
		_, err = io.Copy(io.Discard, read) // what may follow the last member
	}
	if got := hashes.Hex(sum); err == nil && got != digest {
		err = fmt.Errorf("copy of package %s: %w: the original is %s", digest, failure.ErrHash, got)
	}
	var own string
	if err == nil {
		own, err = digestOf(out)
	}
	if err == nil {
		path := c.cache.Place(cache.Copies, digest, "."+form.String()+"."+own+".deb")
		err = c.cache.Publish(out, path)
	}
	// What was written is verified before its use; an error of closing would show there.
	err = c.cache.OnDisk(errors.Join(err, out.Close()))
	if err != nil {
		_ = os.Remove(name) // it may have been renamed
	}
	return err
}

func digestOf(f *os.File) (string, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hashes.Hex(h), nil
}
