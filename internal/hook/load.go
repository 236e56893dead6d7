package hook

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nsbuild/internal/fault"
	"nsbuild/internal/regular"
)

// Options say which hooks there are.
type Options struct {
	Operation Operation // "": Build

	Hooks    []string            // native: directories, or names to be looked up
	HookDir  string              // a directory of pbuilder's hooks
	Commands map[string][]string // sbuild's, by Kind.Option
	Network  bool                // hooks have the caller's network
	Timeout  time.Duration       // of each hook; 0: none

	Search  []string // where native hooks are looked up by name
	Shipped fs.FS    `json:"-"` // those that come with nsbuild, looked up last
}

// Set is all hooks of a run.
type Set struct {
	Network bool
	Timeout time.Duration
	Notes   []string // what was skipped, and why

	hooks []*Hook
}

// Hook is one hook.
type Hook struct {
	Stage Stage
	Name  string // as it is shown

	dir     *dir   // of a program: what is copied into the jail
	file    string // of a program: its path in dir
	command string // of a command
}

// dir is a directory of hooks.
type dir struct {
	name     string // below which it appears in the jail
	files    fs.FS
	all      []file
	conf     conf
	pbuilder bool
}

// file is a file of a hook directory.
type file struct {
	name string
	exec bool
	size int64
}

// Load finds the hooks. What cannot be run is an error now, not after hours of building.
func Load(o Options) (*Set, error) {
	s := &Set{Network: o.Network, Timeout: o.Timeout}
	if o.HookDir != "" {
		if err := s.loadHookDir(o.HookDir); err != nil {
			return nil, err
		}
	}
	stages := o.Operation.Stages()
	for _, name := range o.Hooks {
		d, err := o.find(name)
		if err == nil && slices.ContainsFunc(dirs(s.hooks), func(other *dir) bool {
			return other.name == d.name
		}) {
			err = fault.New(fault.Usage, "give one of the directories another name",
				"there are two of this name")
		}
		if err == nil {
			err = s.loadNative(d, stages)
		}
		if err != nil {
			return nil, fault.Wrap(fault.Usage, "", fmt.Errorf("hook %s: %w", name, err))
		}
	}
	for _, k := range commands {
		for _, command := range o.Commands[k.Option] {
			for _, stage := range k.Stages {
				s.hooks = append(s.hooks, &Hook{Stage: stage, Name: command, command: command})
			}
		}
	}
	return s, nil
}

