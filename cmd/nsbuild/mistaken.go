package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"nsbuild/internal/fault"
	"nsbuild/internal/nearest"
)

// verbsElsewhere is what commands of other programs are here: those of docker, podman, machinectl,
// schroot, pbuilder, mock and the shell. The key is a command line without "nsbuild".
func verbsElsewhere() map[string]string {
	return map[string]string{
		"attach": "nsbuild session run NAME", "bootstrap": "nsbuild create SUITE",
		"buildpackage": "nsbuild build .", "chroot": "nsbuild run --root DIR -- COMMAND",
		"clean": "nsbuild cache clean", "debootstrap": "nsbuild create SUITE",
		"debuild": "nsbuild build .", "delete": "nsbuild remove BASE",
		"destroy": "nsbuild remove BASE", "dist-upgrade": "nsbuild update BASE",
		"exec":    "nsbuild run BASE -- COMMAND, or in a session nsbuild session run NAME -- COMMAND",
		"execute": "nsbuild run BASE -- COMMAND", "images": "nsbuild list",
		"init": "nsbuild create SUITE", "inspect": "nsbuild info BASE",
		"kill": "nsbuild session end NAME", "load": "nsbuild import", "login": "nsbuild shell BASE",
		"lint": "nsbuild build --run-lintian SOURCE", "lintian": "nsbuild build --run-lintian SOURCE",
		"ls": "nsbuild list", "piuparts": "nsbuild build --run-piuparts SOURCE",
		"ps": "nsbuild session list", "prune": "nsbuild cache clean", "pull": "nsbuild create SUITE",
		"purge": "nsbuild remove BASE",
		"rm":    "nsbuild remove BASE", "rmi": "nsbuild remove BASE", "save": "nsbuild export",
		"sessions": "nsbuild session list", "show": "nsbuild info BASE",
		"start": "nsbuild session begin BASE", "stop": "nsbuild session end NAME",
		"test": "nsbuild build --run-autopkgtest SOURCE", "upgrade": "nsbuild update BASE",

		"session attach": "nsbuild session run NAME",
		"session cp":     "nsbuild cp NAME:PATH DEST, or FILE NAME:PATH",
		"session create": "nsbuild session begin BASE",
		"session delete": "nsbuild session end NAME", "session enter": "nsbuild session run NAME",
		"session exec": "nsbuild session run NAME -- COMMAND",
		"session join": "nsbuild session run NAME", "session kill": "nsbuild session end NAME",
		"session login": "nsbuild session run NAME", "session ls": "nsbuild session list",
		"session new": "nsbuild session begin BASE", "session ps": "nsbuild session list",
		"session remove": "nsbuild session end NAME", "session rm": "nsbuild session end NAME",
		"session shell": "nsbuild session run NAME", "session start": "nsbuild session begin BASE",
		"session stop": "nsbuild session end NAME",

		"cache clear": "nsbuild cache clean", "cache du": "nsbuild cache info",
		"cache list": "nsbuild cache info", "cache ls": "nsbuild cache info",
		"cache prune": "nsbuild cache clean", "cache purge": "nsbuild cache clean",
		"cache rm": "nsbuild cache clean", "cache show": "nsbuild cache info",
		"config list": "nsbuild config show",
	}
}

