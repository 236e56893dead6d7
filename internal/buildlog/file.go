package buildlog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"nsbuild/internal/atomicfile"
)

// FileName is the name of a log: PKG_VER_ARCH-TIMESTAMP.build, the time in UTC as
// 2006-01-02T15:04:05Z. version is without its epoch, "" when it is not known.
func FileName(pkg, version, arch string, start time.Time) string {
	return stem(pkg, version, arch) + "-" + start.UTC().Format(timeInFooter) + ".build"
}

// LinkName is the name of the symbolic link that points to the newest log: PKG_VER_ARCH.build.
func LinkName(pkg, version, arch string) string { return stem(pkg, version, arch) + ".build" }

func stem(pkg, version, arch string) string {
	if version != "" {
		pkg += "_" + version
	}
	return pkg + "_" + arch
}

// File is a Log in a directory.
type File struct {
	*Log
	Path string // of the log
	Link string // of the link to it
	f    *os.File
}

// Create opens a new log in dir and points the link to it. A log of the same name (of a build in
// the same second) is replaced; a symbolic link in its place is not followed.
func Create(dir, pkg, version, arch string, start time.Time, opt Options) (*File, error) {
	name := FileName(pkg, version, arch, start)
	if strings.ContainsAny(name, "/\x00") {
		return nil, fmt.Errorf("creating the build log: %q is no file name", name)
	}
	out := &File{Path: filepath.Join(dir, name),
		Link: filepath.Join(dir, LinkName(pkg, version, arch))}
	target := name
	if opt.LinkDir != "" && filepath.Clean(opt.LinkDir) != filepath.Clean(dir) {
		out.Link, target = filepath.Join(opt.LinkDir, LinkName(pkg, version, arch)), out.Path
	}
	var err error
	for range 2 {
		if out.f, err = os.OpenFile(out.Path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644); !errors.Is(
			err, fs.ErrExist) {
			break
		}
		if err := os.Remove(out.Path); err != nil {
			return nil, fmt.Errorf("replacing the build log: %w", err)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("creating the build log: %w", err)
	}
	temp := filepath.Join(filepath.Dir(out.Link),
		fmt.Sprintf(".%s.%d", filepath.Base(out.Link), os.Getpid()))
	if err := atomicfile.Symlink(target, out.Link, temp); err != nil {
		return nil,
			fmt.Errorf("linking the build log: %w",
				errors.Join(err, out.f.Close(), os.Remove(out.Path)))
	}
	out.Log = New(out.f, opt)
	return out, nil
}

// Close ends an unfinished line and closes the file. It returns the first error that any writing
// met.
func (f *File) Close() error {
	f.Flush()
	err := f.Err()
	if cerr := f.f.Close(); err == nil && cerr != nil {
		err = fmt.Errorf("closing the build log: %w", cerr)
	}
	return err
}
