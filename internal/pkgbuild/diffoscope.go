package pkgbuild

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"nsbuild/internal/checks"
	"nsbuild/internal/fault"
)

// Diffoscope says what diffoscope is to compare.
type Diffoscope struct {
	Tool
	Pairs []checks.FilePair
	Dir   string // where its texts and pages go
}

// Diffoscope has diffoscope compare packages, in a jail: they are what others have made. It returns
// the files that it has written.
func (e *Env) Diffoscope(ctx context.Context, d Diffoscope) (written []string, err error) {
	if len(d.Pairs) == 0 {
		return nil, nil
	}
	if err := os.Mkdir(d.Dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fault.Wrap(fault.Usage, "choose another directory", err)
	}
	if err := CheckWritable(d.Dir); err != nil {
		return nil, fault.Wrap(fault.Usage, "choose another directory", err)
	}
	err = e.withTool(ctx, d.Tool, "diffoscope", func(b *checks.Bench) error {
		return b.Diffoscope(ctx, d.Pairs, func(name string, in io.Reader) error {
			path := filepath.Join(d.Dir, fileName(name))
			if err := keepText(path, in); err != nil {
				return err
			}
			written = append(written, path)
			return nil
		})
	})
	return written, err
}

// fileName is a name that a package has chosen, as that of a file in a directory.
func fileName(name string) string {
	return strings.TrimLeft(strings.Map(func(r rune) rune {
		if strings.ContainsRune("+.~_-", r) || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' ||
			r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, name), ".")
}

// keepText writes a file in one step.
func keepText(path string, in io.Reader) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".nsbuild-*")
	if err != nil {
		return err
	}
	_, err = io.Copy(f, in)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
