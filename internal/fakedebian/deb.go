package fakedebian

import (
	"archive/tar"
	"bytes"
	"crypto/md5"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"testing"
	"time"
)

// Field is one field of a control file.
type Field struct{ Name, Value string }

// File is one member of a package's data, or of a source tree.
type File struct {
	Path string // relative; a directory's ends in "/"
	Body string
	Mode int64 // permission bits; 0 means 0755 for directories and 0644 for files
	Type byte  // of archive/tar; 0 is found out from Path and Link
	// where a symbolic link leads; with Type TypeLink, the member that a hard link is to
	Link string
	// UID, GID, User and Group own it. The numbers alone count for unknown names.
	UID, GID    int
	User, Group string
	// Xattrs are extended attributes, such as "security.capability". They make the header a pax
	// one.
	Xattrs       map[string]string
	Major, Minor int64 // of device nodes
}

// Member is a member of an ar archive.
type Member struct {
	Name string
	Data []byte
}

// Package is a made-up binary package. Name is all it needs.
type Package struct {
	Name, Version, Architecture           string // the last two default to 1.0-1 and all
	Source                                string
	Priority, Section, MultiArch          string
	Essential                             bool
	Depends, PreDepends, Recommends       string
	Provides, Conflicts, Breaks, Replaces string
	Description                           string
	Fields                                []Field  // further ones, at the end
	Files                                 []File   // directories above them are added
	Conffiles                             []string // absolute paths
	// "preinst" and so on; "triggers", "shlibs" and other control files too
	Scripts                             map[string]string
	ControlCompression, DataCompression Compression // default XZ
	// SlashNames ends the names in the ar headers with "/", as some tools do.
	SlashNames bool
	// Members are put between debian-binary and the control member; dpkg ignores those whose name
	// begins with "_".
	Members []Member
	// Mutate, when set, changes the control file before it is packed.
	Mutate func(control string) string
}

// packed is when everything in fake packages was made: they are the same in every run.
var packed = time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)

func (p *Package) defaults() {
	set := func(s *string, value string) {
		if *s == "" {
			*s = value
		}
	}
	set(&p.Version, "1.0-1")
	set(&p.Architecture, "all")
	set(&p.Priority, "optional")
	set(&p.Section, "misc")
	set(&p.Description, "made-up package "+p.Name)
	if p.ControlCompression == "" {
		p.ControlCompression = XZ
	}
	if p.DataCompression == "" {
		p.DataCompression = XZ
	}
}

// Control is the package's control file.
func (p Package) Control() string {
	p.defaults()
	size := 0
	for _, f := range p.Files {
		size += (len(f.Body) + 1023) / 1024
	}
	f := fields{}
	f.add("Package", p.Name)
	f.add("Source", p.Source)
	f.add("Version", p.Version)
	f.add("Architecture", p.Architecture)
	f.add("Maintainer", maintainer)
	f.add("Installed-Size", fmt.Sprint(size))
	f.add("Pre-Depends", p.PreDepends)
	f.add("Depends", p.Depends)
	f.add("Recommends", p.Recommends)
	f.add("Conflicts", p.Conflicts)
	f.add("Breaks", p.Breaks)
	f.add("Replaces", p.Replaces)
	f.add("Provides", p.Provides)
	if p.Essential {
		f.add("Essential", "yes")
	}
	f.add("Section", p.Section)
	f.add("Priority", p.Priority)
	f.add("Multi-Arch", p.MultiArch)
	f.add("Description", p.Description)
	f = append(f, p.Fields...)
	text := f.String()
	if p.Mutate != nil {
		text = p.Mutate(text)
	}
	return text
}

// filename is the file's name in a pool: the version's epoch is not in it.
func (p Package) filename() string {
	p.defaults()
	return fmt.Sprintf("%s_%s_%s.deb", p.Name, withoutEpoch(p.Version), p.Architecture)
}

