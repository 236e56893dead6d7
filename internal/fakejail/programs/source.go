package programs

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"nsbuild/internal/deb"
	"nsbuild/internal/dsc"
	"nsbuild/internal/fakejail"
)

// dpkgSource is dpkg-source: -x DSC DIRECTORY, and -b DIRECTORY.
func dpkgSource(p *fakejail.Proc) error {
	if at := slices.Index(p.Argv, "-x"); at > 0 {
		p.Printf("dpkg-source: info: extracting %s\n", p.Argv[at+1])
		return Extract(host(p, p.Argv[at+1]), host(p, p.Argv[at+2]))
	}
	if dir := option(p.Argv, "-b"); dir != "" {
		_, err := packSource(host(p, dir))
		return err
	}
	return fmt.Errorf("%q: neither -x nor -b", p.Argv)
}

// Extract unpacks a source package into a directory.
func Extract(file, to string) error {
	source, err := dsc.Open(file, nil)
	if err != nil {
		return err
	}
	for _, f := range source.Files {
		stem, suffix, ok := strings.Cut(f.Name, ".tar")
		if !ok {
			return fmt.Errorf("%s: no tarball", f.Name)
		}
		dir, strip := to, 1
		if strings.HasSuffix(stem, ".debian") {
			strip = 0
		}
		if err := unpackTarball(filepath.Join(filepath.Dir(file), f.Name), suffix, dir,
			strip); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	return nil
}

func unpackTarball(file, suffix, dir string, strip int) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	in, err := deb.Decompress(f, suffix, 128<<20)
	if err != nil {
		return err
	}
	return errors.Join(unpackSource(in, dir, strip), in.Close())
}

// packed are the files of a source package, the .dsc first, and what its directory says.
type packed struct {
	entry    *dsc.Entry
	control  *dsc.Control
	packages []*dsc.Paragraph // of debian/control
	files    []string
}

// readSource reads what a source directory says.
func readSource(dir string) (*packed, error) {
	tree, err := dsc.OpenTree(dir)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(dir, "debian/control"))
	if err != nil {
		return nil, err
	}
	paragraphs, err := dsc.ParseControl("debian/control", bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	return &packed{entry: &tree.Changelog, control: &tree.Control, packages: paragraphs[1:]}, nil
}

// packSource makes a source package of a directory, beside it. Where there is an upstream tarball
// the rest is debian/.
func packSource(dir string) (*packed, error) {
	s, err := readSource(dir)
	if err != nil {
		return nil, err
	}
	name, version := s.control.Source, s.entry.Version
	above := filepath.Dir(dir)
	origs, err := filepath.Glob(filepath.Join(above, name+"_"+version.Upstream()+".orig.tar.*"))
	if err != nil {
		return nil, err
	}
	stem, format := dsc.PkgVer(name, version), "3.0 (native)"
	what, tarball := dir, stem+".tar.gz"
	if len(origs) > 0 {
		format, tarball, what = "3.0 (quilt)", stem+".debian.tar.gz", filepath.Join(dir, "debian")
	}
	if err := writeTarball(filepath.Join(above, tarball), dir, what); err != nil {
		return nil, err
	}
	s.files = append(s.files, stem+".dsc")
	for _, orig := range origs {
		s.files = append(s.files, filepath.Base(orig))
	}
	s.files = append(s.files, tarball)
	var text strings.Builder
	fmt.Fprintf(&text, "Format: %s\nSource: %s\nBinary: %s\nArchitecture: %s\nVersion: %s\n"+
		"Maintainer: %s\n", format, name, name, strings.Join(s.control.Architecture(), " "),
		version, s.control.Paragraph.Get("Maintainer"))
	if d := s.control.Paragraph.Get("Build-Depends"); d != "" {
		fmt.Fprintf(&text, "Build-Depends: %s\n", strings.ReplaceAll(d, "\n", "\n "))
	}
	sums, err := checksums(above, s.files[1:], false)
	if err != nil {
		return nil, err
	}
	return s, os.WriteFile(filepath.Join(above, stem+".dsc"), []byte(text.String()+sums), 0o644)
}

// writeTarball packs what lies below a part of a directory, with names that begin with the
// directory's, or with debian/.
func writeTarball(file, dir, part string) error {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	out := tar.NewWriter(z)
	err := filepath.WalkDir(part, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		from := filepath.Dir(dir)
		if part != dir {
			from = dir
		}
		rel, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		body, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		if err := out.WriteHeader(&tar.Header{Name: rel, Mode: int64(st.Mode().Perm()),
			Size: int64(len(body)), Typeflag: tar.TypeReg}); err != nil {
			return err
		}
		_, err = out.Write(body)
		return err
	})
	if err := errors.Join(err, out.Close(), z.Close()); err != nil {
		return err
	}
	return os.WriteFile(file, packed.Bytes(), 0o644)
}
