package source

import (
	"archive/tar"
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"nsbuild/internal/deb"
	"nsbuild/internal/dsc"
)

// Control reads debian/control: of the directory, or out of the source package's files.
func (in *Source) Control() (*dsc.Control, error) {
	if in.Tree != nil {
		return &in.Tree.Control, nil
	}
	return packedControl(in.DSC, dsc.Dir(in.Dir))
}

// Bounds of looking for debian/control in a source package's file, in bytes: of what is unpacked
// for it, and of the window that a decompressor may ask for. Where packaging has a tarball of its
// own, it is far less.
const (
	maxSearch = 64 << 20
	maxWindow = 128 << 20
)

var errNoControl = errors.New("debian/control was not found in the source package")

// packedControl reads debian/control of a source package that is not unpacked. That takes no jail:
// nothing is written, and what is read is bounded.
func packedControl(source *dsc.Source, open dsc.Opener) (*dsc.Control, error) {
	stem := source.PkgVer()
	for _, f := range source.Files {
		rest, ok := strings.CutPrefix(f.Name, stem)
		if !ok {
			continue
		}
		var find func(io.Reader) ([]byte, error)
		suffix, isTar := strings.CutPrefix(rest, ".debian.tar")
		switch {
		case isTar: // 3.0 (quilt)
			find = func(r io.Reader) ([]byte, error) { return controlOfTar(r, "debian/control") }
		case rest == ".diff.gz": // 1.0
			find, suffix = controlOfDiff, ".gz"
		default: // native
			if suffix, isTar = strings.CutPrefix(rest, ".tar"); !isTar {
				continue
			}
			find = func(r io.Reader) ([]byte, error) { return controlOfTar(r, "*/debian/control") }
		}
		text, err := searchPacked(f.Name, suffix, open, find)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		return dsc.ParseSourceControl(f.Name+": debian/control", bytes.NewReader(text))
	}
	return nil, errNoControl
}

func searchPacked(name, suffix string, open dsc.Opener, find func(io.Reader) ([]byte, error)) (
	[]byte, error) {
	f, err := open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := deb.Decompress(f, suffix, maxWindow)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return find(io.LimitReader(r, maxSearch))
}

// maxControl bounds a debian/control, in bytes.
const maxControl = 16 << 20

// controlOfTar is the file of a tar archive whose path matches a pattern.
func controlOfTar(r io.Reader, pattern string) ([]byte, error) {
	archive := tar.NewReader(r)
	for {
		h, err := archive.Next()
		if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, errNoControl
		}
		if err != nil {
			return nil, err
		}
		if found, err := path.Match(pattern, path.Clean(h.Name)); err != nil || !found {
			continue
		}
		if h.Typeflag != tar.TypeReg {
			return nil, fmt.Errorf("%s is no plain file", h.Name)
		}
		return io.ReadAll(io.LimitReader(archive, maxControl))
	}
}

// controlOfDiff is a new file debian/control in a diff: one hunk, all of whose lines are added.
func controlOfDiff(r io.Reader) ([]byte, error) {
	lines := bufio.NewReader(r)
	var text []byte
	in := false // the lines of the file
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil && err != io.EOF {
			return nil, err
		}
		begins := func(with string) bool { return bytes.HasPrefix(line, []byte(with)) }
		switch {
		case in && begins("+"):
			text = append(text, line[1:]...)
		case in && (begins("@@ -0,0 ") || begins(`\ `)): // the latter: no newline at its end
		case in && (begins("@@") || begins(" ") || begins("-") && !begins("--- ")):
			return nil, errors.New("the diff changes debian/control of the upstream tarball")
		case in:
			return text, nil
		case begins("+++ "):
			name, _, _ := bytes.Cut(bytes.TrimSpace(line[4:]), []byte("\t"))
			found, matched := path.Match("*/debian/control", string(name))
			in = found && matched == nil
		}
		if err == io.EOF {
			return nil, errNoControl
		}
	}
}
