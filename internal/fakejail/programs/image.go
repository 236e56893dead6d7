package programs

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"nsbuild/internal/rawjson"
)

// image is the applet that makes tar archives of trees, and trees of such archives. It knows
// neither compressed archives nor images of containers.
func image(_ context.Context, args []string, files []*os.File) error {
	if len(args) < 2 || len(files) != 2 {
		return fmt.Errorf("it does not know %q", args)
	}
	archive, results, tree := files[0], files[1], args[1]
	switch {
	case args[0] == "pack":
		w := tar.NewWriter(archive)
		if err := errors.Join(w.AddFS(os.DirFS(tree)), w.Close()); err != nil {
			return err
		}
		return rawjson.NewEncoder(results).Encode(struct{}{})
	case args[0] == "unpack":
		return unpackTar(archive, results, tree)
	case args[0] == "lift" && len(args) == 3:
		lifted := filepath.Join(filepath.Dir(tree), "lifted")
		return errors.Join(os.Rename(filepath.Join(tree, args[2]), lifted), os.Remove(tree),
			os.Rename(lifted, tree))
	}
	return fmt.Errorf("it does not know %q", args)
}

// unpackTar fills a directory, and tells what stands at its top.
func unpackTar(archive io.Reader, results io.Writer, tree string) error {
	root, err := os.OpenRoot(tree)
	if err != nil {
		return err
	}
	defer root.Close()
	r := tar.NewReader(archive)
	var all []*tar.Header
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		name := filepath.Clean(h.Name)
		if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		switch h.Typeflag {
		case tar.TypeDir:
			err = root.MkdirAll(name, 0o755)
		case tar.TypeSymlink:
			err = root.Symlink(h.Linkname, name)
		default:
			var text []byte
			if text, err = io.ReadAll(r); err == nil {
				err = root.WriteFile(name, text, fs.FileMode(h.Mode).Perm())
			}
		}
		if err != nil {
			return err
		}
		all = append(all, h)
	}
	for _, h := range slices.Backward(all) { // a directory after what was made in it
		when := []unix.Timespec{unix.NsecToTimespec(h.ModTime.UnixNano())}
		if err := unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(tree, h.Name),
			append(when, when...), unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
	}
	if _, err := io.Copy(io.Discard, archive); err != nil {
		return err
	}
	type entry struct {
		Name string
		Dir  bool
	}
	var found struct {
		Top []entry
	}
	entries, err := os.ReadDir(tree)
	if err != nil {
		return err
	}
	for _, e := range entries {
		found.Top = append(found.Top, entry{e.Name(), e.IsDir()})
	}
	return rawjson.NewEncoder(results).Encode(found)
}
