package dsc

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"nsbuild/internal/fault"
)

// contents are the files of the source package that dscText describes.
var contents = map[string]string{"hello_1.0.orig.tar.gz": "upstream",
	"hello_1.0-1.debian.tar.xz": "packaging"}

// dscText is a small .dsc; replace pairs of old and new text change it.
func dscText(replace ...string) string {
	var md, sha, sha2 strings.Builder
	for _, name := range []string{"hello_1.0.orig.tar.gz", "hello_1.0-1.debian.tar.xz"} {
		c := contents[name]
		fmt.Fprintf(&md, " %x %d %s\n", md5.Sum([]byte(c)), len(c), name)
		fmt.Fprintf(&sha, " %x %d %s\n", sha1.Sum([]byte(c)), len(c), name)
		fmt.Fprintf(&sha2, " %x %d %s\n", sha256.Sum256([]byte(c)), len(c), name)
	}
	text := "Format: 3.0 (quilt)\nSource: hello\nBinary: hello, hello-doc\nArchitecture: any " +
		"all\nVersion: 1:1.0-1\nMaintainer: A B <a@example.org>\n" +
		"Standards-Version: 4.6.2\nBuild-Depends: debhelper-compat (= 13),\n python3:any " +
		"<!nocheck>\nBuild-Depends-Indep: doxygen\nPackage-List:\n" +
		" hello deb devel optional arch=any\n hello-doc deb doc optional arch=all " +
		"profile=!nodoc,!cross+stage1\n" +
		"Checksums-Sha1:\n" + sha.String() + "Checksums-Sha256:\n" + sha2.String() + "Files:\n" +
		md.String()
	return strings.NewReplacer(replace...).Replace(text)
}