// optionsOfBuild is what options of dpkg-buildpackage, debuild, sbuild, pbuilder and
// gbp-buildpackage are for nsbuild build. Several letters behind one dash are a key where that is
// one option there.
func optionsOfBuild() map[string]string {
	return map[string]string{
		"-us": "leave it out: nothing is signed without --sign",
		"-uc": "leave it out: nothing is signed without --sign",
		"-ui": "leave it out: nothing is signed without --sign",
		"-b":  "leave it out: the binary packages alone are built without --source",
		"-B":  "--no-arch-all builds the architecture-dependent packages alone",
		"-F":  "--source builds the source package, too",
		"-g":  "--no-arch-any --source builds the source and what depends on no architecture",
		"-G":  "--no-arch-all --source builds the source and what depends on the architecture",
		"-nc": "leave it out: each build begins with a clean tree of its own",
		"-sa": "--debbuildopt=-sa hands it to dpkg-buildpackage",
		"-sd": "--debbuildopt=-sd hands it to dpkg-buildpackage",
		"-si": "--debbuildopt=-si hands it to dpkg-buildpackage",
		"-a":  "--host ARCH cross compiles, --arch ARCH emulates",
		"-c":  "--base NAME names what to build over",
		"-I":  "--dpkg-source-opt=-I hands it to dpkg-source",
		"-i":  "--dpkg-source-opt=-i hands it to dpkg-source",
		"-n":  "--nolog leaves no log behind",
		"-p":  "--log-dir names the directory of the log; --debbuildopt=-p… is for dpkg-buildpackage",
		"-r":  "leave it out: Rules-Requires-Root decides who the rules run as",
		"-t":  "-d SUITE names the suite",
		"-ts": "leave it out, or use -d SUITE",
		"-z":  "--dpkg-source-opt=-z… hands it to dpkg-source",

		"--apt-distupgrade":    "leave it out: a build brings its base up to date by itself",
		"--apt-update":         "--refresh asks the mirror for new lists",
		"--apt-upgrade":        "leave it out: a build brings its base up to date by itself",
		"--architecture":       "--arch",
		"--autopkgtest":        "--run-autopkgtest",
		"--basetgz":            "--base NAME; nsbuild import makes a base of an archive",
		"--bind":               "the hook directories of docs/hooks.md show directories to a build",
		"--bindmounts":         "the hook directories of docs/hooks.md show directories to a build",
		"--build":              "--arch",
		"--build-dir":          "-o DIR names the directory of the results",
		"--buildresult":        "-o DIR",
		"--chroot":             "--base NAME",
		"--chroot-mode":        "leave it out: there is one mode",
		"--clean-source":       "leave it out: each build begins with a clean tree of its own",
		"--debug-build-deps":   "--build-dep-resolver chooses what finds them; -v shows what it does",
		"--distribution":       "-d SUITE",
		"--export-dir":         "-o DIR",
		"--force-orig-source":  "--debbuildopt=-sa",
		"--foreign":            "--host ARCH",
		"--git-arch":           "--arch",
		"--git-dist":           "-d SUITE",
		"--git-export":         "--git (--git=index for what is staged)",
		"--git-export-dir":     "-o DIR",
		"--git-ignore-new":     "leave it out: a directory is built as it is, without --git",
		"--host-arch":          "--host ARCH",
		"--hooks-dir":          "--hookdir DIR",
		"--lintian":            "--run-lintian",
		"--no-clean":           "leave it out: each build begins with a clean tree of its own",
		"--no-clean-source":    "leave it out: each build begins with a clean tree of its own",
		"--no-lintian":         "--run-lintian=false",
		"--no-pre-clean":       "leave it out: each build begins with a clean tree of its own",
		"--no-run-autopkgtest": "--run-autopkgtest=false",
		"--no-run-lintian":     "--run-lintian=false",
		"--no-run-piuparts":    "--run-piuparts=false",
		"--no-sign":            "leave it out: nothing is signed without --sign",
		"--no-source":          "--source=false",
		"--othermirror":        "--extra-repository LINE",
		"--piuparts":           "--run-piuparts",
		"--purge":              "leave it out: nothing of a build stays",
		"--purge-build":        "leave it out: nothing of a build stays",
		"--purge-deps":         "leave it out: nothing of a build stays",
		"--purge-session":      "leave it out: nothing of a build stays",
		"--resultdir":          "-o DIR",
		"--suite":              "-d SUITE",
		"--unsigned-changes":   "leave it out: nothing is signed without --sign",
		"--unsigned-source":    "leave it out: nothing is signed without --sign",
		"--use-network":        "a build has no network; nsbuild run --network host has",
	}
}

// optionsOfRun is what options of schroot, docker, podman, systemd-nspawn and chroot are for run,
// shell and sessions.
func optionsOfRun() map[string]string {
	return map[string]string{
		"-D": "--root DIR", "--directory": "--root DIR",
		"-c":       "the base is an argument: nsbuild run BASE",
		"--chroot": "the base is an argument: nsbuild run BASE",
		"-d":       "the base is an argument: nsbuild run BASE; --chdir DIR names the directory",
		"-w":       "--chdir DIR", "--workdir": "--chdir DIR", "--cwd": "--chdir DIR",
		"-e": "--setenv NAME=VALUE", "-E": "--setenv NAME=VALUE", "--env": "--setenv NAME=VALUE",
		"--environment": "--setenv NAME=VALUE", "--preserve-environment": "--setenv NAME for each",
		"-m": "--memory SIZE", "-M": "--hostname NAME", "--machine": "--hostname NAME",
		"-h": "--hostname NAME",
		"-b": "nsbuild session begin", "--begin-session": "nsbuild session begin",
		"--boot":   "--as-pid1 runs a command as PID 1",
		"--detach": "nsbuild session begin", "--daemon": "nsbuild session begin",
		"--init": "leave it out: a jail has an init of its own; --as-pid1 is for another",
		"-i":     "leave it out: streams and terminal are handed in by themselves",
		"-t":     "leave it out: streams and terminal are handed in by themselves",
		"-it":    "leave it out: streams and terminal are handed in by themselves",
		"-ti":    "leave it out: streams and terminal are handed in by themselves",
		"-x":     "leave it out: what is written over a base is thrown away",
		"--tty":  "leave it out: streams and terminal are handed in by themselves",
		"--rm":   "leave it out: what is written over a base is thrown away",
		"--ephemeral": "leave it out over a base: what is written is thrown away; with --root " +
			"--overlay",
		"--volume": "--bind SRC[:DST]", "--mount": "--bind SRC[:DST], or --tmpfs DST",
		"--bindmounts": "--bind SRC[:DST]", "--net": "--network none, host or private",
		"--use-network": "--network host", "--private-network": "leave it out: it is the default",
		"--group-add": "--groups", "--read-only-root": "--read-only",
		"--userspec":     "--user NAME --group NAME",
		"--pids-limit":   "--pids",
		"--session-name": "nsbuild session begin --name NAME",
		"--login":        "leave out the command: a login shell is run",
	}
}

