package gitsrc

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"nsbuild/internal/fault"
	"nsbuild/internal/regular"
)

// Switch is an option of three states.
type Switch int

// States of a Switch.
const (
	Auto Switch = iota
	On
	Off
)

// Dir is a directory that gbp.conf names.
type Dir struct {
	Name string // as it stands there, "" for none
	File string // that says so
	Own  bool   // the file is the caller's or the machine's, not the source's
}

// Config is what counts here of a gbp.conf(5).
type Config struct {
	UpstreamTag    string // format of the tags of upstream versions
	UpstreamBranch string
	UpstreamTree   string // "TAG", "BRANCH", "SLOPPY" in any case, or the name of a tree
	DebianBranch   string
	// PristineTar: On refuses what it has not; Auto, without a word in gbp.conf, uses what it has.
	PristineTar       Switch
	PristineTarCommit bool
	Submodules        bool
	Signatures        Switch // of upstream tarballs, which pristine-tar keeps, too
	Components        []string
	Compression       string // "auto", or a program of compressions
	CompressionLevel  string
	TarballDir        Dir // where upstream tarballs are
	ExportDir         Dir // where they are, too, instead of beside the working tree
	ForceCreate       bool
	NoCreateOrig      bool
	Overlay           bool
}

// DefaultConfig is what gbp does without a gbp.conf, but for pristine-tar: that is used where it
// has something.
func DefaultConfig() Config {
	return Config{UpstreamTag: "upstream/%(version)s", UpstreamBranch: "upstream",
		UpstreamTree: "TAG",
		DebianBranch: "master", Compression: "auto"}
}

// ReadConfig reads what gbp buildpackage would read for a source directory: the files that
// GBP_CONF_FILES names, else those of gbp.conf(5), the later over the earlier.
func ReadConfig(l *Layout, getenv func(string) string) (Config, error) {
	all := newSections()
	for _, name := range configFiles(l, getenv) {
		own := !within(name, l.Top) && !within(name, l.Git)
		text, err := readConfigFile(l, name, own)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			continue
		}
		if err == nil {
			err = all.read(name, text, own)
		}
		if err != nil {
			return Config{}, fault.Wrap(fault.GivenBack, "see gbp.conf(5)", err)
		}
	}
	c, err := all.config()
	return c, fault.Wrap(fault.GivenBack, "see gbp.conf(5)", err)
}

// configFiles are the files to read, in order. What lies below a repository is that of the source
// directory: where several sources share one, it is their top.
func configFiles(l *Layout, getenv func(string) string) []string {
	names := []string{"/etc/git-buildpackage/gbp.conf", "~/.gbp.conf", "%(top_dir)s/.gbp.conf",
		"%(top_dir)s/debian/gbp.conf", "%(git_dir)s/gbp.conf"}
	if said := getenv("GBP_CONF_FILES"); said != "" {
		names = strings.Split(said, ":")
	}
	places := strings.NewReplacer("%(top_dir)s", l.Dir, "%(git_dir)s", l.Git, "%%", "%")
	for i, name := range names {
		names[i] = against(l.Dir, places.Replace(expandUser(name, getenv)))
	}
	return names
}

// maxConfig bounds a configuration file, in bytes.
const maxConfig = 1 << 20

// readConfigFile reads a file; one of the source directory's must be a regular file in it.
func readConfigFile(l *Layout, name string, own bool) (string, error) {
	open := regular.Open
	if !own {
		open = l.openBelow
	}
	f, err := open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err == nil && len(text) > maxConfig {
		err = fmt.Errorf("%s has more than %d bytes", name, maxConfig)
	}
	return string(text), err
}

// openBelow opens a file of the working tree or the git directory, and follows no link out of it.
func (l *Layout) openBelow(name string) (*os.File, error) {
	top := l.Top
	if !within(name, top) {
		top = l.Git
	}
	root, err := os.OpenRoot(top)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return regular.OpenIn(root, strings.TrimPrefix(strings.TrimPrefix(name, top), "/"))
}

// config takes the settings of gbp buildpackage.
func (s *sections) config() (Config, error) {
	c := DefaultConfig()
	in := s.of("buildpackage")
	for key, to := range map[string]*string{
		"upstream-tag": &c.UpstreamTag, "upstream-branch": &c.UpstreamBranch,
		"upstream-tree": &c.UpstreamTree,
		"debian-branch": &c.DebianBranch, "compression": &c.Compression,
		"compression-level": &c.CompressionLevel,
	} {
		if v, ok := in[key]; ok {
			*to = v.text
		}
	}
	for key, to := range map[string]*Dir{"tarball-dir": &c.TarballDir, "export-dir": &c.ExportDir} {
		if v := in[key]; v.text != "" {
			*to = Dir{v.text, v.file, v.own}
		}
	}
	pristine := false
	for key, to := range map[string]*bool{
		"pristine-tar": &pristine, "pristine-tar-commit": &c.PristineTarCommit,
		"submodules":   &c.Submodules,
		"force-create": &c.ForceCreate, "no-create-orig": &c.NoCreateOrig, "overlay": &c.Overlay,
	} {
		if v, ok := in[key]; ok {
			var err error
			if *to, err = boolean(v); err != nil {
				return c, fmt.Errorf("%s: %s: %w", v.file, key, err)
			}
		}
	}
	if _, said := in["pristine-tar"]; said {
		c.PristineTar = Off
		if pristine {
			c.PristineTar = On
		}
	}
	if v, ok := in["upstream-signatures"]; ok {
		c.Signatures = tristate(v.text)
	}
	var err error
	c.Components, err = components(in["component"], in["components"])
	return c, err
}

