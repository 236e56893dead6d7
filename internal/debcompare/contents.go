package debcompare

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"time"

	"nsbuild/internal/deb"
	"nsbuild/internal/regular"
)

// Bounds of what is read of one package.
const (
	maxEntries  = 1 << 20   // names
	maxNames    = 256 << 20 // bytes of all of them, and of the targets of links
	maxUnpacked = 16 << 30  // bytes of data.tar
	maxContent  = 4 << 20   // bytes of one file whose content is looked into
	maxContents = 128 << 20 // bytes of all of them
)

// contents is a package as it is compared.
type contents struct {
	file    string
	members []string // by their names, in their order
	control []deb.ControlFile
	order   []string // of the paths in data.tar
	entries map[string]entry
}

// entry is a name in data.tar.
type entry struct {
	kind         byte // of tar
	mode         int64
	owner, group string // names, with numbers
	size         int64
	time         time.Time
	target       string
	sum          [sha256.Size]byte
}

// open opens a package.
func open(ctx context.Context, file string) (*deb.Reader, io.Closer, error) {
	f, err := regular.Open(file)
	if err != nil {
		return nil, nil, err
	}
	r, err := deb.NewReader(f, deb.Limits{Data: maxUnpacked, Stopped: ctx.Err})
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%s: %w", file, err), f.Close())
	}
	return r, f, nil
}

// read reads a package.
func read(ctx context.Context, file string) (*contents, error) {
	c := &contents{file: file, entries: map[string]entry{}}
	r, f, err := open(ctx, file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	defer r.Close()
	c.control = r.Control()
	names := 0
	err = eachFile(r, func(h *tar.Header, name string, body io.Reader) error {
		sum := sha256.New()
		if _, err := io.Copy(sum, body); err != nil {
			return err
		}
		names += len(name) + len(h.Linkname) + len(h.Uname) + len(h.Gname)
		if len(c.order) >= maxEntries || names > maxNames {
			return fmt.Errorf("it has more than %d names, or longer ones than %d bytes together",
				maxEntries, maxNames)
		}
		e := entry{kind: h.Typeflag, mode: h.Mode & 0o7777, size: h.Size, time: h.ModTime.UTC(),
			owner:  h.Uname + "(" + strconv.Itoa(h.Uid) + ")",
			group:  h.Gname + "(" + strconv.Itoa(h.Gid) + ")",
			target: targetOf(h), sum: [sha256.Size]byte(sum.Sum(nil))}
		c.order = append(c.order, name)
		c.entries[name] = e
		return nil
	})
	c.members = r.Members()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return c, nil
}

// targetOf is what a name leads to: another name, or a device.
func targetOf(h *tar.Header) string {
	if h.Typeflag == tar.TypeChar || h.Typeflag == tar.TypeBlock {
		return fmt.Sprintf("device %d:%d", h.Devmajor, h.Devminor)
	}
	return h.Linkname
}

// installed is the size of all files, in bytes.
func (c *contents) installed() (n int64) {
	for _, e := range c.entries {
		if e.kind == tar.TypeReg {
			n += e.size
		}
	}
	return n
}

// controlFile is the text of a control member; "" of one that is not there.
func (c *contents) controlFile(name string) string {
	for _, f := range c.control {
		if f.Name == name {
			return string(f.Body)
		}
	}
	return ""
}

// eachFile goes through data.tar.
func eachFile(r *deb.Reader, fn func(h *tar.Header, name string, body io.Reader) error) error {
	data, err := r.Data()
	if err != nil {
		return err
	}
	for {
		h, err := data.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := fn(h, path.Clean("/"+h.Name), data); err != nil {
			return err
		}
	}
}

// load reads the contents of some files, as far as they are not too large.
func load(ctx context.Context, file string, wanted map[string]bool) (map[string][]byte, error) {
	out := map[string][]byte{}
	left := int64(maxContents)
	return out, visit(ctx, file, func(h *tar.Header, name string, body io.Reader) (err error) {
		if !wanted[name] || h.Size > maxContent || h.Size > left {
			return nil
		}
		left -= h.Size
		out[name], err = io.ReadAll(body)
		return err
	})
}

// visit goes through the files of a package.
func visit(ctx context.Context, file string,
	fn func(h *tar.Header, name string, body io.Reader) error) error {
	r, f, err := open(ctx, file)
	if err != nil {
		return err
	}
	defer f.Close()
	defer r.Close()
	if err := eachFile(r, fn); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

// field is a field of a control file, with its lines joined.
type field struct{ name, value string }

// fields are those of a control file, in their order.
func fields(text []byte) (all []field) {
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		name, value, ok := strings.Cut(line, ":")
		switch {
		case strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t"):
			if len(all) > 0 {
				all[len(all)-1].value += "\n" + line[1:]
			}
		case ok:
			all = append(all, field{name, strings.TrimSpace(value)})
		}
	}
	return all
}

// get is the value of a field.
func get(all []field, name string) string {
	for _, f := range all {
		if strings.EqualFold(f.name, name) {
			return f.value
		}
	}
	return ""
}