// find looks for a native hook: a name with a slash is a directory.
func (o *Options) find(name string) (*dir, error) {
	if strings.Contains(name, "/") {
		if _, err := os.Stat(name); err != nil {
			return nil, err
		}
		return openDir(filepath.Base(filepath.Clean(name)), regular.DirFS(name), false)
	}
	for _, parent := range o.Search {
		where := filepath.Join(parent, name)
		if _, err := os.Stat(where); err == nil {
			return openDir(name, regular.DirFS(where), false)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	var shipped []string
	if o.Shipped != nil {
		if files, err := fs.Sub(o.Shipped, name); err == nil {
			if d, err := openDir(name, files, true); err == nil || !errors.Is(err, fs.ErrNotExist) {
				return d, err
			}
		}
		entries, err := fs.ReadDir(o.Shipped, ".")
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if e.IsDir() {
				shipped = append(shipped, e.Name())
			}
		}
	}
	return nil,
		fault.New(fault.Usage, "give its directory (./"+name+"), or one that ships with nsbuild: "+
			strings.Join(shipped, ", "), "there is no such hook")
}

// Bounds of a hook directory: all of it is copied into the jail.
const (
	maxFiles = 1000
	maxBytes = 64 << 20
	maxDepth = 16
)

// openDir lists a directory. Symbolic links are followed, as pbuilder's cp -L does.
func openDir(name string, files fs.FS, shipped bool) (*dir, error) {
	d := &dir{name: name, files: files}
	var total int64
	var walk func(string, int) error
	walk = func(at string, depth int) error {
		if depth > maxDepth {
			return fmt.Errorf("%s lies too deep (or a link leads back)", at)
		}
		entries, err := fs.ReadDir(files, at)
		if err != nil {
			return err
		}
		for _, e := range entries {
			name := path.Join(at, e.Name())
			info, err := fs.Stat(files, name)
			switch {
			case err != nil:
				return err
			case info.IsDir():
				if err := walk(name, depth+1); err != nil {
					return err
				}
			case info.Mode().IsRegular():
				exec := info.Mode()&0o111 != 0
				if shipped { // embedded files have no modes
					exec = strings.HasSuffix(at, ".d")
				}
				d.all = append(d.all, file{name, exec, info.Size()})
				total += info.Size()
			default:
				return fmt.Errorf("%s is neither a file nor a directory", name)
			}
			if len(d.all) > maxFiles || total > maxBytes {
				return fmt.Errorf("it holds more than %d files or %d MiB", maxFiles, maxBytes>>20)
			}
		}
		return nil
	}
	return d, walk(".", 0)
}

// backup tells whether a file is an editor's or a package manager's copy.
func backup(name string) bool {
	return strings.HasSuffix(name, "~") || strings.HasSuffix(name, ".bak") ||
		strings.HasPrefix(name, ".") || strings.Contains(name, ".dpkg-")
}

// loadNative takes the hooks of STAGE.d/ directories, of which some must be for the stages that
// there will be.
func (s *Set) loadNative(d *dir, stages []Stage) error {
	found, reached := 0, 0
	for _, f := range d.all {
		parent, name := path.Split(f.name)
		stage, isStage := strings.CutSuffix(strings.TrimSuffix(parent, "/"), ".d")
		switch {
		case f.name == confName:
			text, err := fs.ReadFile(d.files, confName)
			if err != nil {
				return err
			}
			if d.conf, err = parseConf(string(text)); err != nil {
				return fmt.Errorf("%s: %w", confName, err)
			}
			continue
		case !isStage || strings.Contains(stage, "/"):
			continue // a file that hooks use
		case !slices.Contains(native, Stage(stage)):
			return fault.New(fault.Usage, "the stages: "+join(native), "%s: there is no stage %q",
				f.name, stage)
		case backup(name):
			s.Notes = append(s.Notes, fmt.Sprintf("hook %s/%s is skipped: a backup file", d.name,
				f.name))
			continue
		case !f.exec:
			return fault.New(fault.Usage, "chmod +x it, or move it out of "+parent,
				"%s is not executable", f.name)
		}
		found++
		if slices.Contains(stages, Stage(stage)) {
			reached++
		}
		s.hooks = append(s.hooks, &Hook{Stage: Stage(stage), Name: d.name + "/" + f.name, dir: d,
			file: f.name})
	}
	switch {
	case found == 0:
		return fault.New(fault.Usage, "put executable files into STAGE.d/: "+join(stages),
			"it holds no hook")
	case reached == 0:
		return fault.New(fault.Usage, "its directories here: "+join(stages),
			"it holds no hook of a stage that this command comes by")
	}
	if d.conf.network && !s.Network {
		return fault.New(fault.Usage,
			"--hook-network gives hooks the network; the build never has it",
			"it needs the network")
	}
	return nil
}

// loadHookDir takes a hook directory as pbuilder does: X[0-9][0-9]*, in the order of the names;
// what is not executable is skipped with a warning.
func (s *Set) loadHookDir(where string) error {
	wrap := func(err error) error {
		return fault.Wrap(fault.Usage, "--hookdir takes a directory of pbuilder's hooks",
			fmt.Errorf("hook directory %s: %w", where, err))
	}
	if _, err := os.Stat(where); err != nil {
		return wrap(err)
	}
	d, err := openDir("", regular.DirFS(where), false)
	if err != nil {
		return wrap(err)
	}
	d.pbuilder = true
	for _, f := range d.all {
		if len(f.name) < 3 || strings.Contains(f.name, "/") || !isDigit(f.name[1]) ||
			!isDigit(f.name[2]) {
			continue
		}
		stage, ok := letters[f.name[0]]
		switch {
		case !ok:
			continue
		case strings.HasSuffix(f.name, "~"), strings.HasSuffix(f.name, ".bak"):
			s.Notes = append(s.Notes, "skipping a backup file "+f.name)
		case !f.exec:
			s.Notes = append(s.Notes, fmt.Sprintf("execute priv not set on file %s, not executing.",
				f.name))
		default:
			s.hooks = append(s.hooks, &Hook{Stage: stage, Name: f.name, dir: d, file: f.name})
		}
	}
	return nil
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func join(stages []Stage) string {
	var names []string
	for _, s := range stages {
		names = append(names, string(s)+".d")
	}
	return strings.Join(names, ", ")
}

// Empty tells whether there are none.
func (s *Set) Empty() bool { return s == nil || len(s.hooks) == 0 }

// At are the hooks of a stage, in their order. A nil Set has none.
func (s *Set) At(stages ...Stage) []*Hook {
	if s == nil {
		return nil
	}
	var found []*Hook
	for _, h := range s.hooks {
		if slices.Contains(stages, h.Stage) {
			found = append(found, h)
		}
	}
	return found
}

// Digest identifies what the hooks of stages do, as far as their files, their commands and what
// they are told in a context say: "" when there are none.
func (s *Set) Digest(c Context, stages ...Stage) (string, error) {
	hooks := s.At(stages...)
	if len(hooks) == 0 {
		return "", nil
	}
	sum := sha256.New()
	for _, h := range hooks {
		fmt.Fprintf(sum, "%s\x00%s\x00%s\x00", h.Stage, h.Name,
			c.expand(h.command, h.Stage.OnHost()))
		for _, told := range c.environment(h, s.Network) {
			fmt.Fprintf(sum, "%s\x00", told)
		}
		if h.dir == nil {
			continue
		}
		for _, f := range h.dir.all {
			fmt.Fprintf(sum, "%s\x00%t\x00%d\x00", f.name, f.exec, f.size)
			in, err := h.dir.files.Open(f.name)
			if err != nil {
				return "", err
			}
			_, err = io.Copy(sum, in)
			if err = errors.Join(err, in.Close()); err != nil {
				return "", err
			}
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// dirs are the directories that hooks come from, each once.
func dirs(hooks []*Hook) []*dir {
	var all []*dir
	for _, h := range hooks {
		if h.dir != nil && !slices.Contains(all, h.dir) {
			all = append(all, h.dir)
		}
	}
	return all
}

// BuildDepends are the relations that hooks add to the build dependencies.
func (s *Set) BuildDepends() []string {
	var all []string
	if s != nil {
		for _, d := range dirs(s.hooks) {
			if d.conf.buildDepends != "" {
				all = append(all, d.conf.buildDepends)
			}
		}
	}
	return all
}

// Installs tells whether hooks of these stages want packages of their own.
func (s *Set) Installs(stages ...Stage) bool {
	return slices.ContainsFunc(dirs(s.At(stages...)), func(d *dir) bool {
		return d.conf.depends != ""
	})
}

// Caches are the names of hooks that keep something from one build to the next.
func (s *Set) Caches() []string {
	var names []string
	if s != nil {
		for _, d := range dirs(s.hooks) {
			if d.conf.cache {
				names = append(names, d.name)
			}
		}
	}
	return names
}

// Unknown tells whether hooks change what lies below the build dependencies in a way that their
// files and commands do not say: they have the network, keep something from one build to the next,
// or come from the host.
func (s *Set) Unknown() bool {
	if s == nil {
		return false
	}
	if s.Network && len(s.At(BeforeLayer()...)) > 0 {
		return true
	}
	if slices.ContainsFunc(dirs(s.At(BeforeLayer()...)), func(d *dir) bool {
		return d.conf.cache
	}) {
		return true
	}
	return slices.ContainsFunc(s.At(OnHostStart), func(h *Hook) bool {
		return entersJail(h.command)
	})
}

// entersJail tells whether a command on the host may change the jail's root.
func entersJail(command string) bool {
	return slices.ContainsFunc([]string{"%e", "%r", "%SBUILD_CHROOT_EXEC", "%SBUILD_CHROOT_DIR"},
		func(s string) bool { return strings.Contains(command, s) })
}