// boolean reads the words that gbp takes, and the comment that it takes behind them.
func boolean(v setting) (bool, error) {
	word := strings.TrimSpace(v.text)
	if f := strings.SplitN(word, " ", 3); len(f) > 1 && f[1] == "#" {
		word = f[0]
	}
	switch strings.ToLower(word) {
	case "true", "1":
		return true, nil
	case "false", "0":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither True nor False", v.text)
}

func tristate(word string) Switch {
	switch strings.ToLower(word) {
	case "on", "true":
		return On
	case "auto":
		return Auto
	}
	return Off
}

// components are the names of further upstream tarballs: one word, or a list as Python writes it.
func components(one, several setting) ([]string, error) {
	a, err := list(one.text)
	if err != nil {
		return nil, fmt.Errorf("%s: component: %w", one.file, err)
	}
	b, err := list(several.text)
	if err != nil {
		return nil, fmt.Errorf("%s: components: %w", several.file, err)
	}
	if len(a) > 0 && len(b) > 0 {
		return nil, fmt.Errorf("%s: component and components: use one of them", several.file)
	}
	all := append(a, b...)
	if i := slices.IndexFunc(all, func(c string) bool { return !componentName(c) }); i >= 0 {
		return nil, fmt.Errorf("%s%s: %q is no name of a component", one.file, several.file, all[i])
	}
	return all, nil
}

// componentName tells whether dpkg-source would take a name of a component (dpkg-source(1)).
func componentName(c string) bool {
	return c != "" &&
		strings.Trim(c, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") == ""
}

// list reads a list of strings in Python's form, without running it as gbp does.
func list(text string) (out []string, err error) {
	if text == "" {
		return nil, nil
	}
	rest, ok := strings.CutPrefix(text, "[")
	if !ok {
		return []string{text}, nil
	}
	bad := fmt.Errorf("%q is no list of strings", text)
	for {
		rest = strings.TrimLeft(rest, " \t\n")
		if rest == "]" {
			return out, nil
		}
		if rest == "" || rest[0] != '\'' && rest[0] != '"' {
			return nil, bad
		}
		word, after, ok := strings.Cut(rest[1:], rest[:1])
		if !ok || strings.ContainsAny(word, "\\\n") {
			return nil, bad
		}
		out = append(out, word)
		rest = strings.TrimLeft(after, " \t\n")
		if next, ok := strings.CutPrefix(rest, ","); ok {
			rest = next
		} else if rest != "]" {
			return nil, bad
		}
	}
}

// Path is the directory for an upstream version, as an absolute path: gbp looks at it from the
// working tree. "" means none. A directory that the source itself names must be one beside the
// working tree: else a source could have any tarball of the caller's brought to its build.
func (d Dir) Path(l *Layout, upstream string, getenv func(string) string) (string, error) {
	if d.Name == "" {
		return "", nil
	}
	name, err := substitute(expandUser(os.Expand(d.Name, kept(getenv)), getenv), upstream,
		func(v string) string { return v })
	if err != nil {
		return "", fmt.Errorf("%s: %w", d.File, err)
	}
	name = against(l.Dir, name)
	if target, err := filepath.EvalSymlinks(name); err == nil {
		name = target
	}
	beside := filepath.Dir(l.Top)
	if !d.Own && (beside == "/" || !within(name, beside)) {
		return "",
			fault.New(fault.GivenBack,
				"name it in ~/.gbp.conf, or put the tarball beside the source directory",
				"%s names %s, which is not below %s", d.File, name, beside)
	}
	return name, nil
}

// kept looks up variables for a path; an unknown one is left as it stands, as Python does it.
func kept(getenv func(string) string) func(string) string {
	return func(name string) string {
		if v := getenv(name); v != "" {
			return v
		}
		return "$" + name
	}
}

// expandUser puts a home in the place of "~" or "~NAME", as Python does it.
func expandUser(name string, getenv func(string) string) string {
	rest, ok := strings.CutPrefix(name, "~")
	if !ok {
		return name
	}
	who, rest, slash := strings.Cut(rest, "/")
	if slash {
		rest = "/" + rest
	}
	home := getenv("HOME")
	if who != "" {
		u, err := user.Lookup(who)
		if err != nil { // then it is the name of a file
			return name
		}
		home = u.HomeDir
	}
	if home == "" {
		return name
	}
	return home + rest
}
