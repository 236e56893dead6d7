package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sync/errgroup"

	"nsbuild/internal/fault"
	"nsbuild/internal/jails"
	"nsbuild/internal/rawjson"
	"nsbuild/internal/sandbox"
)

// Export writes a tree of the holder's ids as an archive.
func Export(ctx context.Context, h jails.Holder, tree string, w io.Writer, format Format) (
	Notes, error) {
	z, err := compressor(ctx, w, format)
	if err != nil {
		return Notes{}, err
	}
	var notes Notes
	r, err := stream(func(archive *os.File) error {
		return applet(ctx, h, &notes, archive, modePack, tree)
	})
	if err != nil {
		return notes, err
	}
	_, err = io.Copy(z, r)
	return notes, errors.Join(r.end(err), z.Close())
}

// Imported is what Import has found.
type Imported struct {
	Kind  string // "tar archive", "directory" or "container image"
	Notes Notes
}

// Import fills tree, an empty directory made by Holder.MakeRoot, from an archive, a directory, or a
// container image in either. The directory above tree is the caller's, for what is needed
// meanwhile.
func Import(ctx context.Context, h jails.Holder, from *os.File, tree string) (Imported, error) {
	info, err := from.Stat()
	if err != nil {
		return Imported{}, err
	}
	got := Imported{Kind: "tar archive"}
	var found unpacked
	if info.IsDir() {
		got.Kind = "directory"
		got.Notes, found, err = importDir(ctx, h, from, tree)
	} else {
		err = applet(ctx, h, &found, from, modeUnpack, tree)
	}
	if err != nil {
		return got, err
	}
	got.Notes.add(found.Notes)
	names := map[string]bool{}
	for _, e := range found.Top {
		names[e.Name] = true
	}
	switch {
	case names[ociLayout] && names[ociIndex] || names[dockerManifest] && !names["var"]:
		got.Kind = "container image"
		return got, got.fromImage(ctx, h, tree)
	case len(found.Top) == 0:
		return got, errors.New("there are no files in it")
	case len(found.Top) == 1 && found.Top[0].Dir && found.Top[0].Name != "var":
		return got, applet(ctx, h, nil, nil, modeLift, tree, found.Top[0].Name)
	}
	return got, nil
}

// fromImage puts the image's root file system in the place of the image.
func (got *Imported) fromImage(ctx context.Context, h jails.Holder, tree string) error {
	outer := filepath.Join(filepath.Dir(tree), "image")
	if err := os.Rename(tree, outer); err != nil {
		return err
	}
	if err := h.MakeRoot(ctx, tree); err != nil {
		return err
	}
	var found unpacked
	if err := applet(ctx, h, &found, nil, modeLayers, outer, tree); err != nil {
		return err
	}
	got.Notes.add(found.Notes)
	return h.RemoveTree(ctx, outer)
}

func (n *Notes) add(more Notes) {
	n.Devices += more.Devices
	n.Sockets += more.Sockets
	n.Mounts = append(n.Mounts, more.Mounts...)
	for name, count := range more.Xattrs {
		n.xattr(name)
		n.Xattrs[name] += count - 1
	}
}

// Lines tells what was left out.
func (n *Notes) Lines() []string {
	var out []string
	if n.Devices > 0 {
		out = append(out, fault.Count(n.Devices, "device node is", "device nodes are")+
			" left out: a jail has its own")
	}
	if n.Sockets > 0 {
		out = append(out, fault.Count(n.Sockets, "socket is", "sockets are")+
			" left out: a tar archive cannot hold them")
	}
	if len(n.Mounts) > 0 {
		out = append(out, "what is mounted there is left out: "+strings.Join(n.Mounts, ", "))
	}
	for name, count := range n.Xattrs {
		out = append(out, fmt.Sprintf("the attribute %s of %s is left out: it is the host's", name,
			fault.Count(count, "file", "files")))
	}
	return out
}

// importDir copies a directory of the host. Trees of the holder's ids are read in the holder,
// others by this process, as which the caller can read them.
func importDir(ctx context.Context, h jails.Holder, from *os.File, tree string) (notes Notes,
	found unpacked, err error) {
	dir, err := filepath.EvalSymlinks(from.Name())
	if err == nil {
		dir, err = filepath.Abs(dir)
	}
	if err != nil {
		return notes, found, err
	}
	own, err := ownedBy(from, h.IDs())
	if err != nil {
		return notes, found, err
	}
	r, err := stream(func(archive *os.File) error {
		if own {
			return applet(ctx, h, &notes, archive, modePack, dir)
		}
		var err error
		notes, err = pack(ctx, archive, from, hostOwner)
		return err
	})
	if err != nil {
		return notes, found, err
	}
	err = r.end(applet(ctx, h, &found, r.File, modeUnpack, tree))
	return notes, found, err
}

// ownedBy tells whether a directory is to be read in the holder: because its ids are the holder's,
// or because it is the caller's own.
func ownedBy(dir *os.File, ids sandbox.IDMap) (bool, error) {
	info, err := dir.Stat()
	if err != nil {
		return false, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return false, fmt.Errorf("%s: its owner is not known", dir.Name())
	case st.Uid >= ids.UIDBase && st.Uid-ids.UIDBase < ids.Count:
		return true, nil
	case os.Geteuid() == 0:
		return false, nil
	case int(st.Uid) == os.Geteuid():
		return true, nil
	}
	return false, fault.New(fault.Usage, "run nsbuild as root, or make a tar archive of it as root",
		"%s belongs to uid %d, whose files you cannot read as they are", dir.Name(), st.Uid)
}

// hostOwner takes the host's ids for the jail's.
func hostOwner(name string, uid, gid uint32) (int, int, error) {
	if uid >= idCount || gid >= idCount {
		return 0, 0, fmt.Errorf("%s belongs to %d:%d; a jail has ids below %d", name, uid, gid,
			idCount)
	}
	return int(uid), int(gid), nil
}

// reader is the reading end of what work writes.
type reader struct {
	*os.File
	group *errgroup.Group
}

func stream(work func(*os.File) error) (*reader, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	g := new(errgroup.Group)
	g.Go(func() error { return errors.Join(work(w), w.Close()) })
	return &reader{r, g}, nil
}

// end waits for the work's end, and tells which of the two errors was the cause: a reader that
// gives up breaks the pipe, a writer that does cuts it short.
func (r *reader) end(read error) error {
	err := r.File.Close()
	wrote := r.group.Wait()
	if wrote != nil && (read == nil || !strings.Contains(wrote.Error(), syscall.EPIPE.Error())) {
		return wrote
	}
	return errors.Join(read, err)
}

// applet runs the applet and reads its results.
func applet(ctx context.Context, h jails.Holder, results any, archive *os.File,
	args ...string) error {
	for i := 1; i < len(args); i++ {
		if !filepath.IsAbs(args[i]) {
			continue
		}
		// as the holder sees the host's tree, absolute links lead astray
		resolved, err := filepath.EvalSymlinks(filepath.Dir(args[i]))
		if err != nil {
			return err
		}
		args[i] = filepath.Join(resolved, filepath.Base(args[i]))
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	if archive == nil {
		archive = r // a descriptor that is not used
	}
	said := make(chan error, 1)
	go func() {
		if results == nil {
			said <- nil
			return
		}
		said <- rawjson.NewDecoder(r).Decode(results)
	}()
	err = h.Applet(ctx, Name, args, archive, w)
	err = errors.Join(err, w.Close())
	if read := <-said; err == nil {
		err = read
	}
	return err
}
