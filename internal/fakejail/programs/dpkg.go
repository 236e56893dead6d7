package programs

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"nsbuild/internal/deb"
	"nsbuild/internal/fakejail"
	"nsbuild/internal/sandbox"
)

// refused is a failure that was told of already.
var errRefused = errors.New("it was told")

// dpkg does what nsbuild has dpkg do.
func (s *System) dpkg(_ context.Context, p *fakejail.Proc) sandbox.Status {
	args := slices.DeleteFunc(slices.Clone(p.Argv[1:]), func(a string) bool {
		return strings.HasPrefix(a, "--force-") || a == "-a"
	})
	err := errors.New("dpkg: error: need an action option")
	if len(args) > 0 {
		switch rest := args[1:]; args[0] {
		case "--add-architecture":
			err = p.WriteFile("/var/lib/dpkg/arch", strings.Join(rest, "\n")+"\n", 0o644)
		case "--purge", "--remove":
			err = s.purge(p, rest)
		case "--audit":
			err = nil
		case "-L":
			err = list(p, rest)
		case "--unpack":
			err = s.unpackFiles(p, "", rest)
		case "--install":
			if err = s.unpackFiles(p, "", rest); err == nil {
				err = s.configure(p)
			}
		case "--configure":
			err = s.configure(p)
		default:
			err = fmt.Errorf("dpkg: error: unknown option %s", args[0])
		}
	}
	if err == nil {
		return fakejail.Exit(0)
	}
	if !errors.Is(err, errRefused) {
		return p.Fail(err)
	}
	return fakejail.Exit(1)
}

// list prints the files of packages.
func list(p *fakejail.Proc, names []string) error {
	for _, name := range names {
		text, err := p.ReadFile("/var/lib/dpkg/info/" + name + ".list")
		if err != nil {
			return fmt.Errorf("dpkg-query: package '%s' is not installed", name)
		}
		p.Printf("%s", text)
	}
	return nil
}

// purge forgets packages, and deletes their files: there is no difference between removing and
// purging.
func (s *System) purge(p *fakejail.Proc, names []string) error {
	all, err := readStatus(p)
	if err != nil {
		return err
	}
	for _, name := range names {
		at := slices.IndexFunc(all, func(q paragraph) bool { return q["Package"] == name })
		if at < 0 {
			p.Printf("dpkg: warning: ignoring request to remove %s which isn't installed\n", name)
			continue
		}
		p.Printf("Removing %s ...\n", name)
		info := "/var/lib/dpkg/info/" + name
		list, err := p.ReadFile(info + ".list")
		if err != nil {
			return err
		}
		if err := removeFiles(p, strings.Split(strings.TrimSpace(string(list)), "\n")); err != nil {
			return err
		}
		if text, err := p.ReadFile(info + ".postrm"); err == nil {
			if status := s.run(p, name, "postrm", string(text)); status != 0 {
				p.Printf("dpkg: error processing package %s (--purge):\n installed %s package "+
					"post-removal script subprocess returned error exit status %d\n", name, name,
					status)
				return errors.Join(errRefused, writeStatus(p, all))
			}
		}
		for _, end := range []string{".list", ".preinst", ".postinst", ".prerm", ".postrm"} {
			if err := p.Remove(info + end); err != nil {
				return err
			}
		}
		all = slices.Delete(all, at, at+1)
	}
	return writeStatus(p, all)
}

// removeFiles deletes files, and those directories that are empty then.
func removeFiles(p *fakejail.Proc, names []string) error {
	slices.Sort(names)
	for _, name := range slices.Backward(names) {
		if entries, err := p.ReadDir(name); err == nil && len(entries) > 0 {
			continue
		}
		if err := p.Remove(name); err != nil {
			return err
		}
	}
	return nil
}

// unpackFiles unpacks packages below a directory of the jail.
func (s *System) unpackFiles(p *fakejail.Proc, tree string, files []string) error {
	for _, file := range files {
		body, err := p.ReadFile(file)
		if err != nil {
			return fmt.Errorf("dpkg: error: cannot access archive '%s': %w", file, err)
		}
		if _, err := s.unpackDeb(p, tree, body, true); err != nil {
			return err
		}
	}
	return nil
}

// unpackDeb unpacks a package, and notes it in dpkg's database where that is wanted.
func (s *System) unpackDeb(p *fakejail.Proc, tree string, body []byte, noted bool) (paragraph,
	error) {
	r, err := deb.NewReader(bytes.NewReader(body), deb.Limits{})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	control, err := paragraphs(string(r.ControlFile("control").Body))
	if err != nil {
		return nil, err
	}
	is := control[0]
	data, err := r.Data()
	if err != nil {
		return nil, err
	}
	var list strings.Builder
	for {
		h, err := data.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		name := ""
		if err == nil {
			name = path.Join("/", h.Name)
			err = place(p, path.Join(tree, name), h, data)
		}
		if err != nil {
			return nil, err
		}
		if name != "/" {
			list.WriteString(name + "\n")
		}
	}
	if !noted {
		return is, nil
	}
	info := tree + "/var/lib/dpkg/info/" + is["Package"]
	for _, f := range r.Control() {
		if f.Name == "control" {
			continue
		}
		if err := p.WriteFile(info+"."+f.Name, string(f.Body), f.Mode.Perm()); err != nil {
			return nil, err
		}
	}
	if err := p.WriteFile(info+".list", list.String(), 0o644); err != nil {
		return nil, err
	}
	p.Printf("Unpacking %s (%s) ...\n", is["Package"], is["Version"])
	all, err := readStatus(p)
	if err != nil {
		return nil, err
	}
	is["Status"] = "install ok unpacked"
	if at := slices.IndexFunc(all, is.same); at >= 0 {
		all[at] = is
	} else {
		all = append(all, is)
	}
	return is, writeStatus(p, all)
}

// place makes a file of a package.
func place(p *fakejail.Proc, name string, h *tar.Header, body io.Reader) error {
	switch h.Typeflag {
	case tar.TypeDir:
		return p.MkdirAll(name)
	case tar.TypeSymlink:
		if err := p.Remove(name); err != nil {
			return err
		}
		return p.Symlink(h.Linkname, name)
	case tar.TypeReg:
		text, err := io.ReadAll(body)
		if err != nil {
			return err
		}
		return p.WriteFile(name, string(text), h.FileInfo().Mode().Perm())
	}
	return fmt.Errorf("%s: no file of type %q is unpacked here", name, h.Typeflag)
}

// configure runs the scripts of the packages that were unpacked.
func (s *System) configure(p *fakejail.Proc) error {
	all, err := readStatus(p)
	if err != nil {
		return err
	}
	for _, one := range all {
		if one.installed() {
			continue
		}
		name := one["Package"]
		p.Printf("Setting up %s (%s) ...\n", name, one["Version"])
		if text, err := p.ReadFile("/var/lib/dpkg/info/" + name + ".postinst"); err == nil {
			if status := s.run(p, name, "postinst", string(text)); status != 0 {
				p.Printf("dpkg: error processing package %s (--configure):\n installed %s package "+
					"post-installation script subprocess returned error exit status %d\nErrors "+
					"were encountered while processing:\n %s\n", name, name, status, name)
				return errors.Join(errRefused, writeStatus(p, all))
			}
		}
		one["Status"] = "install ok installed"
	}
	return writeStatus(p, all)
}