// Deb makes the .deb file (deb(5)).
func (p Package) Deb(t testing.TB) []byte {
	t.Helper()
	p.defaults()
	control := []File{{Path: "control", Body: p.Control()}}
	if len(p.Conffiles) > 0 {
		control = append(control,
			File{Path: "conffiles", Body: strings.Join(p.Conffiles, "\n") + "\n"})
	}
	if sums := md5sums(p.Files); sums != "" {
		control = append(control, File{Path: "md5sums", Body: sums})
	}
	for _, name := range sortedKeys(p.Scripts) {
		mode := int64(0o644)
		if slices.Contains([]string{"preinst", "postinst", "prerm", "postrm", "config"}, name) {
			mode = 0o755
		}
		control = append(control, File{Path: name, Body: p.Scripts[name], Mode: mode})
	}
	members := append([]Member{{"debian-binary", []byte("2.0\n")}}, p.Members...)
	members = append(members,
		Member{"control.tar" + p.ControlCompression.suffix(),
			tarball(t, p.ControlCompression, "./", control)},
		Member{"data.tar" + p.DataCompression.suffix(),
			tarball(t, p.DataCompression, "./", p.Files)})
	if p.SlashNames {
		for i := range members {
			members[i].Name += "/"
		}
	}
	return Ar(members)
}

// Ar makes an ar archive, in the common format that deb(5) asks for.
func Ar(members []Member) []byte {
	var b bytes.Buffer
	b.WriteString("!<arch>\n")
	for _, m := range members {
		fmt.Fprintf(&b, "%-16s%-12d%-6d%-6d%-8o%-10d`\n", m.Name, packed.Unix(), 0, 0, 0o100644,
			len(m.Data))
		b.Write(m.Data)
		if len(m.Data)%2 == 1 {
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}

func md5sums(files []File) string {
	var b strings.Builder
	for _, f := range files {
		if f.tarType() == tar.TypeReg {
			fmt.Fprintf(&b, "%x  %s\n", md5.Sum([]byte(f.Body)), f.Path)
		}
	}
	return b.String()
}

func (f File) tarType() byte {
	switch {
	case f.Type != 0:
		return f.Type
	case f.Link != "":
		return tar.TypeSymlink
	case strings.HasSuffix(f.Path, "/"):
		return tar.TypeDir
	default:
		return tar.TypeReg
	}
}

// tarball packs files below a prefix, with the directories above them.
func tarball(t testing.TB, c Compression, prefix string, files []File) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	seen := map[string]bool{}
	var err error
	var directory func(dir string)
	directory = func(dir string) {
		if dir == "." || dir == "/" || seen[dir] || err != nil {
			return
		}
		directory(path.Dir(dir))
		seen[dir] = true
		err = w.WriteHeader(header(prefix, File{Path: dir + "/"}))
	}
	err = w.WriteHeader(header(prefix, File{Path: "./"}))
	for _, f := range files {
		if err != nil {
			break
		}
		directory(path.Dir(strings.TrimSuffix(f.Path, "/")))
		if f.tarType() == tar.TypeDir {
			if seen[path.Clean(f.Path)] {
				continue
			}
			seen[path.Clean(f.Path)] = true
		}
		if err == nil {
			err = w.WriteHeader(header(prefix, f))
		}
		if err == nil && f.tarType() == tar.TypeReg {
			_, err = io.WriteString(w, f.Body)
		}
	}
	if err == nil {
		err = w.Close()
	}
	var data []byte
	if err == nil {
		data, err = c.compress(b.Bytes())
	}
	if err != nil {
		t.Fatalf("packing a tarball: %v", err)
	}
	return data
}

func header(prefix string, f File) *tar.Header {
	h := &tar.Header{
		Typeflag: f.tarType(), Name: prefix + strings.TrimPrefix(f.Path, "./"), Linkname: f.Link,
		Mode: f.Mode, ModTime: packed,
		Uid: f.UID, Gid: f.GID, Uname: f.User, Gname: f.Group, Devmajor: f.Major, Devminor: f.Minor,
		Format: tar.FormatGNU,
	}
	switch h.Typeflag {
	case tar.TypeReg:
		h.Size = int64(len(f.Body))
	case tar.TypeLink:
		h.Linkname = prefix + strings.TrimPrefix(f.Link, "./")
	}
	if h.Mode == 0 {
		switch h.Typeflag {
		case tar.TypeDir:
			h.Mode = 0o755
		case tar.TypeSymlink:
			h.Mode = 0o777
		default:
			h.Mode = 0o644
		}
	}
	if h.Uname == "" && h.Uid == 0 {
		h.Uname = "root"
	}
	if h.Gname == "" && h.Gid == 0 {
		h.Gname = "root"
	}
	if len(f.Xattrs) > 0 {
		h.Format = tar.FormatPAX
		h.PAXRecords = map[string]string{}
		for name, value := range f.Xattrs {
			h.PAXRecords["SCHILY.xattr."+name] = value
		}
	}
	return h
}
