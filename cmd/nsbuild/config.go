package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"nsbuild/internal/config"
	"nsbuild/internal/fault"
	"nsbuild/internal/nearest"
)

// Every flag is a key of the configuration files and has a variable of the environment, by its
// name: --jobs of build is jobs in [build], and NSBUILD_BUILD_JOBS. To be a key, a flag needs no
// more than to stand in docs/configuration.md, which a test asks for; one that is none is in
// onCommandLine. CONTRIBUTING.md has what else a new flag of build needs.

// onCommandLine are the flags that say what a single call is to do, or that accept a danger. They
// are no keys.
func onCommandLine(table, flag string) bool {
	switch flag {
	case "help", "version", "force", "root", "all", "replace", "name", "from", "lock", "locked",
		"save", "as", "json", "build-deps", "yes", "apparmor-profile":
		return true
	}
	if table == "shell" && flag == "dist" {
		return true
	}
	verb, _, _ := strings.Cut(table, ".")
	switch verb {
	case "repro": // the others are those of build
		return flag != "vary"
	case "rebuild":
		return !slices.Contains([]string{"snapshot", "keyring", "provenance-key", "builder-id"},
			flag)
	case "batch", "rdeps", "compare", "import", "export", "man", "completion", "config", "forget",
		"enter", "diff", "cp", "retry", "report", "verify":
		return true
	}
	return false
}

// key is a flag as a key.
type key struct {
	table string // "" of a flag of every verb
	flag  *pflag.Flag
}

func (k key) name() string { return strings.TrimPrefix(k.table+"."+k.flag.Name, ".") }

// variablePrefix begins every key's name in the environment.
const variablePrefix = "NSBUILD_"

// variable is the key's name in the environment.
func (k key) variable() string {
	switch k.name() {
	case "state-dir":
		return "NSBUILD_STATE"
	case "cache-dir":
		return "NSBUILD_CACHE"
	}
	return variablePrefix + strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(
		k.name()))
}

// keysOf lists the keys by name.
func keysOf(root *cobra.Command) map[string]key {
	keys := map[string]key{}
	general := root.PersistentFlags()
	add := func(table string, set *pflag.FlagSet) {
		set.VisitAll(func(f *pflag.Flag) {
			// Parsing adds the general ones to the verb's own. cobra's way to tell them apart
			// copies every set: half a millisecond of each start.
			if (table == "" || general.Lookup(f.Name) != f) && !onCommandLine(table, f.Name) {
				k := key{table, f}
				keys[k.name()] = k
			}
		})
	}
	add("", general)
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			add(strings.ReplaceAll(strings.TrimPrefix(sub.CommandPath(), root.Name()+" "), " ",
				"."), sub.Flags())
			walk(sub)
		}
	}
	walk(root)
	return keys
}

// configuration is where the values of flags come from; what is not in it is a default.
type configuration map[*pflag.Flag]string

// configure gives the flags that were not given what the environment and the files say, in this
// order: environment, the user's file, the machine's.
func configure(root *cobra.Command) (configuration, error) {
	c := configuration{}
	keys := keysOf(root)
	for _, k := range keys {
		if k.flag.Changed || typedElsewhere(root, k) {
			c[k.flag] = "flag"
		}
	}
	if slices.ContainsFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, variablePrefix)
	}) {
		for _, name := range slices.Sorted(maps.Keys(keys)) {
			k := keys[name]
			if value := os.Getenv(k.variable()); value != "" {
				if err := c.set(keys, k, []string{value}, false, rankVariable,
					k.variable()); err != nil {
					return nil, err
				}
			}
		}
	}
	files, err := config.Files()
	if err != nil {
		return nil, err
	}
	for i, file := range files {
		settings, err := config.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for _, s := range settings {
			k, ok := keys[s.Name()]
			if !ok {
				return nil, unknownKey(root, keys, s)
			}
			if err := c.set(keys, k, s.Values, s.List, rankFile+i, s.Origin()); err != nil {
				return nil, err
			}
		}
	}
	return c, nil
}

// typedElsewhere tells whether a flag of another name, which no file can say, has set a key's value
// on the command line: --as is --user.
func typedElsewhere(root *cobra.Command, k key) bool {
	c, _, err := root.Find(strings.Split(k.table, "."))
	if err != nil || k.table == "" {
		return false
	}
	typed := false
	c.Flags().Visit(func(f *pflag.Flag) { typed = typed || f.Value == k.flag.Value })
	return typed
}

// rivals are flags of build of which those that a user says nearer to the command line count alone.
func rivals(name string) []string {
	const changelog = "build.binNMU-changelog"
	versions := []string{"build.make-binNMU", "build.binNMU", "build.binNMU-timestamp",
		"build.append-to-version"}
	switch {
	case name == changelog:
		return versions
	case slices.Contains(versions, name):
		return []string{changelog}
	case name == "build.nolog":
		return []string{"build.log-dir"}
	case name == "build.log-dir":
		return []string{"build.nolog"}
	}
	return nil
}

// overruled tells whether a rival of a key says something, and nearer to the command line.
func (c configuration) overruled(keys map[string]key, k key, rank int) bool {
	return slices.ContainsFunc(rivals(k.name()), func(name string) bool {
		f := keys[name].flag
		return c[f] != "" && rankOf(f) < rank && f.Value.String() != f.DefValue
	})
}

