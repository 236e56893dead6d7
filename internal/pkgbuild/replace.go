package pkgbuild

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"nsbuild/internal/deb"
	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
	"nsbuild/internal/regular"
)

// packageFile are the names of files that belong to a package: NAME_VERSION_ARCH.TYPE, as
// dpkg-genchanges tells them from others (deb-src-files(5)).
var packageFile = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[a-z0-9][-+:.0-9a-z]*_[^_]+_[-_a-zA-Z0-9]+\.[a-z0-9.]+$`)
})

// isPackage tells whether a file is a binary package, by its name.
func isPackage(name string) bool {
	return slices.Contains([]string{".deb", ".udeb", ".ddeb"}, filepath.Ext(name))
}

// checkNames refuses results whose names say nothing about where they come from, such as Makefile:
// the output directory is often a source directory's parent, or where the caller works. A directory
// that was named for the results takes them.
func (b *builder) checkNames(changes *dsc.Changes) error {
	if b.o.Output != "" {
		return nil
	}
	for _, f := range changes.Files {
		if strings.HasPrefix(f.Name, changes.Source+"_") || packageFile().MatchString(f.Name) {
			continue
		}
		return fault.New(fault.Attempted, "name a directory for the results with --output",
			"%s lists %s, a name that says nothing of %s", changes.Path, f.Name, changes.Source)
	}
	return nil
}

// checkReplaced refuses to replace what does not come from the same source: a .changes may list any
// name. Nothing has got its name yet.
func (b *builder) checkReplaced(files *aside, changes *dsc.Changes) error {
	for _, name := range files.names {
		own, err := isOwn(files.dir, name, changes.Source)
		if err == nil && !own {
			own, err = same(filepath.Join(files.dir, name), files.path(name))
		}
		if err != nil {
			return fmt.Errorf("looking at the %s that the results would replace: %w", name, err)
		}
		if !own {
			return fault.New(fault.Internal,
				"move it away, or choose another directory with --output",
				"%s is there already, and does not come from the source %s: it is not replaced",
				filepath.Join(files.dir, name), changes.Source)
		}
	}
	return nil
}

// isOwn tells whether a file may be replaced by one of a source: it is not there, or comes from the
// same source. A package says so itself; of other files their name tells, or a .changes of the
// source that lists them as they are.
func isOwn(dir, name, source string) (bool, error) {
	file := filepath.Join(dir, name)
	st, err := os.Lstat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return true, nil
	case err != nil:
		return false, err
	case st.IsDir():
		return false, nil
	case isPackage(name):
		if sourceOfPackage(file) == source {
			return true, nil
		}
	case strings.HasPrefix(name, source+"_"):
		return true, nil
	}
	return listedBefore(dir, name, source)
}

// sourceOfPackage is the source that a package says it was built from (deb-control(5)); "" when it
// is no package.
func sourceOfPackage(file string) string {
	f, err := regular.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	r, err := deb.NewReader(f, deb.Limits{Control: maxChanges})
	if err != nil {
		return ""
	}
	defer r.Close()
	paras, err := dsc.ParseControl(file, strings.NewReader(string(r.ControlFile("control").Body)))
	if err != nil || len(paras) == 0 {
		return ""
	}
	if source, _, _ := strings.Cut(paras[0].Get("Source"), " "); source != "" {
		return source
	}
	return paras[0].Get("Package")
}

// listedBefore tells whether a .changes of the source, left by an earlier build, lists a file with
// the content that it has.
func listedBefore(dir, name, source string) (bool, error) {
	found, err := filepath.Glob(filepath.Join(globText(dir), globText(source)+"_*.changes"))
	if err != nil {
		return false, err
	}
	for _, file := range found {
		if f, ok := listedIn(file, name, source); ok {
			r, err := regular.Open(filepath.Join(dir, name))
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, regular.ErrNotRegular) {
				return false, nil // a link that leads to nothing, or to no file
			}
			if err != nil {
				return false, err
			}
			if err = errors.Join(f.Check(r), r.Close()); err == nil {
				return true, nil
			}
		}
	}
	return false, nil
}

// listedIn looks for a file in a .changes of a source. One that cannot be read lists nothing.
func listedIn(file, name, source string) (dsc.File, bool) {
	r, err := regular.Open(file)
	if err != nil {
		return dsc.File{}, false
	}
	defer r.Close()
	changes, err := dsc.ParseChanges(file, io.LimitReader(r, maxChanges), nil)
	if err != nil || changes.Source != source {
		return dsc.File{}, false
	}
	f, ok := changes.Listed(name)
	return f, ok && f.SHA256 != ""
}

// globText makes a text stand for itself in a pattern of filepath.Glob.
func globText(text string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(text)
}

// same tells whether two files have the same content.
func same(one, other string) (bool, error) {
	var sums [2]string
	for i, name := range []string{one, other} {
		f, err := regular.Open(name)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, regular.ErrNotRegular) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		sum := sha256.New()
		_, err = io.Copy(sum, f)
		if err = errors.Join(err, f.Close()); err != nil {
			return false, err
		}
		sums[i] = hex.EncodeToString(sum.Sum(nil))
	}
	return sums[0] == sums[1], nil
}