// optionsElsewhere is the table for a command.
func optionsElsewhere(c *cobra.Command) map[string]string {
	switch strings.TrimPrefix(c.CommandPath(), "nsbuild ") {
	case "build":
		return optionsOfBuild()
	case "run", "shell", "session begin", "session run":
		return optionsOfRun()
	}
	return nil
}

// mistakenVerb is the error for a command that there is not below another.
func mistakenVerb(parent *cobra.Command, word string) error {
	typed := strings.TrimSpace(strings.TrimPrefix(parent.CommandPath(), "nsbuild") + " " + word)
	hint := parent.CommandPath() + " --help"
	var names []string
	for _, c := range parent.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	elsewhere := verbsElsewhere()
	if here, ok := elsewhere[typed]; ok {
		hint = here
	} else if near := nearest.Names(word, names, 2); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "?"
	} else if others := nearest.Names(typed, slices.Collect(maps.Keys(elsewhere)),
		1); len(others) > 0 {
		hint = elsewhere[others[0]]
	}
	return fault.New(fault.Usage, hint, "there is no command %q", typed)
}

// mistakenOption is the error for an option that cannot be taken: what is expected, or what the
// option is called here.
func mistakenOption(c *cobra.Command, err error) error {
	hint := c.CommandPath() + " --help"
	var bad *pflag.InvalidValueError
	var unknown *pflag.NotExistError
	switch {
	case errors.As(err, &bad):
		if want := expected(bad.GetFlag()); want != "" {
			err = fmt.Errorf("--%s %q: %s is expected", bad.GetFlag().Name, bad.GetValue(), want)
		}
	case errors.As(err, &unknown):
		if here := optionHere(c, unknown); here != "" {
			hint = here
		}
	}
	return fault.Wrap(fault.Usage, hint, err)
}

// optionHere says what an option is called here that a command has not; "" when nobody knows.
func optionHere(c *cobra.Command, unknown *pflag.NotExistError) string {
	elsewhere := optionsElsewhere(c)
	if letters := unknown.GetSpecifiedShortnames(); letters != "" {
		// "-us" is one option of dpkg-buildpackage, "-j4" one with a value
		for _, option := range []string{letters, letters[:min(2, len(letters))],
			unknown.GetSpecifiedName()} {
			if here, ok := elsewhere["-"+option]; ok {
				return here
			}
		}
		if f := flagNamed(c, letters); f != nil {
			return "did you mean --" + f.Name + "?"
		}
		return ""
	}
	typed := unknown.GetSpecifiedName()
	if here, ok := elsewhere["--"+typed]; ok {
		return here
	}
	var names []string
	for _, set := range []*pflag.FlagSet{c.Flags(), c.InheritedFlags()} {
		set.VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				names = append(names, f.Name)
			}
		})
	}
	near := nearest.Names(typed, names, 2)
	if len(near) == 0 {
		return ""
	}
	return "did you mean --" + strings.Join(near, " or --") + "?"
}

// flagNamed is the flag of this name, be it one of every command's: nil when there is none.
func flagNamed(c *cobra.Command, name string) *pflag.Flag {
	if f := c.Flags().Lookup(name); f != nil {
		return f
	}
	return c.InheritedFlags().Lookup(name)
}

// group makes a command of one that has others below it: without a word it shows its help, and a
// word that is none of them is told.
func group(c *cobra.Command) *cobra.Command {
	c.Args = cobra.ArbitraryArgs // so that RunE can say what is wrong with them
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return c.Help()
		}
		return mistakenVerb(c, args[0])
	}
	return c
}

// ownWords has a command's options end at the first word that is none of its own: what follows is
// another program's command line. Its own words, of which there are as many as words says, may have
// options before and behind them. take is given both.
func ownWords(words func() int,
	take func(c *cobra.Command, own, command []string) error) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		var own []string
		for c.ArgsLenAtDash() < 0 && len(args) > 0 && len(own) < words() {
			own = append(own, args[0])
			if args = args[1:]; len(args) == 0 {
				break
			}
			if err := c.Flags().Parse(args); err != nil {
				return c.FlagErrorFunc()(c, err)
			}
			if c.Flags().Changed("help") {
				return pflag.ErrHelp
			}
			args = c.Flags().Args()
		}
		return take(c, own, args)
	}
}
