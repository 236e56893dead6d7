package pool

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/cache"
	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/hashes"
	"nsbuild/internal/archive/index"
	"nsbuild/internal/deb"
	"nsbuild/internal/fault"
	"nsbuild/internal/regular"
)

// Local is a flat repository of packages that are the caller's own. Its files are in the cache like
// all others, named by their digests; it needs no signature, since it comes from no other place.
type Local struct {
	Repo     aptconf.Repo
	Packages []*index.Package
	List     index.ListFile // its Packages, as apt has to find it
	Digest   string         // of the list: it changes when a package does
}

// Local makes a repository of .deb files and directories of them. uri is what stands in the jail's
// sources.list: nothing is fetched from there.
func (d *Pool) Local(ctx context.Context, uri string, files []string) (*Local, error) {
	all, err := debFiles(files)
	if err != nil {
		return nil, err
	}
	l := &Local{Repo: aptconf.Repo{URI: strings.TrimRight(uri, "/"), Suite: "./", Trusted: true}}
	var list bytes.Buffer
	for _, file := range all {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		paragraph, err := adopt(d.cache, file)
		if err != nil {
			return nil, fmt.Errorf("package %s: %w", file, err)
		}
		s := index.Scan(bytes.NewReader(paragraph))
		if !s.Next() {
			return nil,
				fmt.Errorf("package %s: %w", file,
					cmp.Or(failure.Malformed(s.Err()), failure.Syntax("its control file is empty")))
		}
		p, err := index.ParsePackage(s)
		if err != nil {
			return nil, fmt.Errorf("package %s: %w", file, err)
		}
		if s.Next() {
			return nil,
				fmt.Errorf("package %s: %w", file,
					failure.Syntax("its control file has more than one paragraph"))
		}
		p.Repo = &l.Repo
		l.Packages = append(l.Packages, p)
		list.Write(paragraph)
		list.WriteByte('\n')
	}
	l.Digest = hashes.SHA256(list.Bytes())
	l.List = index.ListFile{Name: aptconf.ListName(l.Repo.AptDist() + "Packages"),
		ModTime: time.Unix(0, 0)}
	l.List.Path, err = d.cache.Keep(cache.Lists, list.Bytes())
	return l, err
}

// debFiles lists the packages that files and directories stand for, each once.
func debFiles(names []string) ([]string, error) {
	var out []string
	for _, name := range names {
		fi, err := os.Stat(name)
		if err != nil {
			return nil, fault.Wrap(fault.Usage, "give a .deb file, or a directory with such",
				fmt.Errorf("extra package: %w", err))
		}
		if !fi.IsDir() {
			if filepath.Ext(name) != ".deb" {
				return nil, fault.New(fault.Usage, "give a .deb file, or a directory with such",
					"extra package %s: it is no .deb", name)
			}
			out = append(out, name)
			continue
		}
		found, err := filepath.Glob(filepath.Join(globEscape(name), "*.deb"))
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, fault.New(fault.Usage, "give a .deb file, or a directory with such",
				"extra package: directory %s has no .deb", name)
		}
		out = append(out, found...)
	}
	for i, name := range out {
		abs, err := filepath.Abs(name)
		if err != nil {
			return nil, err
		}
		out[i] = abs
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// globEscape makes a directory's name stand for itself in a pattern.
func globEscape(name string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(name)
}

// maxDeb is more than a package can have, in bytes: the sizes of its two members have ten digits
// (deb(5)).
const maxDeb = 2 * 10_000_000_000

// adopt brings a package into the cache and returns its paragraph of the index.
func adopt(c *cache.Cache, file string) ([]byte, error) {
	in, err := regular.Open(file)
	if err != nil {
		return nil, fault.Wrap(fault.Usage, "give a Debian package", err)
	}
	defer in.Close()
	st, err := in.Stat()
	if err == nil && st.Size() > maxDeb {
		err = fault.New(fault.Usage, "give a Debian package",
			"it has %d bytes, no package can have more than %d", st.Size(), int64(maxDeb))
	}
	if err != nil {
		return nil, err
	}
	part, err := c.Scratch()
	if err != nil {
		return nil, c.OnDisk(err)
	}
	defer part.Close()
	defer func() { _ = os.Remove(part.Name()) }() // fails after it was given its name, as it should
	sum := sha256.New()
	size, err := io.Copy(io.MultiWriter(part, sum), in)
	if err != nil {
		return nil, c.OnDisk(err)
	}
	control, err := controlOf(part.Name())
	if err != nil {
		return nil, err
	}
	digest := fmt.Sprintf("%x", sum.Sum(nil))
	if err := c.Publish(part, c.Place(cache.Debs, digest, ".deb")); err != nil {
		return nil, c.OnDisk(err)
	}
	// The digest in the name makes a changed package another file for apt, too.
	return fmt.Appendf(nil, "%s\nFilename: ./%s/%s\nSize: %d\nSHA256: %s\n", control, digest[:16],
		SafeName(filepath.Base(file)), size, digest), nil
}

// controlOf is a package's control file, as an index may have it.
func controlOf(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return Control(f)
}

// Control is a package's control file, as an index may have it, without a newline at its end.
func Control(f io.Reader) ([]byte, error) {
	r, err := deb.NewReader(f, deb.Limits{})
	if err != nil {
		return nil, fault.Wrap(fault.Usage, "give a Debian package", err)
	}
	defer r.Close()
	control := r.ControlFile("control")
	if control == nil {
		return nil, failure.Syntax("it has no control file")
	}
	return indexable(control.Body)
}

// indexable is a control file without anything that could end its paragraph.
func indexable(control []byte) ([]byte, error) {
	var out []byte
	for line := range bytes.Lines(control) {
		line = bytes.TrimRight(line, " \t\r\n")
		name, _, _ := bytes.Cut(line, []byte(":"))
		switch {
		case len(line) == 0:
			continue
		case line[0] != ' ' && line[0] != '\t' &&
			slices.Contains([]string{"filename", "size", "sha256", "sha512", "sha1", "md5sum"},
				strings.ToLower(string(name))):
			return nil,
				failure.Syntax("its control file has a field %s, which only an index may have",
					name)
		}
		out = append(append(out, line...), '\n')
	}
	return bytes.TrimRight(out, "\n"), nil
}

// SafeName is a file's name as an index may have it: what a package in an archive is never called
// by is replaced.
func SafeName(name string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' ||
			strings.ContainsRune("+-.~_", r) {
			return r
		}
		return '_'
	}, name)
}
