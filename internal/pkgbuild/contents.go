package pkgbuild

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"nsbuild/internal/buildlog"
	"nsbuild/internal/deb"
)

// listing is what the lists of a build's packages may still take, in bytes.
type listing struct {
	text int64 // that is written
	data int64 // that is unpacked for it
}

// errListing ends a list.
var errListing = errors.New("the list is longer than the log takes")

// take counts a line.
func (l *listing) take(line string) error {
	if l.text -= int64(len(line)) + 1; l.text < 0 {
		return errListing
	}
	return nil
}

// describeDeb lists a package as `dpkg-deb -I` and `dpkg-deb -c` do, character by character: there
// are programs that read it.
func (b *builder) describeDeb(ctx context.Context, file string, size int64, left *listing) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := deb.NewReader(f, deb.Limits{Data: max(left.data, 1), Stopped: ctx.Err})
	if err != nil {
		return err
	}
	defer r.Close()
	b.log.Printf(" new Debian package, version 2.0.\n size %d bytes: control archive=%d bytes.",
		size, r.ControlSize())
	write := func(line string) error {
		if err := left.take(line); err != nil {
			return err
		}
		b.log.Printf("%s", line)
		return nil
	}
	if err := describeControl(r, write); err != nil {
		return err
	}
	b.log.Printf("\n")
	data, err := r.Data()
	if err != nil {
		return err
	}
	list := contents{width: leastWidth}
	for {
		h, err := data.Next()
		if err == io.EOF {
			b.log.Printf("\n")
			return nil
		}
		if err != nil {
			return err
		}
		left.data -= h.Size
		if err := write(list.line(h)); err != nil {
			return err
		}
	}
}

// describeControl lists the files of the control member, and shows the one named control.
func describeControl(r *deb.Reader, write func(string) error) error {
	files := slices.Clone(r.Control())
	slices.SortFunc(files, func(a, b deb.ControlFile) int {
		return strings.Compare(a.Name, b.Name)
	})
	for _, c := range files {
		if err := write(controlLine(c)); err != nil {
			return err
		}
	}
	if c := r.ControlFile("control"); c != nil {
		for line := range strings.Lines(string(c.Body)) {
			if err := write(" " + strings.TrimSuffix(line, "\n")); err != nil {
				return err
			}
		}
	}
	return nil
}

// controlLine is a file of the control member as `dpkg-deb -I` lists it: size, lines, whether it
// can be executed, name, and the program that does it.
func controlLine(c deb.ControlFile) string {
	exec, interpreter := ' ', ""
	if c.Mode&0o100 != 0 {
		exec = '*'
	}
	if rest, ok := bytes.CutPrefix(c.Body, []byte("#!")); ok {
		rest = bytes.TrimLeft(rest, " ")
		if end := bytes.IndexAny(rest, " \t\n\v\f\r"); end >= 0 {
			rest = rest[:end]
		}
		interpreter = buildlog.VisibleString("#!" + string(rest))
	}
	return fmt.Sprintf(" %7d bytes, %5d lines   %c  %-20.127s %.127s", len(c.Body),
		bytes.Count(c.Body, []byte("\n")), exec, c.Name, interpreter)
}

// leastWidth is how wide owner, group and size are at least; a line that takes more makes it wider
// for those after it (tar(1), --verbose).
const leastWidth = 19

// contents lists files as `dpkg-deb -c` has tar list them.
type contents struct{ width int }

func (c *contents) line(h *tar.Header) string {
	owner := func(name string, id int) string {
		if name == "" {
			return strconv.Itoa(id)
		}
		return name
	}
	who, size := owner(h.Uname, h.Uid)+"/"+owner(h.Gname, h.Gid), strconv.FormatInt(h.Size, 10)
	c.width = max(c.width, len(who)+1+len(size))
	line := fmt.Sprintf("%s %s %*s %s %s", modeText(h), who, c.width-len(who)-1, size,
		h.ModTime.UTC().Format("2006-01-02 15:04"), h.Name)
	switch h.Typeflag {
	case tar.TypeSymlink:
		line += " -> " + h.Linkname
	case tar.TypeLink:
		line += " link to " + h.Linkname
	}
	return buildlog.VisibleString(line)
}

// modeText is a mode as ls(1) prints it.
func modeText(h *tar.Header) string {
	kinds := map[byte]string{tar.TypeDir: "d", tar.TypeSymlink: "l", tar.TypeLink: "h",
		tar.TypeChar: "c", tar.TypeBlock: "b", tar.TypeFifo: "p"}
	text := kinds[h.Typeflag]
	if text == "" {
		text = "-"
	}
	var b strings.Builder
	b.WriteString(text)
	for shift := 6; shift >= 0; shift -= 3 {
		bits := h.Mode >> shift & 7
		special := h.Mode >> (9 + shift/3) & 1
		for i, c := range "rw" {
			if bits>>(2-i)&1 == 1 {
				b.WriteRune(c)
			} else {
				b.WriteByte('-')
			}
		}
		letters := "-x"
		if special == 1 {
			letters = "Ss"
			if shift == 0 {
				letters = "Tt"
			}
		}
		b.WriteByte(letters[bits&1])
	}
	return b.String()
}
