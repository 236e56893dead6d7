package unpack

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"nsbuild/internal/rawjson"
	"nsbuild/internal/regular"
	trees "nsbuild/internal/tree"
)

func runFinish(in io.Reader) error {
	var spec Finish
	if err := rawjson.NewDecoder(in).Decode(&spec); err != nil {
		return fmt.Errorf("reading what to finish: %w", err)
	}
	if err := enter(spec.Tree); err != nil {
		return err
	}
	if err := removeAll(spec.Remove); err != nil {
		return err
	}
	for _, pattern := range spec.Truncate {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			return fmt.Errorf("%q: %w", pattern, err)
		}
		for _, p := range paths {
			if err := os.Truncate(p, 0); err != nil {
				return err
			}
		}
	}
	for _, f := range spec.Files {
		if err := f.write(); err != nil {
			return err
		}
	}
	for _, l := range spec.Lines {
		if err := l.add(); err != nil {
			return err
		}
	}
	if spec.Epoch.IsZero() {
		return nil
	}
	return clampTimes("/", spec.Epoch.Unix())
}

func removeAll(patterns []string) error {
	for _, pattern := range patterns {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			return fmt.Errorf("%q: %w", pattern, err)
		}
		for _, p := range paths {
			if err := trees.Remove(context.Background(), p); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f File) write() error {
	if f.Keep {
		if _, err := os.Lstat(f.Path); err == nil {
			return nil
		}
	}
	if err := ensureParent(f.Path); err != nil {
		return err
	}
	// A link that a package or the host's habits left here must not decide where our file goes.
	if err := os.Remove(f.Path); err != nil && !os.IsNotExist(err) {
		return err
	}
	if f.Target != "" {
		return os.Symlink(f.Target, f.Path)
	}
	mode := f.Mode
	if mode == 0 {
		mode = 0o644
	}
	return writeFile(f.Path, []byte(f.Body), mode, 0)
}

// maxText bounds what is read of a tree that others may have made.
const maxText = 64 << 20

// add appends the line unless one with the same key is there.
func (l Line) add() error {
	body, err := regular.ReadFile(l.Path, maxText)
	if os.IsNotExist(err) && l.Optional {
		return nil
	}
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	key, _, _ := strings.Cut(l.Text, ":")
	for line := range strings.Lines(string(body)) {
		if k, _, _ := strings.Cut(strings.TrimRight(line, "\n"), ":"); k == key {
			return nil
		}
	}
	text := string(body)
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	mode := uint32(0o644)
	if st, err := os.Stat(l.Path); err == nil {
		mode = uint32(st.Mode().Perm())
	}
	return writeFile(l.Path, []byte(text+l.Text+"\n"), mode, 0)
}

// clampTimes makes no file of the tree younger than epoch (seconds), so that two trees made from
// the same input are alike.
func clampTimes(root string, epoch int64) error {
	return filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); err != nil {
			return &os.PathError{Op: "lstat", Path: p, Err: err}
		}
		if sec, nsec := st.Mtim.Unix(); sec < epoch || sec == epoch && nsec == 0 {
			return nil
		}
		return setTime(p, epoch)
	})
}
