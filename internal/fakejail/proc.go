package fakejail

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"nsbuild/internal/sandbox"
)

// Program is what a command runs. It ends when its context does.
type Program func(ctx context.Context, p *Proc) sandbox.Status

// Exit is the status of a program that exits.
func Exit(code int) sandbox.Status { return sandbox.Status{Code: code} }

// Prints is a program that prints a text and exits.
func Prints(text string, code int) Program {
	return func(_ context.Context, p *Proc) sandbox.Status {
		p.Printf("%s", text)
		return Exit(code)
	}
}

// Proc is a program that runs: its command, with where it reads and writes, and the jail's files as
// it sees them. Links are followed as in a jail, mounts are seen.
type Proc struct {
	sandbox.Command
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Files          []*os.File // from descriptor 3 on

	jail *Jail
	own  []*os.File // to be closed
}

// open duplicates the command's descriptors, as the caller may close its own.
func (p *Proc) open(stdout, stderr io.Writer) error {
	dup := func(f *os.File) (*os.File, error) {
		if f == nil {
			return nil, nil
		}
		fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		d := os.NewFile(uintptr(fd), f.Name())
		p.own = append(p.own, d)
		return d, nil
	}
	p.Stdin, p.Stdout, p.Stderr = strings.NewReader(""), io.Discard, io.Discard
	in, err := dup(p.Command.Stdin)
	if in != nil {
		p.Stdin = in
	}
	for _, w := range []struct {
		to    *io.Writer
		given io.Writer
		file  *os.File
	}{{&p.Stdout, stdout, p.Command.Stdout}, {&p.Stderr, stderr, p.Command.Stderr}} {
		if w.given != nil {
			*w.to = w.given
			continue
		}
		f, dupErr := dup(w.file)
		if f != nil {
			*w.to = f
		}
		err = errors.Join(err, dupErr)
	}
	for _, f := range p.Command.Files {
		d, dupErr := dup(f)
		p.Files = append(p.Files, d)
		err = errors.Join(err, dupErr)
	}
	if err != nil {
		p.close()
	}
	return err
}

func (p *Proc) close() {
	for _, f := range p.own {
		_ = f.Close() // what a program writes it looks at itself
	}
}

// Jail is where it runs.
func (p *Proc) Jail() *Jail { return p.jail }

// Exec runs another program of the jail in the place of this one.
func (p *Proc) Exec(ctx context.Context, argv ...string) sandbox.Status {
	other := *p
	other.Argv, other.Applet = argv, ""
	run, err := p.jail.h.maker.program(other.Command)
	if err != nil {
		_, _ = fmt.Fprintf(p.Stderr, "%s: not found\n", argv[0]) // as Fail
		return Exit(127)
	}
	return run(ctx, &other)
}

// Getenv is a variable of its environment; "" without one.
func (p *Proc) Getenv(name string) string {
	for _, v := range p.Env {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return ""
}

// Printf prints to standard output. A reader that is gone is no matter of a test.
func (p *Proc) Printf(format string, args ...any) { _, _ = fmt.Fprintf(p.Stdout, format, args...) }

// Fail prints an error to standard error, and is the status 1.
func (p *Proc) Fail(err error) sandbox.Status {
	_, _ = fmt.Fprintf(p.Stderr, "%v\n", err)
	return Exit(1)
}

// path is a name as the program means it, in its directory.
func (p *Proc) path(name string) string {
	if path.IsAbs(name) {
		return name
	}
	return path.Join("/", p.Dir, name)
}

// ReadFile reads a file of the jail.
func (p *Proc) ReadFile(name string) ([]byte, error) {
	file, _, err := p.jail.locate(p.path(name), followAll)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(file)
	return text, inside("open", name, err)
}

// ReadDir lists a directory of the jail.
func (p *Proc) ReadDir(name string) ([]fs.DirEntry, error) {
	file, _, err := p.jail.locate(p.path(name), followAll)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(file)
	return entries, inside("open", name, err)
}

// WriteFile writes a file of the jail, with the directories above it.
func (p *Proc) WriteFile(name, text string, mode os.FileMode) error {
	if err := p.MkdirAll(path.Dir(p.path(name))); err != nil {
		return err
	}
	file, err := p.jail.writable("open", p.path(name), followAll)
	if err == nil {
		err = inside("open", name, os.WriteFile(file, []byte(text), mode))
	}
	if err == nil {
		err = inside("chmod", name, os.Chmod(file, mode))
	}
	return err
}

// MkdirAll makes a directory of the jail, with those above it.
func (p *Proc) MkdirAll(name string) error {
	name = p.path(name)
	if parent := path.Dir(name); parent != "/" {
		if err := p.MkdirAll(parent); err != nil {
			return err
		}
	}
	file, _, err := p.jail.locate(name, followAll)
	if err != nil {
		return err
	}
	if st, err := os.Stat(file); err == nil && st.IsDir() {
		return nil
	}
	if file, err = p.jail.writable("mkdir", name, followAll); err == nil {
		err = inside("mkdir", name, os.Mkdir(file, 0o755))
	}
	return err
}

// Remove deletes a file or a directory of the jail, with all in it. One that is not there is no
// error.
func (p *Proc) Remove(name string) error {
	file, err := p.jail.writable("remove", p.path(name), followAllBut)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = inside("remove", name, os.RemoveAll(file))
	}
	return err
}

// Symlink makes a symbolic link in the jail, with the directories above it.
func (p *Proc) Symlink(target, name string) error {
	if err := p.MkdirAll(path.Dir(p.path(name))); err != nil {
		return err
	}
	file, err := p.jail.writable("symlink", p.path(name), followAllBut)
	if err == nil {
		err = inside("symlink", name, os.Symlink(target, file))
	}
	return err
}
