package lock

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"nsbuild/internal/fault"
)

const head = `# Written by nsbuild create --lock: the exact packages of a base, which nsbuild create --locked makes again.
# The format is explained in nsbuild's docs/bases.md.
`

// Write writes the file. The same packages always give the same bytes.
func (f *File) Write(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "%sformat = %d\nsuite = %s\narchitecture = %s\nvariant = %s\n", head, Format, quote(f.Suite), quote(f.Arch), quote(f.Variant))
	for _, l := range []struct {
		key  string
		list []string
	}{{"layout", f.Layout}, {"include", f.Include}, {"exclude", f.Exclude}, {"components", f.Components}, {"mirror", f.Mirror}} {
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
		fmt.Fprintf(b, "  { name = %s, version = %s, architecture = %s, %ssize = %d, sha256 = %s, file = %s },\n",
			quote(p.Name), quote(p.Version), quote(p.Arch), required, p.Size, quote(p.SHA256), quote(p.File))
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

// Draft is a lock file that is not complete yet: it gets its name at the end, with Commit.
type Draft struct {
	name string
	f    *os.File // nil while nothing is written
}

// Begin tries whether the file can be written, so that a place where it cannot is noticed first. Until there is something to write, nothing stays beside it, however this process ends.
func Begin(name string) (*Draft, error) {
	const hint = "give the name of a file in a directory that you may write to"
	if fi, err := os.Stat(name); err == nil && !fi.Mode().IsRegular() {
		return nil, fault.New(fault.Usage, hint, "writing the lock: %s is no ordinary file", name)
	}
	d := &Draft{name: name}
	err := d.create()
	if err == nil {
		err = d.Discard()
	}
	if err != nil {
		return nil, fault.Wrap(fault.Usage, hint, fmt.Errorf("writing the lock: %w", err))
	}
	return d, nil
}

// part is what the file is called while it is written: always the same, so that the next run deletes what one that was killed has left.
func (d *Draft) part() string {
	return filepath.Join(filepath.Dir(d.name), "."+filepath.Base(d.name)+".part")
}

func (d *Draft) create() error {
	if err := os.Remove(d.part()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(d.part(), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	d.f = f
	return nil
}

// Write fills the draft.
func (d *Draft) Write(f *File) error {
	err := d.create()
	if err == nil {
		err = f.Write(d.f)
	}
	if err != nil {
		return fmt.Errorf("writing the lock: %w", err)
	}
	return nil
}

// Commit gives the draft its name, in the place of a file that has it.
func (d *Draft) Commit() error {
	if d.f == nil {
		return fmt.Errorf("writing the lock: nothing was written to %s", d.name)
	}
	err := d.f.Close()
	if err == nil {
		err = os.Rename(d.f.Name(), d.name)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing the lock: %w", err), os.Remove(d.f.Name()))
	}
	return nil
}

// Discard deletes the draft.
func (d *Draft) Discard() error {
	if d.f == nil {
		return nil
	}
	f := d.f
	d.f = nil
	return errors.Join(f.Close(), os.Remove(f.Name()))
}
