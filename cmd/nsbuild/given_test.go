package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"nsbuild/internal/deps"
	"nsbuild/internal/pkgbuild"
)

// channel is a way to give a flag a value.
type channel string

const (
	onLine     channel = "command line"
	inVariable channel = "environment"
	inFile     channel = "file"
)

// answer is a value for a flag of a verb, whose table is "" where it is of every verb.
type answer struct{ table, flag, value string }

// configuredBy reads a command line of a verb, of which the answers are given in one way or
// another, and completes the flags of build.
func configuredBy(t *testing.T, verb string, by map[channel][]answer) (*cobra.Command, *app,
	error) {
	t.Helper()
	args := strings.Split(verb, ".")
	var text strings.Builder
	for _, c := range []channel{onLine, inVariable, inFile} {
		for _, a := range by[c] {
			k := key{a.table, &pflag.Flag{Name: a.flag}}
			switch c {
			case onLine:
				args = append(args, "--"+a.flag+"="+a.value)
			case inVariable:
				t.Setenv(k.variable(), a.value)
			case inFile:
				if a.table != "" {
					fmt.Fprintf(&text, "[%s]\n", a.table)
				}
				value := "'" + a.value + "'"
				if strings.Contains(a.value, "\n") {
					value = strconv.Quote(a.value)
				}
				fmt.Fprintf(&text, "%s = %s\n", a.flag, value)
			}
		}
	}
	state, cache := os.Getenv("NSBUILD_STATE"), os.Getenv("NSBUILD_CACHE")
	onlyConfig(t, grouped(text.String()))
	for _, a := range by[inVariable] { // onlyConfig empties them
		switch a.flag {
		case "state-dir":
			t.Setenv("NSBUILD_STATE", state)
		case "cache-dir":
			t.Setenv("NSBUILD_CACHE", cache)
		}
	}
	a := &app{stdout: os.Stdout, stderr: os.Stderr}
	root := newRoot(a)
	c, rest, err := root.Find(args)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.ParseFlags(rest); err != nil {
		return c, a, err
	}
	if _, err := configure(root); err != nil {
		return c, a, err
	}
	if verb == "build" {
		a.buildFlags.Sources = []string{"hello"}
		if err := a.buildFlags.complete(false, c.LocalNonPersistentFlags()); err != nil {
			return c, a, err
		}
		return c, a, a.buildFlags.Validate()
	}
	return c, a, nil
}

// grouped is a configuration with each table once, and true, false and numbers as TOML has them.
func grouped(text string) string {
	tables, order := map[string]string{}, []string{""}
	at := ""
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "[") {
			at = line
			if !slices.Contains(order, at) {
				order = append(order, at)
			}
			continue
		}
		name, value, _ := strings.Cut(strings.TrimSpace(line), " = ")
		if bare := strings.Trim(value, "'"); bare == "true" || bare == "false" {
			value = bare
		}
		tables[at] += name + " = " + value + "\n"
		at = strings.TrimSpace(at)
		if at != "" {
			at += "\n"
		} else {
			at = ""
		}
	}
	var out strings.Builder
	for _, table := range order {
		out.WriteString(table + tables[table])
	}
	return out.String()
}

// entry is one of a changelog.
const entry = "xx (1+b1) sid; urgency=low\n\n  * x\n\n -- A <a@b.example>  " +
	"Mon, 01 Jan 2024 00:00:00 +0000\n"

