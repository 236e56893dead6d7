package lock

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"nsbuild/internal/fault"
	"nsbuild/internal/flock"
)

const head = `# Written by nsbuild create --lock: the exact packages of a base, which nsbuild create --locked makes again.
# The format is explained in nsbuild's docs/bases.md.
`

// Write writes the file. The same packages always give the same bytes.
func (f *File) Write(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "%sformat = %d\nsuite = %s\narchitecture = %s\nvariant = %s\n", head, Format,
		quote(f.Suite), quote(f.Arch), quote(f.Variant))
	for _, l := range []struct {
		key  string
		list []string
	}{{"layout", f.Layout}, {"include", f.Include}, {"exclude", f.Exclude},
		{"components", f.Components}, {"mirror", f.Mirror}} {
		if len(l.list) > 0 {
			fmt.Fprintf(b, "%s = %s\n", l.key, quoteAll(l.list))
		}
	}
	if f.Keyring != "" {
		fmt.Fprintf(b, "keyring = %s\n", quote(f.Keyring))
	}
	if f.Unverified {
		fmt.Fprint(b, "unverified = true\n")
	}
	fmt.Fprintf(b, "epoch = %s\n", f.Epoch.UTC().Format(time.RFC3339))
	for _, r := range f.Repositories {
		r.write(b)
	}
	return b.Flush()
}

func (r Repository) write(b *bufio.Writer) {
	fmt.Fprintf(b, "\n[[repository]]\nuri = %s\nsuite = %s\n", quote(r.URI), quote(r.Suite))
	if len(r.Components) > 0 {
		fmt.Fprintf(b, "components = %s\n", quoteAll(r.Components))
	}
	if !r.Date.IsZero() {
		fmt.Fprintf(b, "date = %s\n", r.Date.UTC().Format(time.RFC3339))
	}
	if r.SHA256 != "" {
		fmt.Fprintf(b, "sha256 = %s\n", quote(r.SHA256))
	}
	if len(r.Keys) > 0 {
		fmt.Fprintf(b, "keys = %s\n", quoteAll(r.Keys))
	}
	if len(r.Packages) == 0 {
		return
	}
	fmt.Fprint(b, "packages = [\n")
	for _, p := range r.Packages {
		required := ""
		if p.Required {
			required = "required = true, "
		}
		fmt.Fprintf(b, "  { name = %s, version = %s, architecture = %s, %ssize = %d, sha256 = "+
			"%s, file = %s },\n",
			quote(p.Name), quote(p.Version), quote(p.Arch), required, p.Size, quote(p.SHA256),
			quote(p.File))
	}
	fmt.Fprint(b, "]\n")
}

// quote makes a basic string of TOML.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteString(`\` + string(r))
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func quoteAll(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = quote(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// Draft is a lock file that is to be: nothing of it is on disk before Commit.
type Draft struct {
	name string
	text []byte
}

// Begin tries whether the file can be written, so that a place where it cannot is noticed first. It
// deletes what one that was killed in Commit has left there.
func Begin(name string) (*Draft, error) {
	const hint = "give the name of a file in a directory that you may write to"
	if fi, err := os.Stat(name); err == nil && !fi.Mode().IsRegular() {
		return nil, fault.New(fault.Usage, hint, "writing the lock: %s is no ordinary file", name)
	}
	d := &Draft{name: name}
	f, err := d.create()
	if err == nil {
		err = errors.Join(os.Remove(f.Name()), f.Close(), d.sweep())
	}
	if err != nil {
		return nil, fault.Wrap(fault.Usage, hint, fmt.Errorf("writing the lock: %w", err))
	}
	return d, nil
}

// prefix is what the names of files on their way begin with.
func (d *Draft) prefix() string { return "." + filepath.Base(d.name) + "-" }

// create makes a file beside the one that it is to become. It stays locked while it is open, so
// that sweep leaves it alone.
func (d *Draft) create() (*os.File, error) {
	f, err := os.CreateTemp(filepath.Dir(d.name), d.prefix())
	if err != nil {
		return nil, err
	}
	if err := errors.Join(flock.Wait(f, flock.Exclusive), f.Chmod(0o644)); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return f, nil
}

// sweep deletes such files when nobody writes them any more.
func (d *Draft) sweep() error {
	entries, err := os.ReadDir(filepath.Dir(d.name))
	if err != nil {
		return err
	}
	for _, e := range entries {
		random, found := strings.CutPrefix(e.Name(), d.prefix())
		if _, err := strconv.ParseUint(random, 10, 64); !found || err != nil ||
			!e.Type().IsRegular() {
			continue
		}
		left := filepath.Join(filepath.Dir(d.name), e.Name())
		f, err := flock.Open(left, os.O_RDWR|syscall.O_NOFOLLOW, flock.Exclusive)
		if err != nil { // somebody's who still writes it, or another user's
			continue
		}
		if err := errors.Join(os.Remove(left), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// Write says what the file is to hold.
func (d *Draft) Write(f *File) error {
	var b bytes.Buffer
	if err := f.Write(&b); err != nil {
		return fmt.Errorf("writing the lock: %w", err)
	}
	d.text = b.Bytes()
	return nil
}

// Commit writes the file whole, in the place of one that has its name.
func (d *Draft) Commit() error {
	f, err := d.create()
	if err == nil {
		_, err = f.Write(d.text)
		err = errors.Join(err, f.Close())
		if err == nil {
			err = os.Rename(f.Name(), d.name)
		}
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}
	if err != nil {
		return fmt.Errorf("writing the lock: %w", err)
	}
	return nil
}