// opener serves contents from memory.
func opener(files map[string]string) Opener {
	return func(name string) (io.ReadCloser, error) {
		c, ok := files[name]
		if !ok {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		return io.NopCloser(strings.NewReader(c)), nil
	}
}

func TestParse(t *testing.T) {
	s, err := Parse("hello_1.0-1.dsc", strings.NewReader(dscText()), nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.Name != "hello" || s.Version.String() != "1:1.0-1" || s.Format != "3.0 (quilt)" ||
		strings.Join(s.Binary, " ") != "hello hello-doc" ||
		strings.Join(s.Architecture, " ") != "any all" || s.Signature.State != Unsigned ||
		s.Standards != "4.6.2" {
		t.Errorf("%+v", s)
	}
	if s.PkgVer() != "hello_1.0-1" || s.DscName() != "hello_1.0-1.dsc" ||
		s.DirName() != "hello-1.0" {
		t.Errorf("%s, %s, %s", s.PkgVer(), s.DscName(), s.DirName())
	}
	if got := s.Depends.String(); got != "debhelper-compat (= 13), python3:any <!nocheck>" {
		t.Errorf("Build-Depends: %s", got)
	}
	if len(s.PackageList) != 2 ||
		fmt.Sprint(
			s.PackageList[1]) != "{hello-doc deb doc optional [all] [[!nodoc !cross] [stage1]] false}" {
		t.Errorf("Package-List: %v", s.PackageList)
	}
	if len(s.Files) != 2 || s.Files[0].Name != "hello_1.0.orig.tar.gz" || s.Files[0].SHA256 == "" ||
		s.Files[0].MD5 == "" || s.Files[0].SHA1 == "" {
		t.Errorf("Files: %+v", s.Files)
	}
	if err := s.Verify(opener(contents)); err != nil {
		t.Error(err)
	}
	if w := s.WeakFiles(); len(w) != 0 {
		t.Errorf("weak: %v", w)
	}
}

func TestParseErrors(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", "x.dsc: has no fields: it is empty or not a Debian control file"},
		{"HTML", "<html>\n",
			`x.dsc:1: "<html>" is neither a field (Name: value) nor a continuation line`},
		{"two Source fields", dscText("Binary: hello", "Source: other\nBinary: hello"),
			"x.dsc:3: field Source: stands twice: on this line and on line 2"},
		{"two paragraphs", dscText() + "\nSource: other\n",
			"x.dsc:24: a second paragraph begins here; there must be one"},
		{"no Version", dscText("Version: 1:1.0-1\n", ""),
			"x.dsc: field Version: is missing, but mandatory"},
		{"empty Format", dscText("3.0 (quilt)", ""),
			"x.dsc:1: field Format: is empty, but mandatory"},
		{"no Files", dscText("Files:", "Lists:"), "x.dsc: field Files: is missing, but mandatory"},
		{"bad Source", dscText("Source: hello", "Source: ../hello"),
			`x.dsc:2: field Source: "../hello" is not the name of a package`},
		{"folded Source", dscText("Source: hello", "Source: hello\n there"),
			"x.dsc:2: field Source: has several lines, but must have one"},
		{"bad Version", dscText("Version: 1:1.0-1", "Version: 1/0"),
			`x.dsc:5: field Version: version "1/0": invalid character in version number`},
		{"bad Architecture", dscText("any all", "any ../x"),
			`x.dsc:4: field Architecture: "../x" is no architecture`},
		{"parent directory", dscText("hello_1.0.orig.tar.gz", "../hello_1.0.orig.tar.gz"),
			`field Files: the file name "../hello_1.0.orig.tar.gz" has a slash: files must lie beside the document`},
		{"absolute path", dscText("hello_1.0.orig.tar.gz", "/etc/passwd"),
			`field Files: the file name "/etc/passwd" has a slash: files must lie beside the document`},
		{"hidden file", dscText("hello_1.0.orig.tar.gz", ".bashrc"),
			`field Files: the file name ".bashrc" starts with '.'`},
		{"option", dscText("hello_1.0.orig.tar.gz", "-rf"),
			`field Files: the file name "-rf" starts with '-'`},
		{"glob", dscText("hello_1.0.orig.tar.gz", "hello_*"),
			`field Files: the file name "hello_*" has the character '*'`},
		{"of another package", dscText("hello_1.0.orig.tar.gz", "passwd_1.0.tar.gz"),
			"field Files: passwd_1.0.tar.gz does not belong to the source package hello: its " +
				"name must begin with hello_"},
		{"itself", dscText("hello_1.0.orig.tar.gz", "hello_1.0-1.dsc"),
			"field Files: hello_1.0-1.dsc lists itself"},
		{"bad hash", dscText(fmt.Sprintf("%x", md5.Sum([]byte("upstream"))), "abc"),
			`"abc" is not a hash of 32 hexadecimal digits`},
		{"bad size", dscText(" 8 hello", " -8 hello"), `"-8" is not a size in bytes`},
		{"sizes differ", strings.Replace(dscText(), " 8 hello", " 9 hello", 1),
			"field Checksums-Sha1: hello_1.0.orig.tar.gz has 9 bytes here, but 8 in Files"},
		{"a column too many", dscText(" 8 hello", " 8 8 hello"),
			"a line must have 3 columns, this has 4"},
		{"listed in Files only",
			strings.Replace(dscText(), fmt.Sprintf(" %x 8 hello_1.0.orig.tar.gz\n",
				sha256.Sum256([]byte("upstream"))), "", 1),
			"field Checksums-Sha256: hello_1.0.orig.tar.gz is missing, though Files lists it"},
		{"listed in Checksums only",
			strings.Replace(dscText(), fmt.Sprintf(" %x 8 hello_1.0.orig.tar.gz\n",
				md5.Sum([]byte("upstream"))), "", 1),
			"field Checksums-Sha1: hello_1.0.orig.tar.gz is not listed in Files"},
		{"listed twice", dscText() + fmt.Sprintf(" %x 8 hello_1.0.orig.tar.gz\n",
			md5.Sum([]byte("upstream"))),
			"x.dsc:23: field Files: hello_1.0.orig.tar.gz is listed twice"},
		{"broken relation", dscText("python3:any <!nocheck>", "python3 (>= 3"),
			`x.dsc:9: field Build-Depends: "(>= 3": the ) is missing`},
		{"alternative conflict", dscText("Build-Depends-Indep: doxygen", "Build-Conflicts: a | b"),
			`x.dsc:10: field Build-Conflicts: "a | b": alternatives have no meaning in conflicts`},
		{"Package-List", dscText(" hello deb devel optional arch=any", " hello deb"),
			`x.dsc:12: field Package-List: expected name, type, section and priority of a package, found "hello deb"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := Parse("x.dsc", strings.NewReader(tt.text), nil)
			if err == nil {
				t.Fatalf("taken as %+v", s)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v\nwant …%s", err, tt.want)
			}
			if fault.KindOf(err) != fault.GivenBack || fault.HintOf(err) == "" {
				t.Errorf("kind %v, hint %q", fault.KindOf(err), fault.HintOf(err))
			}
		})
	}
}

func TestVerifyErrors(t *testing.T) {
	s, err := Parse("hello_1.0-1.dsc", strings.NewReader(dscText()), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, content, want string }{
		{"missing", "",
			"hello_1.0-1.dsc:21: field Files: hello_1.0.orig.tar.gz is listed, but not there"},
		{"short", "up", "field Files: hello_1.0.orig.tar.gz: expected 8 bytes, found 2"},
		{"long", "upstream and more",
			"field Files: hello_1.0.orig.tar.gz: expected 8 bytes, found more"},
		{"changed", "UPSTREAM",
			fmt.Sprintf("field Files: hello_1.0.orig.tar.gz: expected MD5 %x, found %x",
				md5.Sum([]byte("upstream")), md5.Sum([]byte("UPSTREAM")))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := map[string]string{"hello_1.0-1.debian.tar.xz": "packaging"}
			if tt.content != "" {
				files["hello_1.0.orig.tar.gz"] = tt.content
			}
			err := s.Verify(opener(files))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v\nwant …%s", err, tt.want)
			}
			if fault.KindOf(err) != fault.GivenBack || fault.HintOf(err) == "" {
				t.Errorf("kind %v, hint %q", fault.KindOf(err), fault.HintOf(err))
			}
		})
	}
}

func TestPresent(t *testing.T) {
	s, err := Parse("hello_1.0-1.dsc", strings.NewReader(dscText()), nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("hello_1.0-1.debian.tar.xz", "packaging")
	if err := s.Present(dir); err == nil ||
		!strings.Contains(err.Error(),
			"hello_1.0-1.dsc:21: field Files: hello_1.0.orig.tar.gz is listed, but not there") {
		t.Error(err)
	}
	write("hello_1.0.orig.tar.gz", "up")
	if err := s.Present(dir); err == nil ||
		!strings.Contains(err.Error(),
			"field Files: hello_1.0.orig.tar.gz: expected 8 bytes, found 2") {
		t.Error(err)
	}
	write("hello_1.0.orig.tar.gz", "UPSTREAM") // what it contains is Verify's
	if err := s.Present(dir); err != nil {
		t.Error(err)
	}
}

// Each hash is checked by itself: a file that fits the weak one only is refused.
func TestCheckEveryHash(t *testing.T) {
	f := File{Name: "a", Size: 1, MD5: fmt.Sprintf("%x", md5.Sum([]byte("x"))),
		SHA256: fmt.Sprintf("%x", sha256.Sum256([]byte("y")))}
	err := f.Check(strings.NewReader("x"))
	if err == nil || !strings.Contains(err.Error(), "expected SHA256") {
		t.Error(err)
	}
}

func TestDir(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("a", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	open := Dir(dir)
	for _, name := range []string{"a", "link"} {
		r, err := open(name)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil || string(text) != "x" {
			t.Errorf("%s: %q, %v", name, text, err)
		}
		r.Close()
	}
	if _, err := open("b"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	for _, name := range []string{"pipe", "."} {
		if _, err := open(name); err == nil ||
			!strings.Contains(err.Error(), "not a regular file") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOpenMissing(t *testing.T) {
	_, err := Open(filepath.Join(t.TempDir(), "a_1.dsc"), nil)
	if !errors.Is(err, fs.ErrNotExist) || fault.KindOf(err) != fault.GivenBack {
		t.Error(err)
	}
}

func TestBuildsOn(t *testing.T) {
	for _, tt := range []struct {
		archs, host string
		any, all    bool
		want        bool
	}{
		{"any", "amd64", true, true, true}, {"any all", "amd64", true, false, true},
		{"all", "amd64", true, true, true}, {"all", "amd64", true, false, false},
		{"s390x", "amd64", true, true, false}, {"s390x", "s390x", true, true, true},
		{"linux-any", "amd64", true, true, true}, {"linux-any", "hurd-amd64", true, true, false},
		{"s390x all", "amd64", true, true, true}, {"s390x all", "amd64", true, false, false},
		{"any-i386 arm64", "i386", true, true, true},
	} {
		s := Source{Architecture: strings.Fields(tt.archs)}
		if got := s.BuildsOn(Context{BuildArch: tt.host, HostArch: tt.host, ArchAny: tt.any,
			ArchAll: tt.all}); got != tt.want {
			t.Errorf("Architecture: %s on %s (any %v, all %v): %v", tt.archs, tt.host, tt.any,
				tt.all, got)
		}
	}
	s := Source{Architecture: []string{"all", "linux-any"}}
	if !s.HasArch("all") || !s.HasArch("amd64") || s.HasArch("hurd-i386") {
		t.Error("HasArch")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(dscText()))
	f.Add([]byte("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n" + dscText() +
		"-----BEGIN PGP SIGNATURE-----\n\niQ==\n-----END PGP SIGNATURE-----\n"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		s, err := Parse("x.dsc", bytes.NewReader(doc), nil)
		if err != nil {
			return
		}
		for _, file := range s.Files {
			if filepath.Base(file.Name) != file.Name || strings.HasPrefix(file.Name, ".") ||
				file.Size < 0 {
				t.Fatalf("file %q", file.Name)
			}
		}
	})
}