// sample is a value that a flag does not have by itself.
func sample(k key) string {
	switch k.name() {
	case "build.scratch":
		return pkgbuild.ScratchTmpfs
	case "build.strays", "run.strays", "shell.strays":
		return "warn"
	case "build.annotations":
		return "github"
	case "build.jobs-at-once", "build.binNMU":
		return "3"
	case "build.binNMU-timestamp":
		return "1700000000"
	case "build.build-dep-resolver":
		return deps.ResolverAptitude
	case "build.bd-uninstallable-explainer":
		return deps.ExplainerDose
	case "build.resolve-alternatives":
		return pkgbuild.FirstAlternative
	case "build.git":
		return "head"
	case "build.compare":
		return "archive"
	case "build.fail-on":
		return "warning"
	case "build.maintainer", "build.uploader":
		return "A <a@b.example>"
	case "build.deb-build-options":
		return "nostrip parallel=5"
	case "build.keep":
		return "always"
	case "build.keep-age":
		return "3d"
	case "build.memory", "build.scratch-size", "build.max-results", "build.keep-size":
		return "300M"
	case "build.arch", "build.host":
		return "riscv64"
	case "build.plan":
		return "x.plan.json"
	case "build.binNMU-changelog":
		return entry
	case "build.append-to-version":
		return "~x1"
	case "build.debbuildopt", "build.debbuildopts":
		return "--sanitize-env"
	case "build.builder-id", "rebuild.builder-id":
		return "https://ci.example/builders/1"
	case "build.pin":
		return "release n=sid 5"
	}
	switch k.flag.Value.Type() {
	case "bool":
		return map[string]string{"true": "false", "false": "true"}[k.flag.DefValue]
	case "int", "float64":
		return "7"
	case "duration":
		return "17s"
	}
	return "sample"
}

// companions are what a flag means nothing without.
func companions(k key) []answer {
	of := map[string][2]string{
		"binNMU": {"make-binNMU", "x"}, "binNMU-timestamp": {"make-binNMU", "x"},
		"lintian-opt": {"run-lintian", "true"}, "lintian-opts": {"run-lintian", "true"},
		"fail-on":      {"run-lintian", "true"},
		"piuparts-opt": {"run-piuparts", "true"}, "piuparts-opts": {"run-piuparts", "true"},
	}
	if c, ok := of[k.flag.Name]; ok && k.table == "build" {
		return []answer{{k.table, c[0], c[1]}}
	}
	return nil
}

// asked is what a verb was told: the values of its flags, and of build what follows from them.
func asked(c *cobra.Command, a *app) string {
	var out strings.Builder
	c.Flags().VisitAll(func(f *pflag.Flag) { fmt.Fprintf(&out, "%s=%s\n", f.Name, f.Value) })
	o := a.buildFlags.Several
	o.Hooks, o.NewBase, o.UpdateHooks, o.Said = nil, nil, nil, nil
	fmt.Fprintf(&out, "%+v\n", o)
	return out.String()
}

// TestEachFlagInEachPlace gives each flag of each verb on the command line, in the environment and
// in a file: what is configured counts as what is typed.
func TestEachFlagInEachPlace(t *testing.T) {
	t.Setenv("DEB_BUILD_OPTIONS", "nocheck")
	t.Setenv("DEB_BUILD_PROFILES", "stage1")
	t.Setenv("DEBEMAIL", "A <a@b.example>")
	keys := keysOf(newRoot(&app{stdout: os.Stdout, stderr: os.Stderr}))
	for name, k := range keys {
		t.Run(name, func(t *testing.T) {
			verb := k.table
			if verb == "" {
				verb = "build"
			}
			all := append(companions(k), answer{k.table, k.flag.Name, sample(k)})
			results := map[channel]string{}
			for _, by := range []channel{onLine, inVariable, inFile} {
				t.Run(string(by), func(t *testing.T) {
					c, a, err := configuredBy(t, verb, map[channel][]answer{by: all})
					if err != nil {
						t.Fatal(err)
					}
					results[by] = asked(c, a)
				})
			}
			for _, by := range []channel{inVariable, inFile} {
				if results[by] != results[onLine] {
					t.Errorf("by the %s it is\n%s\non the command line\n%s", by, results[by],
						results[onLine])
				}
			}
			c, a, err := configuredBy(t, verb, nil)
			if err != nil {
				t.Fatal(err)
			}
			if asked(c, a) == results[onLine] {
				t.Errorf("%s=%s changes nothing", name, sample(k))
			}
		})
	}
}

