package build

import (
	"archive/tar"
	"fmt"
	"strings"

	"nsbuild/internal/buildlog"
)

// contentLine is a file of a package as `dpkg-deb -c` prints it.
func contentLine(h *tar.Header) string {
	owner := func(name string, id int) string {
		if name == "" {
			return fmt.Sprint(id)
		}
		return name
	}
	line := fmt.Sprintf("%s %s/%s %9d %s %s", modeText(h), owner(h.Uname, h.Uid), owner(h.Gname, h.Gid), h.Size, h.ModTime.UTC().Format("2006-01-02 15:04"), h.Name)
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
	kinds := map[byte]string{tar.TypeDir: "d", tar.TypeSymlink: "l", tar.TypeLink: "h", tar.TypeChar: "c", tar.TypeBlock: "b", tar.TypeFifo: "p"}
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
