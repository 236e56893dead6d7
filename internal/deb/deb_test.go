package deb

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ulikunitz/xz/lzma"
)

// list reads a whole package and describes its data member, a line per entry.
func list(r io.Reader, l Limits) (*Reader, []string, error) {
	d, err := NewReader(r, l)
	if err != nil {
		return nil, nil, err
	}
	defer d.Close()
	tr, err := d.Data()
	if err != nil {
		return d, nil, err
	}
	var lines []string
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return d, lines, nil
		}
		if err != nil {
			return d, lines, err
		}
		n, err := io.Copy(io.Discard, tr)
		if err != nil {
			return d, lines, err
		}
		lines = append(lines, fmt.Sprintf("%c %04o %d:%d %d %s %s", h.Typeflag, h.Mode, h.Uid,
			h.Gid, n, h.Name, h.Linkname))
	}
}

func TestReadFixtures(t *testing.T) {
	paths, err := filepath.Glob("testdata/fixture-*.deb")
	if err != nil || len(paths) != 6 {
		t.Fatalf("fixtures: %v, %v", paths, err)
	}
	var want []string
	for _, p := range paths {
		t.Run(filepath.Base(p), func(t *testing.T) {
			body, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			d, got, err := list(bytes.NewReader(body), Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if want == nil {
				want = got
			}
			if strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			if c := d.ControlFile("control"); c == nil ||
				!strings.HasPrefix(string(c.Body), "Package: fixture\n") {
				t.Errorf("control: %+v", c)
			}
			if s := d.ControlFile("postinst"); s == nil || s.Mode != 0o755 ||
				s.ModTime.Unix() != 1500000000 {
				t.Errorf("postinst: %+v", s)
			}
		})
	}
	all := strings.Join(want, "\n")
	for _, entry := range []string{"2 0777 0:0 0 ./usr/share/doc/fixture/link README",
		"1 0644 0:0 0 ./usr/share/doc/fixture/hard ./usr/share/doc/fixture/README",
		"5 2755 0:0 0 ./usr/share/doc/fixture/ ",
		"a-file-with-a-long-path-that-does-not-fit-in-a-tar-header"} {
		if !strings.Contains(all, entry) &&
			!strings.Contains(all, strings.NewReplacer("hard ./usr/share/doc/fixture/README",
				"README ./usr/share/doc/fixture/hard").Replace(entry)) {
			t.Errorf("no entry %q in\n%s", entry, all)
		}
	}
}

func arEntry(name, body string) string {
	s := fmt.Sprintf("%-16s%-12d%-6d%-6d%-8s%-10d`\n%s", name, 0, 0, 0, "100644", len(body), body)
	if len(body)%2 == 1 {
		s += "\n"
	}
	return s
}

func tarball(entries ...*tar.Header) string {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range entries {
		body := strings.Repeat("x", int(h.Size))
		if h.Name == "./control" {
			body = "Package: a\nVersion: 1\nArchitecture: all\n"
			h.Size = int64(len(body))
		}
		if err := w.WriteHeader(h); err != nil {
			panic(err)
		}
		if _, err := io.WriteString(w, body); err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.String()
}

func TestOddArchives(t *testing.T) {
	control := tarball(&tar.Header{Name: "./control", Mode: 0o644})
	data := tarball(&tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755})
	version := arEntry("debian-binary", "2.0\n")
	for _, tc := range []struct{ name, in, wantErr string }{
		{"plain", arMagic + version + arEntry("control.tar", control) + arEntry("data.tar", data),
			""},
		{"GNU slashes", arMagic + arEntry("debian-binary/", "2.0\n") + arEntry("control.tar/",
			control) + arEntry("data.tar/", data), ""},
		{"GNU table", arMagic + version + arEntry("//", "control.tar/\ndata.tar/\n") +
			arEntry("/0", control) + arEntry("/13", data), ""},
		{"BSD names", arMagic + version + arEntry("#1/12", "control.tar\x00"+control) +
			arEntry("#1/8", "data.tar"+data), ""},
		{"ignored members", arMagic + version + arEntry("_gpgorigin", "abc") +
			arEntry("control.tar", control) + arEntry("_x", "") + arEntry("data.tar", data), ""},
		{"later minor version", arMagic + arEntry("debian-binary", "2.9\nmore\n") +
			arEntry("control.tar", control) + arEntry("data.tar", data), ""},
		{"empty", "", "unexpected EOF"},
		{"no ar", "PK\x03\x04xxxxxxxxxxxx", "not an ar archive"},
		{"other member first", arMagic + arEntry("control.tar", control), "first member is"},
		{"version 3", arMagic + arEntry("debian-binary", "3.0\n"), `format "3.0" is not supported`},
		{"no control", arMagic + version, "looking for control.tar"},
		{"wrong order", arMagic + version + arEntry("data.tar", data),
			"where control.tar was expected"},
		{"no data", arMagic + version + arEntry("control.tar", control), "looking for data.tar"},
		{"unknown compression", arMagic + version + arEntry("control.tar.br", control),
			`compression ".br" is not supported`},
		{"control without control", arMagic + version + arEntry("control.tar", data),
			"no file named control"},
		{"directory in control",
			arMagic + version + arEntry("control.tar",
				tarball(&tar.Header{Name: "./a/b", Mode: 0o644})), "not a plain file at the top"},
		{"climbing control",
			arMagic + version + arEntry("control.tar",
				tarball(&tar.Header{Name: "../../etc/x/y", Mode: 0o644})),
			"not a plain file at the top"},
		{"truncated", (arMagic + version + arEntry("control.tar", control))[:300],
			"unexpected EOF"},
		{"negative size", arMagic + strings.Replace(version, "4         `", "-4        `", 1),
			"corrupt size"},
		{"bad header magic", arMagic + strings.Replace(version, "`\n", "xx", 1),
			"corrupt ar header"},
		{"huge name table", arMagic + version + arEntry("//", strings.Repeat("a", maxMemberName+1)),
			"table of member names"},
		{"offset outside", arMagic + version + arEntry("/99", control), "outside of the table"},
		{"BSD name too long", arMagic + version + arEntry("#1/99999", control),
			"corrupt long name"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, _, err := list(strings.NewReader(tc.in), Limits{})
			switch {
			case tc.wantErr == "" && err != nil:
				t.Error(err)
			case tc.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tc.wantErr)):
				t.Errorf("got error %v, want %q", err, tc.wantErr)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	gz := func(s string) string {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		if _, err := io.WriteString(w, s); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	small := tarball(&tar.Header{Name: "./control", Mode: 0o644})
	large := tarball(&tar.Header{Name: "./control", Mode: 0o644},
		&tar.Header{Name: "./big", Mode: 0o644, Size: 1 << 20})
	pkg := func(control, data string) io.Reader {
		return strings.NewReader(arMagic + arEntry("debian-binary", "2.0\n") +
			arEntry("control.tar.gz", gz(control)) + arEntry("data.tar.gz", gz(data)))
	}
	l := Limits{Control: 1 << 19, Data: 1 << 19}
	if _, _, err := list(pkg(small, small), l); err != nil {
		t.Error(err)
	}
	if _, _, err := list(pkg(large, small), l); !errors.Is(err, ErrTooLarge) {
		t.Errorf("large control: %v", err)
	}
	if _, _, err := list(pkg(small, large), l); !errors.Is(err, ErrTooLarge) {
		t.Errorf("large data: %v", err)
	}
	for _, name := range []string{"xz", "lzma", "zstd"} {
		body, err := os.ReadFile("testdata/fixture-" + name + ".deb")
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := list(bytes.NewReader(body), Limits{Dictionary: 1024}); err == nil {
			t.Errorf("%s: a dictionary beyond the limit was accepted", name)
		}
	}
}

// A header may claim a dictionary that what is packed could never fill; lzma(1) takes such streams.
func TestLZMADictionary(t *testing.T) {
	want := bytes.Repeat([]byte("all that is packed\n"), 1000)
	var packed bytes.Buffer
	w, err := lzma.WriterConfig{Size: int64(len(want)), SizeInHeader: true}.NewWriter(&packed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(want); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	stream := packed.Bytes()
	for cut := range len(stream) - 1 {
		z, err := newLZMAReader(bytes.NewReader(stream[:cut]), 128<<20)
		if err == nil {
			_, err = io.Copy(io.Discard, z)
		}
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut after %d of %d bytes: %v", cut, len(stream), err)
		}
	}
	for _, dictionary := range []uint32{0, 64 << 20, 1<<32 - 1} {
		binary.LittleEndian.PutUint32(stream[lzmaDictionaryAt:], dictionary)
		z, err := newLZMAReader(bytes.NewReader(stream), 1<<20)
		if err != nil {
			t.Fatalf("a dictionary of %d bytes for %d: %v", dictionary, len(want), err)
		}
		if got, err := io.ReadAll(z); err != nil || !bytes.Equal(got, want) {
			t.Errorf("a dictionary of %d bytes: %d bytes, %v", dictionary, len(got), err)
		}
	}
	binary.LittleEndian.PutUint64(stream[lzmaSizeAt:], 1<<64-1)
	if _, err := newLZMAReader(bytes.NewReader(stream), 1<<20); err == nil ||
		!strings.Contains(err.Error(), "more than the 1048576 allowed") {
		t.Errorf("a dictionary beyond the limit, size not known: %v", err)
	}
}

func TestWrite(t *testing.T) {
	p := Package{
		Control: "Package: dummy\nVersion: 1\nArchitecture: all\nDepends: a\n",
		Scripts: map[string]string{"postinst": "#!/bin/sh\n", "triggers": "activate x\n"},
		Files: []File{{Path: "/usr/share/doc/dummy/a", Body: []byte("hello\n")},
			{Path: "/usr/share/l", Mode: fs.ModeSymlink, Target: "doc"},
			{Path: "/opt", Mode: fs.ModeDir | 0o750}},
		Time: time.Unix(1500000000, 0),
	}
	var one, two bytes.Buffer
	if err := Write(&one, p); err != nil {
		t.Fatal(err)
	}
	if err := Write(&two, p); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Error("two writes differ")
	}
	d, got, err := list(&one, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	want := "5 0755 0:0 0 ./ \n5 0750 0:0 0 ./opt/ \n5 0755 0:0 0 ./usr/ \n5 0755 0:0 0 " +
		"./usr/share/ \n5 0755 0:0 0 ./usr/share/doc/ \n5 0755 0:0 0 ./usr/share/doc/dummy/ \n0 " +
		"0644 0:0 6 ./usr/share/doc/dummy/a \n2 0777 0:0 0 ./usr/share/l doc"
	if s := strings.Join(got, "\n"); s != want {
		t.Errorf("got\n%s\nwant\n%s", s, want)
	}
	if f := d.ControlFile("md5sums"); f == nil ||
		string(f.Body) != "b1946ac92492d2347c6235b4d2611184  usr/share/doc/dummy/a\n" {
		t.Errorf("md5sums: %+v", f)
	}
	if f := d.ControlFile("postinst"); f == nil || f.Mode != 0o755 {
		t.Errorf("postinst: %+v", f)
	}
	for _, bad := range []Package{{Control: "Version: 1\n"},
		{Control: "Package: a\n\nPackage: b\n"},
		{Control: "Package: a\n", Files: []File{{Path: "relative"}}}} {
		if err := Write(io.Discard, bad); err == nil {
			t.Errorf("%+v was accepted", bad)
		}
	}
}

func FuzzReader(f *testing.F) {
	paths, err := filepath.Glob("testdata/fixture-*.deb")
	if err != nil {
		f.Fatal(err)
	}
	for _, p := range paths {
		body, err := os.ReadFile(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		_, _, err := list(bytes.NewReader(in),
			Limits{Control: 1 << 20, Data: 1 << 20, Dictionary: 1 << 20})
		if err == nil && len(in) < len(arMagic) {
			t.Error("accepted nothing")
		}
	})
}

func FuzzLZMA(f *testing.F) {
	f.Add([]byte(
		"\x5d\x00\x00\x10\x00\xff\xff\xff\xff\xff\xff\xff\xff\x00\x05\x41\xfb\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, in []byte) {
		z, err := newLZMAReader(bytes.NewReader(in), 1<<20)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, io.LimitReader(z, 1<<20)); err != nil &&
			err.Error() == "" {
			t.Error("an error without text")
		}
	})
}