// TestWhatCountsTogether has flags that belong together or contradict each other in different
// places.
func TestWhatCountsTogether(t *testing.T) {
	t.Setenv("DEBEMAIL", "A <a@b.example>")
	b := func(flag, value string) answer { return answer{"build", flag, value} }
	on := func(c channel, a ...answer) map[channel][]answer { return map[channel][]answer{c: a} }
	with := func(m map[channel][]answer, c channel, a ...answer) map[channel][]answer {
		m[c] = a
		return m
	}
	for _, c := range []struct {
		name string
		by   map[channel][]answer
		says string // of the refusal; "" for none
		is   func(o *buildOptions) bool
	}{
		{"empty text in a file", on(inFile, b("make-binNMU", " ")),
			"config.toml:2: make-binNMU: the text is empty", nil},
		{"empty text in the environment", on(inVariable, b("append-to-version", " ")),
			"NSBUILD_BUILD_APPEND_TO_VERSION: append-to-version: the text is empty", nil},
		{"no packages for all", on(inFile, b("make-binNMU", "x")), "", func(o *buildOptions) bool {
			return !o.ArchAll
		}},
		{"bad word", on(inFile, b("deb-build-options", "No!")),
			`config.toml:2: deb-build-options: "No!"`, nil},
		{"entry and text in one file",
			on(inFile, b("binNMU-changelog", "x"), b("make-binNMU", "y")), "contradict", nil},
		{"entry nearer than text", with(on(inFile, b("make-binNMU", "y")), onLine,
			b("binNMU-changelog", entry)), "",
			func(o *buildOptions) bool { return o.BinNMU == "" && o.BinNMUChangelog == entry }},
		{"a number waits in a file", on(inFile, b("binNMU", "4")), "", func(o *buildOptions) bool {
			return o.ArchAll
		}},
		{"a number waits no longer",
			with(on(inFile, b("binNMU", "4")), onLine, b("make-binNMU", "x")), "",
			func(o *buildOptions) bool { return o.BinNMUVersion == 4 && !o.ArchAll }},
		{"all packages typed", with(on(inFile, b("make-binNMU", "x")), onLine,
			b("arch-all", "true")), "contradict", nil},
		{"all packages configured", with(on(inFile, b("arch-all", "true")), onLine,
			b("make-binNMU", "x")), "",
			func(o *buildOptions) bool { return !o.ArchAll }},
		{"no to all in a file", on(inFile, b("arch-all", "false")), "", func(o *buildOptions) bool {
			return !o.ArchAll
		}},
		{"no to all in the environment", on(inVariable, b("arch-all", "false")), "",
			func(o *buildOptions) bool { return !o.ArchAll }},
		{"both answers, as shown", on(inFile, b("arch-all", "false"), b("no-arch-all", "false")),
			"", func(o *buildOptions) bool { return o.ArchAll }},
		{"a key alone", on(inFile, b("keyid", "0x1")), "", func(o *buildOptions) bool {
			return o.Sign
		}},
		{"a key, for when it is asked for", on(inFile, b("sign", "false"), b("keyid", "0x1")), "",
			func(o *buildOptions) bool { return !o.Sign }},
		{"no signature this time", with(on(inFile, b("keyid", "0x1")), inVariable,
			b("sign", "false")), "", func(o *buildOptions) bool { return !o.Sign }},
		{"a key this time", with(on(inFile, b("sign", "false")), onLine, b("keyid", "0x1")), "",
			func(o *buildOptions) bool { return o.Sign }},
		{"both typed", on(onLine, b("sign", "false"), b("keyid", "0x1")), "contradict", nil},
		{"disk typed, a size configured", with(on(inFile, b("scratch-size", "1G")), onLine,
			b("scratch", "disk")), "",
			func(o *buildOptions) bool {
				return o.Scratch == pkgbuild.ScratchDisk && o.ScratchSize == 0
			}},
		{"a size typed, disk configured", with(on(inFile, b("scratch", "disk")), onLine,
			b("scratch-size", "1G")), "",
			func(o *buildOptions) bool {
				return o.Scratch == pkgbuild.ScratchAuto && o.ScratchSize == 1<<30
			}},
		{"disk and a size configured", on(inFile, b("scratch", "disk"), b("scratch-size", "1G")),
			"contradicts", nil},
		{"no log typed, a directory configured", with(on(inFile, b("log-dir", "/l")), onLine,
			b("nolog", "true")), "",
			func(o *buildOptions) bool { return o.NoLog && o.LogDir == "" }},
		{"a directory typed, no log configured", with(on(inFile, b("nolog", "true")), onLine,
			b("log-dir", "/l")), "",
			func(o *buildOptions) bool { return !o.NoLog && o.LogDir == "/l" }},
		{"a chain typed", with(on(inFile, b("jobs-at-once", "4")), onLine, b("chain", "true")), "",
			func(o *buildOptions) bool { return o.Chain }},
		{"a chain and a number configured", on(inFile, b("jobs-at-once", "4"), b("chain", "true")),
			"contradict", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, a, err := configuredBy(t, "build", c.by)
			switch {
			case c.says == "" && err != nil:
				t.Error(err)
			case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
				t.Errorf("%v, want %q", err, c.says)
			case c.is != nil && !c.is(a.buildFlags):
				t.Errorf("it is asked for %+v", a.buildFlags.Several)
			}
		})
	}
}

