package fakejail

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// whiteout begins the name of a file that stands for the absence of another in a layer.
const whiteout = ".wh."

// copyTree copies what a directory has into another: files, directories and links.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		return copyOne(name, filepath.Join(to, rel))
	})
}

// copyOne copies a file, in the place of what is there.
func copyOne(from, to string) error {
	st, err := os.Lstat(from)
	if err != nil {
		return err
	}
	old, err := os.Lstat(to)
	if err == nil && !(st.IsDir() && old.IsDir()) {
		err = os.RemoveAll(to)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	switch {
	case st.IsDir():
		if err := os.Mkdir(to, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		return os.Chmod(to, st.Mode().Perm()|0o700)
	case st.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	case !st.Mode().IsRegular():
		return fmt.Errorf("%s: a made-up jail has files, directories and links only", from)
	}
	text, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, text, 0o600)
	}
	if err == nil {
		err = os.Chmod(to, st.Mode().Perm())
	}
	if err != nil {
		return err
	}
	return os.Chtimes(to, st.ModTime(), st.ModTime())
}

// overlay puts a layer over what a directory has.
func overlay(layer, to string) error {
	if err := copyTree(layer, to); err != nil {
		return err
	}
	var gone []string
	err := filepath.WalkDir(to, func(name string, d fs.DirEntry, err error) error {
		if strings.HasPrefix(d.Name(), whiteout) {
			gone = append(gone, name)
		}
		return err
	})
	for _, name := range gone {
		dir, base := filepath.Split(name)
		err = errors.Join(err, os.Remove(name),
			os.RemoveAll(filepath.Join(dir, strings.TrimPrefix(base, whiteout))))
	}
	return err
}

// snapshot is what each file of a tree was, by its name in it.
func snapshot(dir string) (map[string]string, error) {
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == dir {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		is := st.Mode().String()
		switch {
		case st.Mode().IsRegular():
			text, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			is = fmt.Sprintf("%s %x", is, sha256.Sum256(text))
		case st.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(name)
			if err != nil {
				return err
			}
			is += " " + target
		}
		rel, err := filepath.Rel(dir, name)
		files[rel] = is
		return err
	})
	return files, err
}

// difference makes a layer of what a tree has otherwise than before.
func difference(tree string, before map[string]string, to string) error {
	now, err := snapshot(tree)
	if err != nil {
		return err
	}
	parents := func(name string) error {
		return os.MkdirAll(filepath.Join(to, filepath.Dir(name)), 0o755)
	}
	if err := os.Mkdir(to, 0o755); err != nil {
		return err
	}
	for name, is := range now {
		if before[name] == is {
			continue
		}
		err := parents(name)
		if err == nil {
			err = copyOne(filepath.Join(tree, name), filepath.Join(to, name))
		}
		if err != nil {
			return err
		}
	}
	for name := range before {
		if _, ok := now[name]; ok {
			continue
		}
		if dir := filepath.Dir(name); dir != "." && !strings.HasPrefix(now[dir], "d") {
			continue // the directory is gone with all that it had
		}
		err := parents(name)
		if err == nil {
			err = os.WriteFile(filepath.Join(to, filepath.Dir(name),
				whiteout+filepath.Base(name)), nil, 0o600)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// sizeOf is what the files of a tree have, in bytes.
func sizeOf(dir string) (size int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		st, err := d.Info()
		if err == nil {
			size += st.Size()
		}
		return err
	})
	return size, err
}
