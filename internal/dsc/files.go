package dsc

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"nsbuild/internal/fault"
)

// File is a file that a document lists, with what it promises about it. Name is safe to open
// beneath a directory: it has no slash, no control character, and does not start with a dot.
type File struct {
	Name string
	Size int64 // bytes
	// hexadecimal, lower case, "" when the document has none; the same for the next three
	MD5      string
	SHA1     string
	SHA256   string
	SHA512   string
	Section  string // of a .changes only
	Priority string // of a .changes only
	line     int    // where the document lists it first
}

// Opener opens a listed file for reading. A file that is not there is fs.ErrNotExist.
type Opener func(name string) (io.ReadCloser, error)

// Dir opens files of a directory: regular ones only, also behind a symbolic link, since it is the
// caller's own directory.
func Dir(dir string) Opener {
	return func(name string) (io.ReadCloser, error) {
		// Without O_NONBLOCK the open of a named pipe would wait for a writer.
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			return nil, err
		}
		st, err := f.Stat()
		if err == nil && !st.Mode().IsRegular() {
			err = fmt.Errorf("%s is not a regular file", filepath.Join(dir, name))
		}
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		return f, nil
	}
}

// digests are the hashes of a listed file, strongest last.
func (f *File) digests() []struct {
	name, want string
	new        func() hash.Hash
} {
	return []struct {
		name, want string
		new        func() hash.Hash
	}{{"MD5", f.MD5, md5.New}, {"SHA1", f.SHA1, sha1.New}, {"SHA256", f.SHA256, sha256.New},
		{"SHA512", f.SHA512, sha512.New}}
}

// Check reads r to its end and compares what it read with the promised size and with every promised
// hash. To copy a file while checking it, give an io.TeeReader; what was copied is not to be used
// when Check fails.
func (f *File) Check(r io.Reader) error {
	var (
		sums  = map[string]hash.Hash{}
		sinks []io.Writer
	)
	for _, d := range f.digests() {
		if d.want != "" {
			sums[d.name] = d.new()
			sinks = append(sinks, sums[d.name])
		}
	}
	// One byte more than promised is enough to know that it is too long.
	n, err := io.Copy(io.MultiWriter(sinks...), io.LimitReader(r, f.Size+1))
	if err != nil {
		return fmt.Errorf("reading %s: %w", f.Name, err)
	}
	if n > f.Size {
		return fmt.Errorf("%s: expected %d bytes, found more", f.Name, f.Size)
	}
	if n < f.Size {
		return fmt.Errorf("%s: expected %d bytes, found %d", f.Name, f.Size, n)
	}
	for _, d := range f.digests() {
		if d.want == "" {
			continue
		}
		if got := hex.EncodeToString(sums[d.name].Sum(nil)); got != d.want {
			return fmt.Errorf("%s: expected %s %s, found %s", f.Name, d.name, d.want, got)
		}
	}
	return nil
}

// verifyFiles checks every file of a document.
func verifyFiles(kind fault.Kind, hint, doc, field string, files []File,
	check func(*File) error) error {
	for i := range files {
		f := &files[i]
		if err := check(f); err != nil {
			reason := err.Error()
			if errors.Is(err, fs.ErrNotExist) {
				reason = f.Name + " is listed, but not there"
			}
			return fault.Wrap(kind, hint, &Error{File: doc, Line: f.line, Field: field,
				Reason: reason})
		}
	}
	return nil
}

// checkContents checks a file's size and hashes.
func checkContents(open Opener) func(*File) error {
	return func(f *File) error {
		r, err := open(f.Name)
		if err != nil {
			return err
		}
		defer r.Close()
		return f.Check(r)
	}
}

// checkSizes checks that a file is there and as long as promised.
func checkSizes(dir string) func(*File) error {
	return func(f *File) error {
		st, err := os.Stat(filepath.Join(dir, f.Name))
		switch {
		case err != nil:
			return err
		case !st.Mode().IsRegular():
			return fmt.Errorf("%s is not a regular file", filepath.Join(dir, f.Name))
		case st.Size() != f.Size:
			return fmt.Errorf("%s: expected %d bytes, found %d", f.Name, f.Size, st.Size())
		}
		return nil
	}
}

