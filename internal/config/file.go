package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"nsbuild/internal/fault"
	"nsbuild/internal/regular"
)

// Setting is a value of a configuration file.
type Setting struct {
	Table  string // "" for what holds for every verb, else the verb: "build", "session.begin"
	Key    string
	Values []string // one, but for a list
	List   bool
	File   string
	Line   int
}

// Name is the key with its table, as in "build.dist".
func (s Setting) Name() string { return strings.TrimPrefix(s.Table+"."+s.Key, ".") }

// Origin is where the setting stands.
func (s Setting) Origin() string { return fmt.Sprintf("%s:%d", s.File, s.Line) }

// FileVariable names one file that is read instead of the machine's and the user's.
const FileVariable = "NSBUILD_CONFIG"

// Files are the configuration files, what counts more first: the user's, the machine's. They need
// not exist.
func Files() ([]string, error) {
	if only, ok := os.LookupEnv(FileVariable); ok {
		if only == "" {
			return nil, nil
		}
		return []string{only}, nil
	}
	files := []string{"/etc/nsbuild/config.toml"}
	if dir := os.Getenv("XDG_CONFIG_HOME"); filepath.IsAbs(dir) {
		return append([]string{filepath.Join(dir, "nsbuild", "config.toml")}, files...), nil
	}
	if home, err := os.UserHomeDir(); err == nil { // without a home there is no file of the user's
		files = append([]string{filepath.Join(home, ".config", "nsbuild", "config.toml")}, files...)
	}
	return files, nil
}

// maxFile bounds a configuration file.
const maxFile = 16 << 20

// ReadFile reads a configuration file (TOML 1.0). A file that does not exist has no settings.
func ReadFile(name string) ([]Setting, error) {
	data, err := regular.ReadFile(name, maxFile)
	if errors.Is(err, fs.ErrNotExist) && os.Getenv(FileVariable) == "" {
		return nil, nil
	}
	if err != nil {
		return nil, fault.Wrap(fault.Usage, "", fmt.Errorf("reading the configuration: %w", err))
	}
	return parse(name, data)
}

func parse(name string, data []byte) ([]Setting, error) {
	wrong := func(line int, format string, args ...any) error {
		return fault.New(fault.Usage, "nsbuild config show tells what there is", "%s:%d: %s", name,
			line, fmt.Sprintf(format, args...))
	}
	var all map[string]any // the whole language: what is defined twice, dates
	if err := toml.Unmarshal(data, &all); err != nil {
		var at *toml.DecodeError
		if errors.As(err, &at) {
			line, _ := at.Position()
			return nil, wrong(line, "%s", strings.TrimPrefix(at.Error(), "toml: "))
		}
		return nil, wrong(1, "%v", err)
	}
	var out []Setting
	var table []string
	var p unstable.Parser
	p.Reset(data)
	for p.NextExpression() {
		e := p.Expression()
		key := e.Key()
		var names []string
		line := 0
		for key.Next() {
			names = append(names, string(key.Node().Data))
			line = 1 + bytes.Count(data[:key.Node().Raw.Offset], []byte("\n"))
		}
		switch e.Kind {
		case unstable.Table:
			table = names
			continue
		case unstable.KeyValue:
		default:
			return nil, wrong(line, "[[%s]]: there are no lists of tables",
				strings.Join(names, "."))
		}
		full := append(append([]string{}, table...), names...)
		s := Setting{Table: strings.Join(full[:len(full)-1], "."), Key: full[len(full)-1],
			File: name, Line: line}
		value := e.Value()
		s.List = value.Kind == unstable.Array
		nodes := []*unstable.Node{value}
		if s.List {
			nodes = nil
			for it := value.Children(); it.Next(); {
				nodes = append(nodes, it.Node())
			}
		}
		for _, n := range nodes {
			text, err := scalar(n)
			if err != nil {
				return nil, wrong(line, "%s: %v", s.Name(), err)
			}
			s.Values = append(s.Values, text)
		}
		out = append(out, s)
	}
	return out, p.Error()
}

// scalar is a value as a flag takes it.
func scalar(n *unstable.Node) (string, error) {
	switch n.Kind {
	case unstable.String, unstable.Bool:
		return string(n.Data), nil
	case unstable.Float:
		f, err := strconv.ParseFloat(strings.ReplaceAll(string(n.Data), "_", ""), 64)
		return strconv.FormatFloat(f, 'g', -1, 64), err
	case unstable.Integer:
		// base 0 knows TOML's prefixes and underscores
		i, err := strconv.ParseInt(string(n.Data), 0, 64)
		return strconv.FormatInt(i, 10), err
	}
	return "", errors.New("a string, a number, true, false, or a list of these is expected")
}
