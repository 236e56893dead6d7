package programs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"nsbuild/internal/deb"
	"nsbuild/internal/dsc"
	"nsbuild/internal/fakejail"
	"nsbuild/internal/sandbox"
)

// config is what nsbuild's configuration of apt says, and its options.
type config struct{ lists, sources, archives, cache, preferences string }

var setting = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?m)^(\S+) "(.*)";$`)
})

func readConfig(p *fakejail.Proc, name string) (config, error) {
	text, err := p.ReadFile(name)
	if err != nil {
		return config{}, err
	}
	values := map[string]string{}
	for _, m := range setting().FindAllSubmatch(text, -1) {
		values[string(m[1])] = string(m[2])
	}
	return config{lists: values["Dir::State::Lists"], sources: values["Dir::Etc::SourceList"],
		archives: values["Dir::Cache::Archives"], cache: values["Dir::Cache"]}, nil
}

// aptGet does what nsbuild has apt-get do: install, build-dep, dist-upgrade, autoremove.
func (s *System) aptGet(_ context.Context, p *fakejail.Proc) sandbox.Status {
	var conf, pins, host string
	var rest []string
	asked := false
	for i := 1; i < len(p.Argv); i++ {
		arg := p.Argv[i]
		value, isHost := strings.CutPrefix(arg, "--host-architecture=")
		switch {
		case arg == "-c" || arg == "-o":
			if i++; arg == "-c" {
				conf = p.Argv[i]
			} else if file, ok := strings.CutPrefix(p.Argv[i], "Dir::Etc::Preferences="); ok {
				pins = file
			}
		case isHost:
			host = value
		case arg == "--print-uris":
			asked = true
		case !strings.HasPrefix(arg, "-"):
			rest = append(rest, arg)
		}
	}
	err := s.autoremove(p, rest)
	if len(rest) == 0 || rest[0] != "autoremove" {
		err = s.apt(p, conf, pins, host, asked, rest)
	}
	var unmet *problem
	switch {
	case err == nil:
		return fakejail.Exit(0)
	case errors.As(err, &unmet):
		p.Printf("The following packages have unmet dependencies:\n%v\nE: Unable to correct "+
			"problems, you have held broken packages.\n", unmet)
	case errors.Is(err, errRefused):
		p.Printf("E: Sub-process /usr/bin/dpkg returned an error code (1)\n")
	default:
		p.Printf("E: %v\n", err)
	}
	return fakejail.Exit(100)
}

func (s *System) apt(p *fakejail.Proc, conf, pins, host string, asked bool, args []string) error {
	c, err := readConfig(p, conf)
	if err != nil {
		return err
	}
	c.preferences = pins
	if len(args) == 0 {
		return errors.New("invalid operation")
	}
	r, err := newResolver(p, c)
	if err != nil {
		return err
	}
	if err := keepParsed(p, c); err != nil {
		return err
	}
	switch args[0] {
	case "install":
		err = r.install(p, args[1:])
	case "build-dep":
		err = r.buildDep(p, args[1], host)
	case "dist-upgrade":
		err = r.upgrade()
	default:
		err = fmt.Errorf("invalid operation %s", args[0])
	}
	if err != nil {
		return err
	}
	if asked {
		for _, one := range r.chosen {
			p.Printf("%s", one.uri())
		}
		return nil
	}
	return s.carryOut(p, c, r)
}

// autoremove purges what was installed for others, which are gone.
func (s *System) autoremove(p *fakejail.Proc, args []string) error {
	if len(args) == 0 || args[0] != "autoremove" {
		return nil
	}
	for {
		all, err := readStatus(p)
		if err != nil {
			return err
		}
		wanted := map[string]bool{}
		for _, one := range all {
			needs, err := one.relations("Depends", "Pre-Depends")
			if err != nil {
				return err
			}
			for _, alternatives := range needs {
				wanted[alternatives[0].Name] = true
			}
		}
		at := slices.IndexFunc(all, func(q paragraph) bool {
			return q[auto] != "" && !wanted[q["Package"]]
		})
		if at < 0 {
			return nil
		}
		if err := s.purge(p, []string{all[at]["Package"]}); err != nil {
			return err
		}
	}
}

// auto is a field of ours in dpkg's status: something else has wanted the package. The real apt has
// a file for that.
const auto = "Auto-Installed"

// keepParsed leaves what stands for apt's parsed lists, unless it is there already and still true.
func keepParsed(p *fakejail.Proc, c config) error {
	sum := sha256.New()
	entries, err := p.ReadDir(c.lists)
	if err != nil {
		return err
	}
	for _, name := range append([]string{c.sources}, names(c.lists, entries)...) {
		text, err := p.ReadFile(name)
		if err != nil {
			continue // a directory
		}
		fmt.Fprintf(sum, "%s %x\n", name, sha256.Sum256(text))
	}
	file := path.Join(c.cache, "pkgcache.bin")
	is := fmt.Sprintf("%x", sum.Sum(nil))
	if old, err := p.ReadFile(file); err == nil && string(old) == is {
		return nil
	}
	if err := p.Remove(file); err != nil {
		return err
	}
	return p.WriteFile(file, is, 0o644)
}

// install chooses packages by their names, or such as are files in the jail.
func (r *resolver) install(p *fakejail.Proc, args []string) error {
	for _, arg := range args {
		if !strings.HasPrefix(arg, "/") {
			name, version, fixed := strings.Cut(arg, "=")
			name, arch, _ := strings.Cut(name, ":")
			rel := dsc.Relation{Name: name, Qualifier: arch}
			if fixed {
				v, err := dsc.ParseVersion(version)
				if err != nil {
					return err
				}
				rel.Op, rel.Version = "=", v
			}
			c, ok := r.best(rel, r.native)
			if !ok && !r.have(rel, r.native) {
				return fmt.Errorf("unable to locate package %s", arg)
			}
			if ok && !r.have(rel, r.native) {
				r.named = append(r.named, name)
				if err := r.choose(c); err != nil {
					return err
				}
			}
			continue
		}
		text, err := p.ReadFile(arg)
		if err != nil {
			return err
		}
		control, err := controlOf(text)
		if err != nil {
			return err
		}
		if err := r.choose(candidate{paragraph: control, file: arg}); err != nil {
			return err
		}
	}
	return nil
}

// controlOf is the control file of a package.
func controlOf(body []byte) (paragraph, error) {
	r, err := deb.NewReader(bytes.NewReader(body), deb.Limits{})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	all, err := paragraphs(string(r.ControlFile("control").Body))
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// buildDep chooses what a source is built with, for an architecture.
func (r *resolver) buildDep(p *fakejail.Proc, file, host string) error {
	text, err := p.ReadFile(file)
	if err != nil {
		return err
	}
	all, err := paragraphs(string(text))
	if err != nil {
		return err
	}
	needs, err := all[0].relations("Build-Depends")
	if err != nil {
		return err
	}
	conflicts, err := all[0].relations("Build-Conflicts")
	if err != nil {
		return err
	}
	if !slices.Contains(r.foreign, host) {
		return fmt.Errorf("no architecture information available for %s", host)
	}
	if err := r.want("builddeps:"+file+":"+host, needs, host); err != nil {
		return err
	}
	return r.refuse(conflicts)
}

// carryOut removes and installs what was chosen, from apt's archives directory.
func (s *System) carryOut(p *fakejail.Proc, c config, r *resolver) error {
	if len(r.removed) > 0 {
		p.Printf("The following packages will be REMOVED:\n  %s\n", strings.Join(r.removed, " "))
		if err := s.purge(p, r.removed); err != nil {
			return err
		}
	}
	for _, one := range r.chosen {
		file := one.file
		if file == "" {
			file = path.Join(path.Dir(c.archives), "copies", one.name())
			if _, err := p.ReadFile(file); err != nil {
				file = path.Join(c.archives, one.name())
			}
		}
		if err := s.unpackFiles(p, "", []string{file}); err != nil {
			return err
		}
	}
	if err := r.mark(p); err != nil {
		return err
	}
	return s.configure(p)
}

// mark notes which packages nobody has named.
func (r *resolver) mark(p *fakejail.Proc) error {
	all, err := readStatus(p)
	if err != nil {
		return err
	}
	for _, one := range all {
		before := slices.IndexFunc(r.installed, one.same)
		switch {
		case before >= 0:
			one[auto] = r.installed[before][auto]
		case slices.ContainsFunc(r.chosen, func(c candidate) bool {
			return c.file == "" && c.same(one) && !slices.Contains(r.named, one["Package"])
		}):
			one[auto] = "1"
		}
	}
	return writeStatus(p, all)
}

// aptitude does what nsbuild has aptitude do: simulate the installation of a package, and install
// it.
func (s *System) aptitude(_ context.Context, p *fakejail.Proc) sandbox.Status {
	simulated := false
	var rest []string
	for i := 1; i < len(p.Argv); i++ {
		switch arg := p.Argv[i]; {
		case arg == "-o":
			i++
		case arg == "-s":
			simulated = true
		case !strings.HasPrefix(arg, "-"):
			rest = append(rest, arg)
		}
	}
	all, err := readStatus(p)
	if err == nil && !slices.ContainsFunc(all, func(q paragraph) bool {
		return q["Package"] == "aptitude" && q.installed()
	}) {
		err = errors.New("aptitude: command not found")
	}
	if err == nil && (len(rest) != 2 || rest[0] != "install") {
		err = fmt.Errorf("aptitude does not know %q", rest)
	}
	if err != nil {
		return p.Fail(err)
	}
	c, err := readConfig(p, p.Getenv("APT_CONFIG"))
	if err != nil {
		return p.Fail(err)
	}
	r, err := newResolver(p, c)
	if err != nil {
		return p.Fail(err)
	}
	before := r.installed
	var unmet *problem
	if err := r.install(p, rest[1:]); errors.As(err, &unmet) {
		p.Printf("The following packages have unmet dependencies:\n%v\n\nUnable to resolve "+
			"dependencies!  Giving up...\n", unmet)
		return fakejail.Exit(1)
	} else if err != nil {
		return p.Fail(err)
	}
	if !simulated {
		if err := s.carryOut(p, c, r); errors.Is(err, errRefused) {
			return fakejail.Exit(1)
		} else if err != nil {
			return p.Fail(err)
		}
		return fakejail.Exit(0)
	}
	for _, one := range r.chosen {
		old := ""
		if at := slices.IndexFunc(before, one.same); at >= 0 {
			old = "[" + before[at]["Version"] + "] "
		}
		p.Printf("Inst %s %s(%s Debian:%s [%s])\n", one.paragraph["Package"], old,
			one.paragraph["Version"], one.suite, one.paragraph["Architecture"])
	}
	return fakejail.Exit(0)
}

// names are the paths of the entries of a directory.
func names(dir string, entries []fs.DirEntry) []string {
	var out []string
	for _, e := range entries {
		out = append(out, path.Join(dir, e.Name()))
	}
	return out
}