// TestShownConfigurationSaysTheSame gives config show's whole output back as a file.
func TestShownConfigurationSaysTheSame(t *testing.T) {
	t.Setenv("DEB_BUILD_OPTIONS", "nocheck")
	t.Setenv("DEB_BUILD_PROFILES", "stage1")
	onlyConfig(t, "[build]\njobs = 4\ndist = 'trixie'\n")
	build := func() (string, string) {
		a := &app{stdout: os.Stdout, stderr: os.Stderr}
		root := newRoot(a)
		c, _, err := root.Find([]string{"build"})
		check(t, err)
		conf, err := configure(root)
		check(t, err)
		check(t, a.buildFlags.complete(false, c.LocalNonPersistentFlags()))
		var shown strings.Builder
		check(t, showConfig(&shown, root, conf, false))
		return asked(c, a), shown.String()
	}
	first, shown := build()
	onlyConfig(t, shown)
	if again, _ := build(); again != first {
		t.Errorf("%s\nis not\n%s", again, first)
	}
}

// TestOtherNameOfUser has --as count more than what is configured as --user.
func TestOtherNameOfUser(t *testing.T) {
	onlyConfig(t, "[shell]\nuser = 'configured'\n")
	root, _, err := configured(t, "shell", "--as=typed")
	check(t, err)
	c, _, err := root.Find([]string{"shell"})
	check(t, err)
	if got := c.Flags().Lookup("user").Value.String(); got != "typed" {
		t.Errorf("the user is %s", got)
	}
}

// TestCleanAllOverConfigured has --all count more than what is configured to stay.
func TestCleanAllOverConfigured(t *testing.T) {
	onlyConfig(t, "[cache.clean]\nmax-size = '1G'\n")
	t.Setenv("NSBUILD_STATE", t.TempDir())
	t.Setenv("NSBUILD_CACHE", t.TempDir())
	a := &app{stdout: os.Stdout, stderr: os.Stderr}
	root := newRoot(a)
	root.SetOut(io.Discard)
	root.SetArgs([]string{"cache", "clean", "--all", "--quiet"})
	err := root.ExecuteContext(t.Context())
	if a.env != nil {
		check(t, a.close(t.Context()))
	}
	check(t, err)
}
