package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"nsbuild/internal/config"
	"nsbuild/internal/fault"
)

// configured runs configure over a new command line, of which args were given.
func configured(t *testing.T, args ...string) (*cobra.Command, configuration, error) {
	t.Helper()
	root := newRoot(&app{stdout: os.Stdout, stderr: os.Stderr})
	c, rest, err := root.Find(args)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.ParseFlags(rest); err != nil {
		t.Fatal(err)
	}
	conf, err := configure(root)
	return root, conf, err
}

func writeConfig(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// onlyConfig makes a file the only configuration of a test.
func onlyConfig(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "config.toml")
	writeConfig(t, name, text)
	t.Setenv(config.FileVariable, name)
	t.Setenv("NSBUILD_STATE", "")
	t.Setenv("NSBUILD_CACHE", "")
	return name
}

// TestConfigPrecedence: flags count more than the environment, that more than the files; of
// opposites, too.
func TestConfigPrecedence(t *testing.T) {
	file := onlyConfig(t, "offline = true\n[build]\nno-arch-all = true\njobs = 3\nscratch = "+
		"\"disk\"\nprofiles = [\"a\", \"b\"]\nadd-depends = [\"x\", \"y (>= "+
		"1)\"]\n[session.begin]\nnetwork = \"host\"\n")
	t.Setenv("NSBUILD_BUILD_SCRATCH", "tmpfs")
	t.Setenv("NSBUILD_BUILD_DIST", "trixie")
	t.Setenv("NSBUILD_STATE", "/somewhere")
	root, conf, err := configured(t, "build", "--arch-all", "--dist=sid")
	if err != nil {
		t.Fatal(err)
	}
	keys := keysOf(root)
	for name, want := range map[string]struct{ value, origin string }{
		"build.dist": {"sid", "flag"}, "build.arch-all": {"true", "flag"},
		"build.no-arch-all": {"false", ""},
		"build.scratch":     {"tmpfs", "NSBUILD_BUILD_SCRATCH"},
		"state-dir":         {"/somewhere", "NSBUILD_STATE"},
		"build.jobs":        {"3", file + ":4"}, "offline": {"true", file + ":1"},
		"build.profiles": {"a,b", file + ":6"}, "build.add-depends": {`[x,y (>= 1)]`, file + ":7"},
		"session.begin.network": {"host", file + ":9"}, "run.network": {"none", ""},
	} {
		f := keys[name].flag
		if got := f.Value.String(); got != want.value || conf[f] != want.origin {
			t.Errorf("%s: %q from %q, want %q from %q", name, got, conf[f], want.value, want.origin)
		}
	}
}

// TestConfigFiles: the user's file counts more than the machine's.
func TestConfigFiles(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", "/c")
	if files, err := config.Files(); os.Getenv(config.FileVariable) == "" &&
		(err != nil || len(files) != 2 || files[0] != "/c/nsbuild/config.toml" ||
			files[1] != "/etc/nsbuild/config.toml") {
		t.Error(files, err)
	}
	t.Setenv(config.FileVariable, "")
	if files, err := config.Files(); err != nil || len(files) > 0 {
		t.Error(files, err)
	}
}

// TestConfigErrors: a key that is not known, or a value that is none, is told with its place.
func TestConfigErrors(t *testing.T) {
	for text, want := range map[string][2]string{
		"ofline = true": {":1: the key ofline is not known",
			"did you mean offline"},
		"\n[build]\ndits = \"sid\"": {":3: the key build.dits is not known",
			"did you mean build.dist"},
		"hookdir = \"/h\"": {":1: the key hookdir is not known",
			"there is build.hookdir"},
		"[build]\njobs = \"many\"": {":2: build.jobs: ",
			"nsbuild build --help tells of --jobs"},
		"[build]\njobs = [1, 2]": {":2: build.jobs: one value is expected", "--jobs"},
		"[run]\nforce = true": {":2: run.force is for the command line alone",
			"leave it out"},
		"verbose = 7":                       {":1: verbose: ", "nsbuild --help tells"},
		"[build]\n\ndist = \"a\"\ndist='b'": {":4: ", ""},
	} {
		file := onlyConfig(t, text)
		_, _, err := configured(t, "list")
		if err == nil || !strings.HasPrefix(err.Error(), file+want[0]) ||
			!strings.Contains(fault.HintOf(err), want[1]) || fault.KindOf(err) != fault.Usage {
			t.Errorf("%q: %v (%s)", text, err, fault.HintOf(err))
		}
	}
	onlyConfig(t, "")
	t.Setenv("NSBUILD_BUILD_JOBS", "many")
	if _, _, err := configured(t, "list"); err == nil ||
		!strings.HasPrefix(err.Error(),
			"NSBUILD_BUILD_JOBS: build.jobs: a number is expected, not \"many\"") {
		t.Error(err)
	}
	t.Setenv("NSBUILD_BUILD_JOBS", "")
	t.Setenv(config.FileVariable, "/nonexistent/config.toml")
	if _, _, err := configured(t, "list"); err == nil ||
		!strings.Contains(err.Error(), "/nonexistent/config.toml") {
		t.Error(err)
	}
}

// TestConfigShow: what is shown is a configuration file that says the same.
func TestConfigShow(t *testing.T) {
	onlyConfig(t,
		"[build]\nadd-depends = [\"quote\\\"d\", \"b\"]\nmaintainer = 'A \\ B <a@b.example>'\n")
	show := func() string {
		root, conf, err := configured(t, "config", "show")
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := showConfig(&out, root, conf, false); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	first := show()
	if !strings.Contains(first, "config.toml:3\n") || !strings.Contains(first, "# default\n") {
		t.Error(first)
	}
	onlyConfig(t, first)
	values := regexp.MustCompile(` +# .*`)
	if second := show(); values.ReplaceAllString(second, "") != values.ReplaceAllString(first, "") {
		t.Errorf("%s\nis not what was shown:\n%s", second, first)
	}
	root, conf, err := configured(t, "config", "show")
	if err == nil {
		err = showConfig(io.Discard, root, conf, true)
	}
	if err != nil {
		t.Error(err)
	}
}

var (
	flagTable = regexp.MustCompile(`(?m)^\| flag of ([^|]*)\|`)
	ofVerb    = regexp.MustCompile("`nsbuild ([a-z -]+)`")
)

// TestEveryKeyIsDocumented holds docs/configuration.md to the flags that there are: each stands, as
// `--flag`, in a table with the heading "flag of `nsbuild VERB`".
func TestEveryKeyIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{} // table → text
	at := flagTable.FindAllSubmatchIndex(page, -1)
	for i, m := range at {
		end := len(page)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		heading, text := string(page[m[2]:m[3]]), string(page[m[0]:end])
		for _, verb := range ofVerb.FindAllStringSubmatch(heading, -1) {
			documented[strings.ReplaceAll(verb[1], " ", ".")] += text
		}
		if strings.Contains(heading, "every verb") {
			documented[""] += text
		}
	}
	for name, k := range keysOf(newRoot(&app{stdout: os.Stdout, stderr: os.Stderr})) {
		if !strings.Contains(documented[k.table], "`--"+k.flag.Name+"`") {
			t.Errorf("every flag is a key of the configuration, and %s is not in "+
				"docs/configuration.md: write `--%s` into the table with the heading \"flag of "+
				"`nsbuild %s`\", or name the flag in onCommandLine (config.go) if it is for a "+
				"single call",
				name, k.flag.Name, strings.ReplaceAll(k.table, ".", " "))
		}
	}
}
