package sbuildrc

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"nsbuild/internal/fault"
	"nsbuild/internal/regular"
)

// Config is what configuration files set.
type Config struct {
	Notes []string // what was left alone and names no variable, with file and line

	known map[string]bool
	vars  map[string]*variable // by name with its sigil: "$distribution", "%ENV"
	env   map[string]Setting   // variables of the environment that were set
}

// variable is a variable of the configuration, shared by all files.
type variable struct {
	value *Value
	file  string
	line  int
}

// Setting is a variable that was set.
type Setting struct {
	Name string // with its sigil
	*Value
	File string
	Line int
}

// Origin is where it was set last.
func (s Setting) Origin() string { return fmt.Sprintf("%s:%d", s.File, s.Line) }

// New is a configuration that may set the variables of these names (without sigils). environ is the
// environment that files may ask for, home what they find as $HOME.
func New(keys []string, environ []string, home string) *Config {
	c := &Config{known: map[string]bool{}, vars: map[string]*variable{}, env: map[string]Setting{}}
	for _, k := range keys {
		c.known[k] = true
	}
	env := &Value{Kind: Hash, Fields: map[string]*Value{}}
	for _, e := range environ {
		if name, value, ok := strings.Cut(e, "="); ok {
			env.Fields[name] = text(value)
		}
	}
	c.vars["%ENV"] = &variable{value: env}
	c.vars["$HOME"] = &variable{value: text(home)}
	return c
}

// Files are the configuration files in the order in which they are read: the machine's, the user's,
// and the one that SBUILD_CONFIG names. They need not exist. As with sbuild, ~/.sbuildrc counts
// where there is no config.pl that may be read.
func Files(getenv func(string) string, home string) []string {
	files := []string{"/etc/sbuild/sbuild.conf"}
	own := ""
	if dir := getenv("XDG_CONFIG_HOME"); filepath.IsAbs(dir) {
		own = filepath.Join(dir, "sbuild", "config.pl")
	} else if home != "" {
		own = filepath.Join(home, ".config", "sbuild", "config.pl")
	}
	if home != "" && !readable(own) {
		own = filepath.Join(home, ".sbuildrc")
	}
	if own != "" {
		files = append(files, own)
	}
	if more := getenv("SBUILD_CONFIG"); more != "" {
		files = append(files, more)
	}
	return files
}

// ReadFile reads one file into the configuration. As with sbuild, one that does not exist or that
// the caller may not read sets nothing; what is in it is told in a note.
func (c *Config) ReadFile(name string) error {
	f, err := regular.Open(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, fs.ErrPermission):
		c.Notes = append(c.Notes, fmt.Sprintf("%s: it may not be read", name))
		return nil
	case err != nil:
		return err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return err
	}
	if len(data) > maxFile {
		return fault.New(fault.Usage, "", "%s: it is larger than any configuration (%d bytes)",
			name, maxFile)
	}
	return c.Parse(name, string(data))
}

// Parse reads the text of a file into the configuration. It fails where the rest of the file cannot
// be told apart into statements.
func (c *Config) Parse(name, data string) error {
	p := &parser{config: c, file: name, src: data, locals: map[string]*variable{}, modifier: -1}
	return p.parse()
}

// Settings are the variables that the files have set, by name, those of the environment left out.
func (c *Config) Settings() []Setting {
	var out []Setting
	for _, name := range slices.Sorted(maps.Keys(c.vars)) {
		if v := c.vars[name]; v.file != "" && name != "%ENV" {
			out = append(out, Setting{name, v.value, v.file, v.line})
		}
	}
	return out
}

// Environment are the variables of the environment that the files have set, as settings named
// "$ENV{NAME}".
func (c *Config) Environment() []Setting {
	var out []Setting
	for _, name := range slices.Sorted(maps.Keys(c.env)) {
		out = append(out, c.env[name])
	}
	return out
}

// spoil makes a variable Unreadable.
func (v *variable) spoil(file string, line int, why string) {
	v.value, v.file, v.line = &Value{Kind: Unreadable, Text: why}, file, line
}
