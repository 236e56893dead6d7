package programs

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"nsbuild/internal/fakejail"
)

// host is where a file lies outside of the jail. What is mounted has no such place.
func host(p *fakejail.Proc, name string) string {
	if !path.IsAbs(name) {
		name = path.Join("/", p.Dir, name)
	}
	return filepath.Join(p.Jail().Root(), name)
}

// option is the value of an option that has one, "" when it is not given.
func option(argv []string, name string) string {
	if i := slices.Index(argv, name); i >= 0 && i+1 < len(argv) {
		return argv[i+1]
	}
	return ""
}

// tarProgram packs a directory to standard output, or unpacks standard input.
func tarProgram(p *fakejail.Proc) error {
	dir := host(p, option(p.Argv, "-C"))
	for _, arg := range p.Argv {
		switch arg {
		case "-cf":
			return pack(dir, p.Stdout)
		case "-xpf":
			return unpackSource(p.Stdin, dir, 0)
		}
	}
	return fmt.Errorf("%q: neither -cf nor -xpf", p.Argv)
}

func pack(dir string, to io.Writer) error {
	out := tar.NewWriter(to)
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		link := ""
		if st.Mode()&fs.ModeSymlink != 0 {
			if link, err = os.Readlink(name); err != nil {
				return err
			}
		}
		h, err := tar.FileInfoHeader(st, link)
		if err != nil {
			return err
		}
		h.Name, h.Uid, h.Gid, h.Uname, h.Gname = "./"+rel, 0, 0, "", ""
		if err := out.WriteHeader(h); err != nil || !st.Mode().IsRegular() {
			return err
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, f)
		return errors.Join(err, f.Close())
	})
	return errors.Join(err, out.Close())
}

// unpackSource unpacks an archive, without the first directories of its names.
func unpackSource(from io.Reader, dir string, strip int) error {
	in := tar.NewReader(from)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			_, err = io.Copy(io.Discard, from) // or the writer of a pipe waits
			return err
		}
		if err != nil {
			return err
		}
		parts := strings.Split(path.Clean(h.Name), "/")
		if len(parts) <= strip {
			continue
		}
		to := filepath.Join(dir, filepath.Join(parts[strip:]...))
		if err := unpackOne(in, h, to); err != nil {
			return err
		}
	}
}

func unpackOne(in io.Reader, h *tar.Header, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return os.MkdirAll(to, 0o755)
	case tar.TypeSymlink:
		return os.Symlink(h.Linkname, to)
	}
	f, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, fs.FileMode(h.Mode)&0o777)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, in)
	return errors.Join(err, f.Close())
}

// find is find DIR -mindepth 1 -delete.
func find(p *fakejail.Proc) error {
	dir := host(p, p.Argv[1])
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

// remove is rm.
func remove(p *fakejail.Proc) (err error) {
	for _, name := range p.Argv[1:] {
		if !strings.HasPrefix(name, "-") {
			err = errors.Join(err, os.RemoveAll(host(p, name)))
		}
	}
	return err
}

// du prints what a directory takes, in KiB.
func du(p *fakejail.Proc) error {
	name := p.Argv[len(p.Argv)-1]
	var size int64
	err := filepath.WalkDir(host(p, name), func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := d.Info()
		if err == nil {
			size += (st.Size() + 1023) / 1024
		}
		return err
	})
	p.Printf("%d\t%s\n", size, name)
	return err
}

// prependEntry puts a file above debian/changelog.
func prependEntry(p *fakejail.Proc) error {
	file := p.Argv[len(p.Argv)-1]
	entry, err := p.ReadFile(file)
	if err != nil {
		return err
	}
	old, err := p.ReadFile("debian/changelog")
	if err != nil {
		return err
	}
	return errors.Join(p.WriteFile("debian/changelog", string(entry)+string(old), 0o644),
		p.Remove(file))
}

// listFiles lists the files of the root with their kinds, as a find with -printf does.
func listFiles(p *fakejail.Proc) error {
	top := p.Jail().Root()
	left := []string{"proc", "sys", "dev", "run", "tmp", "build", "var/cache", "var/lib/dpkg",
		"var/lib/apt", "var/log"}
	return filepath.WalkDir(top, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == top {
			return err
		}
		rel, err := filepath.Rel(top, name)
		if err != nil {
			return err
		}
		if slices.Contains(left, rel) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		is := fmt.Sprintf("%v 0:0", st.Mode())
		if st.Mode().IsRegular() {
			is = fmt.Sprintf("file %o 0:0 %d bytes", st.Mode().Perm(), st.Size())
		}
		p.Printf("/%s\x00%s\x00", rel, is)
		return nil
	})
}

// prepareRoot copies the base for piuparts, with the list of sources that it gets.
func prepareRoot(p *fakejail.Proc) error {
	names, err := p.ReadDir("base")
	if err == nil && len(names) == 0 {
		err = errors.New("the base has no file")
	}
	if err != nil {
		return err
	}
	return p.WriteFile("root/etc/apt/sources.list", p.Argv[len(p.Argv)-2], 0o644)
}
