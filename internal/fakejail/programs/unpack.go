package programs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"nsbuild/internal/bootstrap/unpack"
	"nsbuild/internal/fakejail"
	"nsbuild/internal/rawjson"
	"nsbuild/internal/sandbox"
)

// unpack is the applet that fills the tree of a base, in its three modes.
func (s *System) unpack(_ context.Context, p *fakejail.Proc) sandbox.Status {
	if len(p.Argv) != 1 || len(p.Files) != 2 {
		return p.Fail(fmt.Errorf("unpack: it does not know %q", p.Argv))
	}
	in, out := rawjson.NewDecoder(p.Files[0]), rawjson.NewEncoder(p.Files[1])
	var err error
	switch p.Argv[0] {
	case "extract":
		err = s.extract(p, in, out)
	case "preinst":
		var plan unpack.Preinsts
		if err = in.Decode(&plan); err == nil {
			err = s.preinsts(p, plan)
		}
	case "finish":
		var plan unpack.Finish
		if err = in.Decode(&plan); err == nil {
			err = finish(p, plan)
		}
	default:
		err = fmt.Errorf("unpack: it has no mode %q", p.Argv[0])
	}
	if err != nil {
		return p.Fail(err)
	}
	return fakejail.Exit(0)
}

// extract unpacks packages as they come, and notes them in the order in which dpkg would.
func (s *System) extract(p *fakejail.Proc, in *rawjson.Decoder, out *rawjson.Encoder) error {
	var plan unpack.Plan
	if err := in.Decode(&plan); err != nil {
		return err
	}
	for name, text := range plan.Files {
		if err := p.WriteFile(path.Join(plan.Tree, name), text, 0o644); err != nil {
			return err
		}
	}
	for link, target := range plan.Links {
		err := p.MkdirAll(path.Join(plan.Tree, target))
		if err == nil {
			err = p.Symlink(target, path.Join(plan.Tree, link))
		}
		if err != nil {
			return err
		}
	}
	for {
		var item unpack.Item
		err := in.Decode(&item)
		if errors.Is(err, io.EOF) {
			return out.Encode(unpack.Result{Last: true})
		}
		if err != nil {
			return err
		}
		body, err := p.ReadFile(path.Join(plan.Debs, item.Path))
		var is paragraph
		if err == nil {
			is, err = s.unpackDeb(p, plan.Tree, body, plan.Database)
		}
		r := unpack.Result{Item: item.Path, Control: is.text()}
		if err != nil {
			r = unpack.Result{Item: item.Path,
				Error: fmt.Sprintf("unpacking %s: %v", item.Name, err)}
		} else if _, err := p.ReadFile("/var/lib/dpkg/info/" + item.Name + ".preinst"); err == nil {
			r.Preinst = true
		}
		if err := out.Encode(r); err != nil {
			return err
		}
	}
}

// preinsts runs the scripts that come before a package is configured.
func (s *System) preinsts(p *fakejail.Proc, plan unpack.Preinsts) error {
	for _, script := range plan.Scripts {
		text, err := p.ReadFile("/var/lib/dpkg/info/" + script.Package + ".preinst")
		if err != nil {
			return err
		}
		if status := s.run(p, script.Package, "preinst", string(text)); status != 0 {
			return fmt.Errorf("preinst of %s: exit status %d", script.Package, status)
		}
	}
	return nil
}

// finish writes what a tree has in the end. Times are left as they are.
func finish(p *fakejail.Proc, plan unpack.Finish) error {
	at := func(name string) string { return path.Join(plan.Tree, name) }
	for _, pattern := range append(slices.Clone(plan.Remove), plan.Truncate...) {
		dir := at(path.Dir(pattern))
		entries, err := p.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		for _, e := range entries {
			if ok, err := path.Match(path.Base(pattern), e.Name()); err != nil {
				return err
			} else if !ok {
				continue
			}
			name := path.Join(dir, e.Name())
			if slices.Contains(plan.Truncate, pattern) {
				err = p.WriteFile(name, "", 0o644)
			} else {
				err = p.Remove(name)
			}
			if err != nil {
				return err
			}
		}
	}
	for _, f := range plan.Files {
		if _, err := p.ReadFile(at(f.Path)); err == nil && f.Keep {
			continue
		}
		err := p.Remove(at(f.Path))
		if err == nil && f.Target != "" {
			err = p.Symlink(f.Target, at(f.Path))
		} else if err == nil {
			mode := fs.FileMode(f.Mode)
			if mode == 0 {
				mode = 0o644
			}
			err = p.WriteFile(at(f.Path), f.Body, mode)
		}
		if err != nil {
			return err
		}
	}
	for _, l := range plan.Lines {
		text, err := p.ReadFile(at(l.Path))
		if errors.Is(err, fs.ErrNotExist) && l.Optional {
			continue
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		key, _, _ := strings.Cut(l.Text, ":")
		if strings.Contains("\n"+string(text), "\n"+key+":") {
			continue
		}
		if err := p.WriteFile(at(l.Path), string(text)+l.Text+"\n", 0o644); err != nil {
			return err
		}
	}
	return nil
}