// set gives a flag a value, unless what counts more has given it one, or its opposite.
func (c configuration) set(keys map[string]key, k key, values []string, list bool, rank int,
	origin string) error {
	opposite := "no-" + k.flag.Name
	if positive, ok := strings.CutPrefix(k.flag.Name, "no-"); ok {
		opposite = positive
	}
	other, ok := keys[strings.TrimPrefix(k.table+"."+opposite, ".")]
	if c[k.flag] != "" || ok && c[other.flag] != "" && rankOf(other.flag) != rank ||
		c.overruled(keys, k, rank) {
		return nil
	}
	var err error
	slice, isSlice := k.flag.Value.(pflag.SliceValue)
	switch {
	case isSlice && list:
		err = slice.Replace(values)
	case list && k.flag.Value.Type() != "string":
		err = errors.New("one value is expected, not a list")
	default: // of a string that is a list itself, commas are between its words
		err = k.flag.Value.Set(strings.Join(values, ","))
	}
	if want := expected(k.flag); want != "" && err != nil && !list {
		err = fmt.Errorf("%s is expected, not %q", want, values[0])
	}
	if err != nil {
		help := strings.Join(
			strings.Fields("nsbuild "+strings.ReplaceAll(k.table, ".", " ")+" --help"), " ")
		return fault.New(fault.Usage, help+" tells of --"+k.flag.Name, "%s: %s: %w", origin,
			k.name(), err)
	}
	c[k.flag] = origin
	noteOrigin(k.flag, rank, origin)
	return nil
}

// expected says what values a flag takes; "" for any text.
func expected(f *pflag.Flag) string {
	return map[string]string{"bool": "true or false", "int": "a number", "float64": "a number",
		"duration": "a time such as 10m"}[f.Value.Type()]
}

func unknownKey(root *cobra.Command, keys map[string]key, s config.Setting) error {
	names := slices.Collect(maps.Keys(keys))
	var beside []string // in the same table
	for _, k := range keys {
		if k.table == s.Table {
			beside = append(beside, k.flag.Name)
		}
	}
	hint := "nsbuild config show lists the keys"
	if near := nearest.Names(s.Key, beside, 1); len(near) > 0 {
		hint = "did you mean " + (key{s.Table, &pflag.Flag{Name: near[0]}}).name() + "?"
	} else if near := nearest.Names(s.Name(), names, 1); len(near) > 0 {
		hint = "did you mean " + near[0] + "?"
	} else if others := slices.DeleteFunc(names, func(n string) bool {
		return !strings.HasSuffix(n, "."+s.Key)
	}); len(others) > 0 {
		slices.Sort(others)
		hint = "there is " + strings.Join(others, ", ")
	}
	if c, _, err := root.Find(strings.Split(s.Table, ".")); err == nil && s.Table != "" &&
		c.Flags().Lookup(s.Key) != nil && onCommandLine(s.Table, s.Key) {
		return fault.New(fault.Usage, "leave it out", "%s: %s is for the command line alone",
			s.Origin(), s.Name())
	}
	return fault.New(fault.Usage, hint, "%s: the key %s is not known", s.Origin(), s.Name())
}

func newConfig(a *app) *cobra.Command {
	c := group(&cobra.Command{
		Use:   "config",
		Short: "Show the configuration",
		Long: "config is about the configuration files, /etc/nsbuild/config.toml and " +
			"~/.config/nsbuild/config.toml.\n",
	})
	c.AddCommand(newConfigShow(a))
	return c
}

func newConfigShow(a *app) *cobra.Command {
	var changed bool
	c := &cobra.Command{
		Use:   "show",
		Short: "List every key with its value and where that comes from",
		Long: `show writes the configuration as a configuration file: every key with its value. A
comment says where the value comes from: a flag, a variable of the environment, a line of a file, or
"default". A default that depends on the machine is shown as an empty value.
`,
		Args: rangeArgs(0, 0, "it takes no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			return showConfig(a.stdout, c.Root(), a.configuration, changed)
		},
	}
	c.Flags().BoolVar(&changed, "changed", false, "leave out the defaults")
	return c
}

func showConfig(w io.Writer, root *cobra.Command, c configuration, changed bool) error {
	all := slices.SortedFunc(maps.Values(keysOf(root)), func(a, b key) int {
		return cmp.Or(cmp.Compare(a.table, b.table), cmp.Compare(a.flag.Name, b.flag.Name))
	})
	table := ""
	for _, k := range all {
		origin := c[k.flag]
		if origin == "" {
			if changed {
				continue
			}
			origin = "default"
		}
		if k.table != table {
			table = k.table
			fmt.Fprintf(w, "\n[%s]\n", table)
		}
		line, err := toml.Marshal(map[string]any{k.flag.Name: valueOf(k.flag)})
		if err != nil {
			return fmt.Errorf("writing %s: %w", k.name(), err)
		}
		if _, err := fmt.Fprintf(w, "%-40s # %s\n", strings.TrimRight(string(line), "\n"),
			origin); err != nil {
			return err
		}
	}
	return nil
}

// valueOf is a flag's value as TOML has it.
func valueOf(f *pflag.Flag) any {
	text := f.Value.String()
	if s, ok := f.Value.(pflag.SliceValue); ok {
		return append([]string{}, s.GetSlice()...)
	}
	switch f.Value.Type() {
	case "bool":
		return text == "true"
	case "int", "int64":
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return n
		}
	case "float64":
		if n, err := strconv.ParseFloat(text, 64); err == nil {
			return n
		}
	}
	return text
}
