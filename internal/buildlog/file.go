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

// Create opens a new log in dir and points the link to it. Where there is something of its name, a
// log of the same second for instance, it has the name of the next second that is free.
func Create(dir, pkg, version, arch string, start time.Time, opt Options) (*File, error) {
	link := LinkName(pkg, version, arch)
	if strings.ContainsAny(link, "/\x00") {
		return nil, fmt.Errorf("creating the build log: %q is no file name", link)
	}
	out := &File{Link: filepath.Join(dir, link)}
	elsewhere := opt.LinkDir != "" && filepath.Clean(opt.LinkDir) != filepath.Clean(dir)
	if elsewhere {
		out.Link = filepath.Join(opt.LinkDir, link)
	}
	err := fs.ErrExist
	at := out.after(stem(pkg, version, arch), start)
	for i := 0; i < sameSecond && errors.Is(err, fs.ErrExist); i++ {
		out.Path = filepath.Join(dir, FileName(pkg, version, arch, at))
		out.f, err = os.OpenFile(out.Path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		at = at.Add(time.Second)
	}
	if err != nil {
		return nil, fmt.Errorf("creating the build log: %w", err)
	}
	target := filepath.Base(out.Path)
	if elsewhere {
		target = out.Path
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

// sameSecond is how many builds of one thing may begin in one second.
const sameSecond = 100

// after is the time that a log is named after: its beginning, or the second after the newest log's,
// where that is named after a later second than its own. So the names are in the order of the
// builds.
func (f *File) after(stem string, start time.Time) time.Time {
	target, err := os.Readlink(f.Link)
	if err != nil {
		return start
	}
	text, _ := strings.CutPrefix(filepath.Base(target), stem+"-")
	newest, err := time.Parse(timeInFooter+".build", text)
	begun := start.UTC().Truncate(time.Second)
	if err != nil || newest.Before(begun) || newest.Sub(begun) > sameSecond*time.Second {
		return start
	}
	return newest.Add(time.Second)
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
