package fakedebian

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"
)

// Repack says in which form a real package is packed anew.
type Repack struct {
	ControlCompression, DataCompression Compression
	// Change, when set, changes the control file.
	Change func(control string) string
	// SlashNames ends the names in the ar headers with "/".
	SlashNames bool
}

// AddRepacked puts a real .deb file into a component, packed anew as old tools did.
func (s *Suite) AddRepacked(component, file string, r Repack) {
	t := s.archive.t
	t.Helper()
	deb, control, err := r.repack(file)
	if err != nil {
		t.Fatalf("packing %s anew: %v", file, err)
	}
	f := parseFields(control)
	source, _, _ := strings.Cut(f.get("Source"), " ")
	if source == "" {
		source = f.get("Package")
	}
	name := fmt.Sprintf("%s_%s_%s.deb", f.get("Package"), withoutEpoch(f.get("Version")),
		f.get("Architecture"))
	s.addDeb(component, poolDir(component, source)+name, content{data: deb}, control)
}

func (r Repack) repack(file string) (deb []byte, control string, err error) {
	members := []Member{{"debian-binary", []byte("2.0\n")}}
	for _, part := range []struct {
		name string
		c    Compression
	}{{"control.tar", r.ControlCompression}, {"data.tar", r.DataCompression}} {
		data, err := readMember(file, part.name)
		if err != nil {
			return nil, "", err
		}
		if part.name == "control.tar" {
			if data, control, err = r.changeControl(data); err != nil {
				return nil, "", err
			}
		}
		if data, err = part.c.compress(data); err != nil {
			return nil, "", err
		}
		members = append(members, Member{part.name + part.c.suffix(), data})
	}
	if r.SlashNames {
		for i := range members {
			members[i].Name += "/"
		}
	}
	return Ar(members), control, nil
}

// changeControl changes the control file within a control.tar.
func (r Repack) changeControl(data []byte) (changed []byte, control string, err error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for in := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			err = w.Close() // which writes the end
			return b.Bytes(), control, err
		}
		if err != nil {
			return nil, "", err
		}
		body, err := io.ReadAll(in)
		if err != nil {
			return nil, "", err
		}
		if path.Clean(h.Name) == "control" {
			if control = string(body); r.Change != nil {
				control = r.Change(control)
			}
			body = []byte(control)
			h.Size = int64(len(body))
		}
		h.Format = tar.FormatGNU
		if err := w.WriteHeader(h); err != nil {
			return nil, "", err
		}
		if _, err := w.Write(body); err != nil {
			return nil, "", err
		}
	}
}

// readMember is a member of a real .deb, decompressed; name is without the compression's suffix.
func readMember(file, name string) ([]byte, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	const magic, header = 8, 60
	for at := magic; at+header <= len(data); {
		h := data[at : at+header]
		size, err := strconv.Atoi(strings.TrimSpace(string(h[48:58])))
		if err != nil || size > len(data)-at-header {
			return nil, fmt.Errorf("%s: bad ar header", file)
		}
		member := strings.TrimSuffix(strings.TrimSpace(string(h[:16])), "/")
		body := data[at+header : at+header+size]
		if strings.HasPrefix(member, name) {
			r, err := decompressor(member, bytes.NewReader(body))
			if err != nil {
				return nil, err
			}
			return io.ReadAll(r)
		}
		at += header + size + size%2
	}
	return nil, fmt.Errorf("%s has no member %s", file, name)
}
