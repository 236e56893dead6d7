// Package deb reads and writes Debian binary packages (deb(5), format 2.0).
//
// Reading is a stream from front to back: the control member first, whole and bounded, then the
// data member as a tar stream. Nothing is written to disk here; what is done with the files is left
// to the caller, and so is the verification of the package's hash.
package deb

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"
)

// Limits bound what a package may expand to. Zero fields take the defaults.
type Limits struct {
	// Control is the size of the uncompressed control member, in bytes; default 64 MiB.
	Control int64
	// Data is the size of the uncompressed data member, in bytes; default 64 GiB.
	Data int64
	// Dictionary is the largest window a decompressor may ask for, in bytes; default 128 MiB (xz -9
	// takes 64 MiB).
	Dictionary int64
	// Stopped, when set, is asked while the data member is read; its error is the end of that.
	Stopped func() error
}

func (l Limits) withDefaults() Limits {
	if l.Control == 0 {
		l.Control = 64 << 20
	}
	if l.Data == 0 {
		l.Data = 64 << 30
	}
	if l.Dictionary == 0 {
		l.Dictionary = 128 << 20
	}
	return l
}

// ErrTooLarge is returned when a member expands to more than its limit.
var ErrTooLarge = errors.New("it expands to more than is allowed")

// ControlFile is one file of the control member.
type ControlFile struct {
	Name    string // without directory: "control", "preinst", "md5sums", …
	Mode    fs.FileMode
	ModTime time.Time
	Body    []byte
}

// Reader reads one package.
type Reader struct {
	ar          *arReader
	limits      Limits
	control     []ControlFile
	controlSize int64
	members     []string
	data        io.ReadCloser
}

// NewReader reads the format version and the control member; the data member follows with Data.
func NewReader(r io.Reader, limits Limits) (*Reader, error) {
	ar, err := newArReader(r)
	if err != nil {
		return nil, err
	}
	d := &Reader{ar: ar, limits: limits.withDefaults()}
	if err := d.readVersion(); err != nil {
		return nil, err
	}
	if err := d.readControl(); err != nil {
		return nil, err
	}
	return d, nil
}

func (d *Reader) readVersion() error {
	m, err := d.ar.Next()
	if err != nil {
		return fmt.Errorf("looking for debian-binary: %w", noEOF(err))
	}
	if m.Name != "debian-binary" {
		return fmt.Errorf("not a Debian package: its first member is %q, not \"debian-binary\"",
			m.Name)
	}
	version := make([]byte, min(m.Size, 64))
	if _, err := io.ReadFull(d.ar, version); err != nil {
		return fmt.Errorf("reading debian-binary: %w", noEOF(err))
	}
	line, _, _ := strings.Cut(string(version), "\n")
	if major, _, ok := strings.Cut(line, "."); !ok || major != "2" {
		return fmt.Errorf("package format %q is not supported, only 2.x is", line)
	}
	return nil
}

// nextMember finds the next member that deb(5) does not allow to be ignored.
func (d *Reader) nextMember(prefix string) (member, error) {
	for {
		m, err := d.ar.Next()
		if err != nil {
			return m, fmt.Errorf("looking for %s: %w", prefix, noEOF(err))
		}
		if strings.HasPrefix(m.Name, "_") {
			continue
		}
		if m.Name != prefix && !strings.HasPrefix(m.Name, prefix+".") {
			return m, fmt.Errorf("found member %q where %s was expected", m.Name, prefix)
		}
		return m, nil
	}
}

func (d *Reader) readControl() error {
	const name = "control.tar"
	m, err := d.nextMember(name)
	if err != nil {
		return err
	}
	d.controlSize, d.members = m.Size, append(d.members, m.Name)
	r, err := Decompress(d.ar, strings.TrimPrefix(m.Name, name), d.limits.Dictionary)
	if err != nil {
		return fmt.Errorf("%s: %w", m.Name, err)
	}
	defer r.Close()
	tr := tar.NewReader(&boundedReader{r: r, left: d.limits.Control})
	for {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
		clean := path.Clean("/" + h.Name)
		switch h.Typeflag {
		case tar.TypeDir:
			if clean == "/" {
				continue
			}
		case tar.TypeReg:
			if path.Dir(clean) == "/" && clean != "/" {
				body, err := io.ReadAll(tr)
				if err != nil {
					return fmt.Errorf("%s: %s: %w", m.Name, h.Name, err)
				}
				d.control = append(d.control,
					ControlFile{Name: clean[1:], Mode: h.FileInfo().Mode().Perm(),
						ModTime: h.ModTime, Body: body})
				continue
			}
		}
		return fmt.Errorf("%s: %q is not a plain file at the top", m.Name, h.Name)
	}
	if d.ControlFile("control") == nil {
		return fmt.Errorf("%s has no file named control", m.Name)
	}
	return nil
}

// ControlSize is the size of the control member as it lies there, in bytes.
func (d *Reader) ControlSize() int64 { return d.controlSize }

// Members are the names of the members that were read so far: "control.tar.xz", "data.tar.zst".
func (d *Reader) Members() []string { return d.members }

// Control lists the files of the control member in the order in which they stand there.
func (d *Reader) Control() []ControlFile { return d.control }

// ControlFile is the control member's file of that name, or nil.
func (d *Reader) ControlFile(name string) *ControlFile {
	for i := range d.control {
		if d.control[i].Name == name {
			return &d.control[i]
		}
	}
	return nil
}

// Data is the data member's tar stream. It can be taken once.
func (d *Reader) Data() (*tar.Reader, error) {
	if d.data != nil {
		return nil, errors.New("the data member was already read")
	}
	const name = "data.tar"
	m, err := d.nextMember(name)
	if err != nil {
		return nil, err
	}
	d.members = append(d.members, m.Name)
	r, err := Decompress(d.ar, strings.TrimPrefix(m.Name, name), d.limits.Dictionary)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.Name, err)
	}
	d.data = r
	return tar.NewReader(&boundedReader{r: r, left: d.limits.Data, stopped: d.limits.Stopped}), nil
}

// Close frees the decompressor. It does not close the underlying reader.
func (d *Reader) Close() error {
	if d.data == nil {
		return nil
	}
	return d.data.Close()
}

// boundedReader fails, instead of ending quietly as io.LimitReader does, when the limit is passed.
type boundedReader struct {
	r       io.Reader
	left    int64
	stopped func() error // nil: never
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if b.stopped != nil {
		if err := b.stopped(); err != nil {
			return 0, err
		}
	}
	if b.left <= 0 {
		var one [1]byte
		n, err := b.r.Read(one[:])
		if n > 0 {
			return 0, ErrTooLarge
		}
		return 0, err
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	return n, err
}
