package source

import (
	"bytes"
	"io"
	"io/fs"
	"strings"
	"testing"

	"nsbuild/internal/dsc"
	"nsbuild/internal/fakedebian"
)

// packed is a source package in memory.
func packed(t *testing.T, s fakedebian.Source) (*dsc.Source, dsc.Opener) {
	t.Helper()
	files := map[string][]byte{}
	members := s.Build(t)
	for _, m := range members {
		files[m.Name] = m.Data
	}
	source, err := dsc.Parse(members[0].Name, bytes.NewReader(members[0].Data), nil)
	if err != nil {
		t.Fatal(err)
	}
	return source, func(name string) (io.ReadCloser, error) {
		data, ok := files[name]
		if !ok {
			return nil, fs.ErrNotExist
		}
		return io.NopCloser(bytes.NewReader(data)), nil
	}
}

// TestPackedControl finds debian/control in source packages of every format.
func TestPackedControl(t *testing.T) {
	upstream := []fakedebian.File{
		{Path: "debian/control", Body: "Source: upstreams-own\n\nPackage: x\nArchitecture: any\n"},
		{Path: "README", Body: "Read.\n"}}
	for _, s := range []fakedebian.Source{
		{Name: "quilted", Version: "1.0-1", Files: upstream},
		{Name: "quilted", Version: "2:1.0-1", Compression: fakedebian.Gzip, Files: upstream},
		{Name: "native", Version: "1.0", Files: upstream[1:]},
		{Name: "old", Version: "1.0-1", Format: fakedebian.Format1, Files: upstream[1:]},
		{Name: "old-last", Version: "1.0-1", Format: fakedebian.Format1,
			Debian: []fakedebian.File{{Path: "aaa", Body: "Package: no\n"},
				{Path: "zzz", Body: "--- x\n+++ y/debian/control\n"}}},
	} {
		s.Fields = []fakedebian.Field{{Name: "Rules-Requires-Root", Value: "binary-targets"}}
		c, err := packedControl(packed(t, s))
		if err != nil {
			t.Errorf("%s: %v", s.Name, err)
			continue
		}
		if f := c.Paragraph.Field("Rules-Requires-Root"); c.Source != s.Name || f == nil ||
			f.Value != "binary-targets" {
			t.Errorf("%s: %+v", s.Name, c)
		}
	}
}

// TestPackedControlUnknown knows when it does not know.
func TestPackedControlUnknown(t *testing.T) {
	native := fakedebian.Source{Name: "native", Version: "1.0"}
	for name, spoil := range map[string]func([]byte) []byte{
		"cut":     func(b []byte) []byte { return b[:len(b)/2] },
		"empty":   func([]byte) []byte { return nil },
		"garbage": func([]byte) []byte { return []byte(strings.Repeat("x", 4096)) },
	} {
		source, open := packed(t, native)
		_, err := packedControl(source, func(name string) (io.ReadCloser, error) {
			f, err := open(name)
			if err != nil {
				return nil, err
			}
			data, err := io.ReadAll(f)
			return io.NopCloser(bytes.NewReader(spoil(data))), err
		})
		if err == nil {
			t.Errorf("%s: debian/control was found", name)
		}
	}
	changed := "--- x.orig/debian/control\n+++ x/debian/control\n@@ -1,2 +1,2 @@\n Source: " +
		"x\n-Section: a\n+Section: b\n"
	if _, err := controlOfDiff(strings.NewReader(changed)); err == nil ||
		!strings.Contains(err.Error(), "upstream") {
		t.Errorf("a changed debian/control: %v", err)
	}
	if _, err := controlOfDiff(
		strings.NewReader("--- x.orig/a\n+++ x/a\n@@ -0,0 +1 @@\n+b\n")); err == nil {
		t.Error("a diff without debian/control has one")
	}
}
