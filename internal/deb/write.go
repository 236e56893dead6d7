package deb

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"fmt"
	"io"
	"io/fs"
	"path"
	"sort"
	"strings"
	"time"
)

// File is one entry of a package to be written. Parent directories are added where they are
// missing.
type File struct {
	Path string // absolute, inside the system
	// type bits choose directory or symbolic link; otherwise a regular file. 0 means 0644, or 0755
	// for a directory
	Mode   fs.FileMode
	Body   []byte
	Target string // of a symbolic link
}

// Package is a small binary package to be written.
type Package struct {
	// Control is the control paragraph, complete and terminated by a newline.
	Control string
	// Scripts are further files of the control member: maintainer scripts (mode 0755), triggers,
	// conffiles and the like (0644).
	Scripts map[string]string
	Files   []File
	// Time is the modification time of every entry, so that equal input gives equal bytes.
	Time time.Time
}

// Write writes p to w: deb(5) 2.0, members compressed with gzip, which every dpkg reads; everything
// owned by root.
func Write(w io.Writer, p Package) error {
	if !strings.HasPrefix(p.Control, "Package: ") || !strings.HasSuffix(p.Control, "\n") ||
		strings.Contains(p.Control, "\n\n") {
		return fmt.Errorf("writing a package: its control paragraph must begin with Package: and " +
			"be one paragraph")
	}
	data, sums, err := p.data()
	if err != nil {
		return err
	}
	control, err := p.control(sums)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, arMagic); err != nil {
		return err
	}
	for _, m := range []struct {
		name string
		body []byte
	}{{"debian-binary", []byte("2.0\n")}, {"control.tar.gz", control}, {"data.tar.gz", data}} {
		if _, err := fmt.Fprintf(w, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", m.name, p.Time.Unix(), 0, 0,
			"100644", len(m.body)); err != nil {
			return err
		}
		if _, err := w.Write(m.body); err != nil {
			return err
		}
		if len(m.body)%2 == 1 {
			if _, err := io.WriteString(w, "\n"); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p Package) data() (member []byte, md5sums string, err error) {
	files := map[string]File{"/": {Path: "/", Mode: fs.ModeDir}}
	for _, f := range p.Files {
		if !path.IsAbs(f.Path) || path.Clean(f.Path) != f.Path {
			return nil, "", fmt.Errorf("writing a package: %q is not a clean absolute path", f.Path)
		}
		for d := path.Dir(f.Path); d != "/"; d = path.Dir(d) {
			if _, ok := files[d]; !ok {
				files[d] = File{Path: d, Mode: fs.ModeDir}
			}
		}
		files[f.Path] = f
	}
	names := make([]string, 0, len(files))
	for n := range files {
		names = append(names, n)
	}
	sort.Strings(names)
	var sums strings.Builder
	member, err = p.tarball(func(tw *tar.Writer) error {
		for _, n := range names {
			f := files[n]
			h := p.header("."+n, f.Mode.Perm())
			switch {
			case f.Mode.IsDir():
				h.Typeflag, h.Name = tar.TypeDir, strings.TrimSuffix(h.Name, "/")+"/"
				if h.Mode == 0 {
					h.Mode = 0o755
				}
			case f.Mode&fs.ModeSymlink != 0:
				h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, f.Target, 0o777
			default:
				h.Size = int64(len(f.Body))
				if h.Mode == 0 {
					h.Mode = 0o644
				}
				fmt.Fprintf(&sums, "%x  %s\n", md5.Sum(f.Body), n[1:])
			}
			if err := tw.WriteHeader(h); err != nil {
				return err
			}
			if h.Typeflag == tar.TypeReg {
				if _, err := tw.Write(f.Body); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return member, sums.String(), err
}

func (p Package) control(md5sums string) ([]byte, error) {
	files := map[string]string{"control": p.Control}
	for n, s := range p.Scripts {
		files[n] = s
	}
	if md5sums != "" {
		files["md5sums"] = md5sums
	}
	names := make([]string, 0, len(files))
	for n := range files {
		names = append(names, n)
	}
	sort.Strings(names)
	return p.tarball(func(tw *tar.Writer) error {
		top := p.header("./", 0o755)
		top.Typeflag = tar.TypeDir
		if err := tw.WriteHeader(top); err != nil {
			return err
		}
		for _, n := range names {
			mode := fs.FileMode(0o644)
			switch n {
			case "preinst", "postinst", "prerm", "postrm", "config":
				mode = 0o755
			}
			h := p.header("./"+n, mode)
			h.Size = int64(len(files[n]))
			if err := tw.WriteHeader(h); err != nil {
				return err
			}
			if _, err := io.WriteString(tw, files[n]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (p Package) header(name string, mode fs.FileMode) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: int64(mode),
		ModTime: p.Time.Truncate(time.Second), Uname: "root", Gname: "root", Format: tar.FormatGNU}
}

func (p Package) tarball(fill func(*tar.Writer) error) ([]byte, error) {
	var b bytes.Buffer
	gz, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	tw := tar.NewWriter(gz)
	if err := fill(tw); err != nil {
		return nil, fmt.Errorf("writing a package: %w", err)
	}
	if err := tw.Close(); err != nil {
		return nil, fmt.Errorf("writing a package: %w", err)
	}
	if err := gz.Close(); err != nil {
		return nil, fmt.Errorf("writing a package: %w", err)
	}
	return b.Bytes(), nil
}
