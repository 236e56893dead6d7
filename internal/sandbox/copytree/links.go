package copytree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"nsbuild/internal/sandbox/syserr"
	"nsbuild/internal/tree"
)

// linkTable has the copies of files that have several names, by what the original is: a directory
// beside the copied tree, so that neither memory nor paths grow with their number.
type linkTable struct {
	dir string
	fd  int
}

func newLinkTable(parent string) (*linkTable, error) {
	dir, err := os.MkdirTemp(parent, "links-")
	if err != nil {
		return nil, err
	}
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, errors.Join(syserr.Wrap("open", dir, err), os.Remove(dir))
	}
	return &linkTable{dir, fd}, nil
}

func (l *linkTable) name(st *unix.Stat_t) string { return fmt.Sprintf("%x-%x", st.Dev, st.Ino) }

// link gives a copy one more name; ENOENT when there is no copy yet. A file that can have no more
// names here, on a file system with another limit, is copied anew for the names that follow.
func (l *linkTable) link(st *unix.Stat_t, dir int, name string) error {
	err := unix.Linkat(l.fd, l.name(st), dir, name, 0)
	if errors.Is(err, unix.EMLINK) {
		if err := unix.Unlinkat(l.fd, l.name(st), 0); err != nil {
			return err
		}
		return unix.ENOENT
	}
	return err
}

// remove deletes the table. What was copied has its names elsewhere.
func (l *linkTable) remove() error {
	return errors.Join(unix.Close(l.fd), tree.Remove(context.Background(), l.dir))
}

// copyContent copies a file's data, and leaves its holes out.
func copyContent(in, out *os.File, st *unix.Stat_t) error {
	if st.Blocks*512 >= st.Size {
		_, err := io.Copy(out, in) // copy_file_range(2), where the file systems can
		return err
	}
	for at := int64(0); at < st.Size; {
		begin, err := unix.Seek(int(in.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) { // nothing but a hole follows
			break
		}
		if err != nil {
			return syserr.Wrap("seek", in.Name(), err)
		}
		end, err := unix.Seek(int(in.Fd()), begin, unix.SEEK_HOLE)
		if err != nil {
			return syserr.Wrap("seek", in.Name(), err)
		}
		if _, err := in.Seek(begin, io.SeekStart); err != nil {
			return err
		}
		if _, err := out.Seek(begin, io.SeekStart); err != nil {
			return err
		}
		if _, err := io.CopyN(out, in, end-begin); err != nil {
			return err
		}
		at = end
	}
	return out.Truncate(st.Size)
}