// checkFileName refuses names that could be anything but a plain file beside the document.
func checkFileName(name string) error {
	switch {
	case name == "":
		return errors.New("a file without a name")
	case strings.Contains(name, "/"):
		return fmt.Errorf("the file name %s has a slash: files must lie beside the document",
			quote(name))
	case !isAlnum(name[0]):
		return fmt.Errorf("the file name %s starts with %q", quote(name), name[0])
	case len(name) > 255:
		return fmt.Errorf("the file name %s is longer than 255 bytes", quote(name))
	}
	for i := range len(name) {
		if c := name[i]; !isNameByte(c) && strings.IndexByte("_~:%@=,", c) < 0 {
			return fmt.Errorf("the file name %s has the character %q", quote(name), c)
		}
	}
	return nil
}

// checksumFields are the fields that list files, and where their hash goes; hexLen is its length in
// characters.
var checksumFields = []struct {
	name   string
	hexLen int
	to     func(*File) *string
}{
	{"Files", 32, func(f *File) *string { return &f.MD5 }},
	{"Checksums-Md5", 32, func(f *File) *string { return &f.MD5 }},
	{"Checksums-Sha1", 40, func(f *File) *string { return &f.SHA1 }},
	{"Checksums-Sha256", 64, func(f *File) *string { return &f.SHA256 }},
	{"Checksums-Sha512", 128, func(f *File) *string { return &f.SHA512 }},
}

// files reads Files and Checksums-*. Each field that is there must list the same files with the
// same sizes: otherwise the strongest hash would not cover all of them. changes says that lines of
// Files have section and priority.
func (p *Paragraph) files(changes bool) ([]File, error) {
	var (
		out   []File
		index = map[string]int{}
		first *Field
	)
	for _, cf := range checksumFields {
		field := p.Field(cf.name)
		if field == nil {
			continue
		}
		if first == nil {
			first = field
		}
		seen, pos := map[string]bool{}, 0
		for line := range strings.Lines(field.Value) {
			at := pos
			pos += len(line)
			cols := strings.Fields(line)
			if len(cols) == 0 {
				continue
			}
			want := 3
			if changes && cf.name == "Files" {
				want = 5
			}
			if len(cols) != want {
				return nil, p.errorf(field, at, "a line must have %d columns, this has %d: %s",
					want, len(cols), quote(strings.TrimSpace(line)))
			}
			name := cols[want-1]
			if err := checkFileName(name); err != nil {
				return nil, p.errorf(field, at, "%v", err)
			}
			if seen[name] {
				return nil, p.errorf(field, at, "%s is listed twice", name)
			}
			seen[name] = true
			sum := strings.ToLower(cols[0])
			if len(sum) != cf.hexLen || strings.Trim(sum, "0123456789abcdef") != "" {
				return nil, p.errorf(field, at, "%s is not a hash of %d hexadecimal digits",
					quote(cols[0]), cf.hexLen)
			}
			size, err := strconv.ParseInt(cols[1], 10, 64)
			if err != nil || size < 0 || cols[1][0] == '+' {
				return nil, p.errorf(field, at, "%s is not a size in bytes", quote(cols[1]))
			}
			i, known := index[name]
			switch {
			case !known && field != first:
				return nil, p.errorf(field, at, "%s is not listed in %s", name, first.Name)
			case !known:
				i = len(out)
				index[name] = i
				out = append(out, File{Name: name, Size: size, line: field.lineOf(at)})
				if want == 5 {
					out[i].Section, out[i].Priority = cols[2], cols[3]
				}
			case out[i].Size != size:
				return nil, p.errorf(field, at, "%s has %d bytes here, but %d in %s", name, size,
					out[i].Size, first.Name)
			}
			if to := cf.to(&out[i]); *to != "" && *to != sum {
				return nil, p.errorf(field, at, "%s has another hash here than in %s", name,
					first.Name)
			} else {
				*to = sum
			}
		}
		for _, f := range out {
			if !seen[f.Name] {
				return nil, p.errorf(field, 0, "%s is missing, though %s lists it", f.Name,
					first.Name)
			}
		}
	}
	return out, nil
}
