package deb

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Form says how the members of a recompressed package are packed, by the suffixes of their names:
// "", ".gz" or ".zst".
type Form struct{ Control, Data string }

// Quick reports whether a package is packed already in a way that is unpacked quickly, so that
// nothing is gained by Recompress. It decompresses nothing.
func Quick(r io.Reader) (bool, error) {
	ar, err := newArReader(r)
	if err != nil {
		return false, err
	}
	d := &Reader{ar: ar}
	if err := d.readVersion(); err != nil {
		return false, err
	}
	if _, err := d.nextMember("control.tar"); err != nil {
		return false, err
	}
	m, err := d.nextMember("data.tar")
	return m.Name == "data.tar" || m.Name == "data.tar.zst", err
}

// Recompress copies a package with its members packed in another way; what they hold stays the
// same, byte for byte. Members that dpkg ignores are left out. out must be at its beginning.
func Recompress(out io.WriteSeeker, in io.Reader, form Form, limits Limits) error {
	limits = limits.withDefaults()
	ar, err := newArReader(in)
	if err != nil {
		return err
	}
	d := &Reader{ar: ar, limits: limits}
	if err := d.readVersion(); err != nil {
		return err
	}
	w := &arWriter{w: out}
	if _, err := io.WriteString(out, arMagic); err != nil {
		return err
	}
	if err := w.member("debian-binary", func(w io.Writer) error {
		_, err := io.WriteString(w, "2.0\n")
		return err
	}); err != nil {
		return err
	}
	for _, part := range []struct {
		name, suffix string
		limit        int64
	}{{"control.tar", form.Control, limits.Control}, {"data.tar", form.Data, limits.Data}} {
		m, err := d.nextMember(part.name)
		if err != nil {
			return err
		}
		suffix := strings.TrimPrefix(m.Name, part.name)
		r, err := Decompress(ar, suffix, limits.Dictionary)
		if err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
		err = w.member(part.name+part.suffix, func(w io.Writer) error {
			return repack(w, &boundedReader{r: r, left: part.limit}, part.suffix)
		})
		if err = errors.Join(err, r.Close()); err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
	}
	return nil
}

// repack compresses a member for speed: the copy is read far more often than it is stored.
func repack(w io.Writer, r io.Reader, suffix string) error {
	var z io.WriteCloser
	var err error
	switch suffix {
	case "":
		_, err := io.Copy(w, r)
		return err
	case ".gz":
		z, err = gzip.NewWriterLevel(w, gzip.BestSpeed)
	case ".zst":
		z, err = zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest),
			zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true),
			zstd.WithWindowSize(1<<20))
	default:
		err = fmt.Errorf("compression %q cannot be written", suffix)
	}
	if err != nil {
		return err
	}
	_, err = io.Copy(z, r)
	return errors.Join(err, z.Close())
}

// arWriter writes members whose size is known only when they are written.
type arWriter struct {
	w io.WriteSeeker
}

func (a *arWriter) header(name string, size int64) error {
	_, err := fmt.Fprintf(a.w, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", name, 0, 0, 0, "100644", size)
	return err
}

func (a *arWriter) member(name string, fill func(io.Writer) error) error {
	start, err := a.w.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	if err := a.header(name, 0); err != nil {
		return err
	}
	if err := fill(a.w); err != nil {
		return err
	}
	end, err := a.w.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	size := end - start - arHeaderSize
	if size >= 1e10 { // ten digits are all that the header has
		return fmt.Errorf("%s: %d bytes are more than an ar archive can hold", name, size)
	}
	if _, err := a.w.Seek(start, io.SeekStart); err != nil {
		return err
	}
	if err := a.header(name, size); err != nil {
		return err
	}
	if _, err := a.w.Seek(end, io.SeekStart); err != nil || size%2 == 0 {
		return err
	}
	_, err = io.WriteString(a.w, "\n")
	return err
}
