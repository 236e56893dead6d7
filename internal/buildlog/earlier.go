package buildlog

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Earlier are the logs beside this one of earlier builds of the same version for the same
// architecture and distribution, the newest first. A link is none of them, and of a log that does
// not say what it is of nothing is known.
func (f *File) Earlier(distribution string) ([]string, error) {
	dir, name := filepath.Split(f.Path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	stem := name[:len(name)-len("-"+timeInFooter+".build")]
	var all []string
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), stem+"-")
		at, isLog := strings.CutSuffix(rest, ".build")
		if !ok || !isLog || e.Name() >= name || !e.Type().IsRegular() {
			continue
		}
		if _, err := time.Parse(timeInFooter, at); err != nil {
			continue
		}
		file := filepath.Join(dir, e.Name())
		of, err := distributionOf(file)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			continue // gone, or not the caller's
		}
		if err != nil {
			return nil, err
		}
		if of == distribution {
			all = append(all, file)
		}
	}
	slices.Reverse(all)
	return all, nil
}

// distributionOf is the suite that a log's header names, "" where it has none.
func distributionOf(file string) (string, error) {
	in, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer in.Close()
	const header = 8 << 10 // in bytes: what a package prints comes far behind it
	lines := bufio.NewScanner(io.LimitReader(in, header))
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), "Distribution: "); ok {
			return strings.TrimSpace(value), nil
		}
	}
	if err := lines.Err(); err != nil && !errors.Is(err, bufio.ErrTooLong) {
		return "", err
	}
	return "", nil
}
