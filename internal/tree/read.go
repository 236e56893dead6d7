package tree

import (
	"bytes"
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
)

// batch is how many bytes of a directory are read at once: some hundred names.
const batch = 16 << 10

// reader reads the names of a directory, a batch at a time: it may have millions.
type reader struct {
	buf       []byte // nil: nothing is read yet, or it was let go
	pos, have int
	off       int64 // where the directory goes on behind the last name (d_off in getdents(2))
}

// next is the next name and its type (DT_DIR and the like); none at the end.
func (r *reader) next(fd int) (name string, kind byte, err error) {
	for {
		if r.pos >= r.have {
			if err := r.fill(fd); err != nil || r.have == 0 {
				return "", 0, err
			}
		}
		// struct linux_dirent64: d_ino, d_off, d_reclen, d_type, d_name
		entry := r.buf[r.pos:r.have]
		size := int(binary.NativeEndian.Uint16(entry[16:]))
		entry = entry[:size]
		r.pos += size
		r.off = int64(binary.NativeEndian.Uint64(entry[8:]))
		text := entry[19:]
		text = text[:bytes.IndexByte(text, 0)]
		if s := string(text); s != "." && s != ".." {
			return s, entry[18], nil
		}
	}
}

func (r *reader) fill(fd int) error {
	if r.buf == nil {
		r.buf = make([]byte, batch)
		if _, err := unix.Seek(fd, r.off, unix.SEEK_SET); err != nil {
			return err
		}
	}
	for {
		n, err := unix.Getdents(fd, r.buf)
		switch {
		case err == nil:
			r.pos, r.have = 0, n
			return nil
		case errors.Is(err, unix.ENOENT): // it was deleted
			r.pos, r.have = 0, 0
			return nil
		case !errors.Is(err, unix.EINTR):
			return err
		}
	}
}

// letGo frees the buffer. What of it was not asked for is read again.
func (r *reader) letGo() { r.buf, r.pos, r.have = nil, 0, 0 }

// rewind begins again.
func (r *reader) rewind(fd int) error {
	r.pos, r.have, r.off = 0, 0, 0
	_, err := unix.Seek(fd, 0, unix.SEEK_SET)
	return err
}
