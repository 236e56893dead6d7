package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"nsbuild/internal/buildlog"
	"nsbuild/internal/console"
	"nsbuild/internal/fault"
	"nsbuild/internal/hook"
	"nsbuild/internal/sbuildrc"
)

// sbuildName is the name, as that of a link to this program, under which it takes sbuild's command
// line: sbuild(1).
//
// sbuild's options and configuration become flags of “nsbuild build”, which then runs as ever:
// there is one way to build.
const sbuildName = "sbuild"

// sbuild is one call. Options and configuration files fill the same variables, named as in those
// files; options come later, and count more.
type sbuild struct {
	a       *app
	environ []string
	home    string
	keys    map[string]sbuildKey

	text     map[string]string
	bits     map[string]bool
	list     map[string][]string
	commands []sbuildCommand
	verbose  int // -v and -q
	help     bool
	version  bool

	origin map[string]string // where a variable was set last: FILE:LINE
	option map[string]string // or by which option
	unread map[string]error  // variables whose value in a file is not read
	wrong  error             // the first option that cannot be taken
	idle   []string          // what was set and has no meaning here

	aliases   map[string]string // of $chroot_aliases: distribution → chroot
	extraArgs sbuildrc.Setting  // $unshare_mmdebstrap_extra_args
}

// sbuildCommand is a command to be run at a moment of the build.
type sbuildCommand struct{ option, text string }

func newSbuild(a *app, environ []string, home string) *sbuild {
	return &sbuild{
		a: a, environ: environ, home: home, keys: sbuildKeys(),
		text: map[string]string{}, bits: map[string]bool{}, list: map[string][]string{},
		origin: map[string]string{}, option: map[string]string{}, unread: map[string]error{},
		aliases: map[string]string{},
	}
}

// runSbuild is run for sbuild's command line. Exit statuses are sbuild's: 1 for a wrong command
// line or configuration, and when a signal ends it. On standard output is the log alone.
func runSbuild(args []string, stdin io.Reader, stdout, stderr *os.File) int {
	ctx, release, stop := withSignals(context.Background(), func(err error) int {
		fmt.Fprintf(stderr, "E: %v\n", err)
		return 1
	})
	defer stop()
	a := &app{stdout: stderr, stderr: stderr, releaseSignals: release}
	err := a.sbuild(ctx, args, stdin, stdout)
	err = errors.Join(err, a.close(ctx))
	if err == nil {
		return 0
	}
	for line := range strings.Lines(strings.TrimRight(err.Error(), "\n")) {
		fmt.Fprintf(stderr, "E: %s\n", buildlog.VisibleString(strings.TrimRight(line, "\n")))
	}
	if hint := fault.HintOf(err); hint != "" {
		fmt.Fprintf(stderr, "I: %s\n", hint)
	}
	if kind := fault.KindOf(err); kind == fault.Usage || kind == fault.Interrupted {
		return 1
	}
	return exitStatus(err)
}

func (a *app) sbuild(ctx context.Context, args []string, stdin io.Reader, stdout *os.File) error {
	home := os.Getenv("HOME")
	if home == "" {
		me, err := user.Current()
		if err != nil {
			return fmt.Errorf("finding the home directory: %w", err)
		}
		home = me.HomeDir
		if err := os.Setenv("HOME", home); err != nil { // bases are found from there, too
			return err
		}
	}
	s := newSbuild(a, os.Environ(), home)
	if err := s.readConfig(sbuildrc.Files(os.Getenv, home)); err != nil {
		return err
	}
	f := s.flags()
	err := f.Parse(args)
	if err == nil {
		err = contradiction(f)
	}
	if err == nil {
		err = s.wrong
	}
	if err != nil {
		return fault.Wrap(fault.Usage, "sbuild --help lists the options", err)
	}
	switch {
	case s.help:
		fmt.Fprintf(stdout,
			"Usage:\n  sbuild [OPTION…] [PACKAGE[.dsc]] — build a package with nsbuild\n\n%s",
			f.FlagUsages())
		return nil
	case s.version:
		fmt.Fprintf(stdout, "sbuild (nsbuild %s)\n", version)
		return nil
	}
	source := "."
	switch sources := f.Args(); len(sources) {
	case 0:
	case 1:
		source = sources[0]
	default:
		return fault.New(fault.Usage, "“nsbuild build” takes several",
			"Only one build is permitted")
	}
	command, err := s.translate(source, console.IsTerminal(os.Stdin) && console.IsTerminal(stdout))
	if err != nil {
		return err
	}
	s.tell(command)
	// else progress and log share the terminal
	if !console.IsTerminal(stdout) || !console.IsTerminal(a.stderr) {
		a.logTo = stdout
	}
	root := newRoot(a)
	root.SetArgs(command)
	root.SetIn(stdin)
	root.SetOut(a.stderr)
	root.SetErr(a.stderr)
	if build, _, err := root.Find([]string{"build"}); err == nil {
		build.PreRunE = needsDistribution
	}
	return root.ExecuteContext(ctx)
}

// needsDistribution holds builds back that sbuild would not begin either. A source directory's
// changelog names one.
func needsDistribution(c *cobra.Command, args []string) error {
	if c.Flags().Lookup("dist").Value.String() != "" {
		return nil
	}
	if isDir(args[0]) {
		return nil
	}
	return fault.New(fault.Usage, "give --dist, or set $distribution in ~/.sbuildrc",
		"No distribution defined")
}

// tell says what has no meaning here, in one line, and for those who want to know what runs.
func (s *sbuild) tell(command []string) {
	if len(s.idle) > 0 && !s.a.quiet {
		fmt.Fprintf(s.a.stderr, "I: without a meaning here: %s\n", strings.Join(s.idle, ", "))
	}
	if s.text["debug"] != "" && s.text["debug"] != "0" {
		fmt.Fprintf(s.a.stderr, "I: nsbuild %s\n", commandLineOf(command))
	}
}

func (s *sbuild) warn(format string, args ...any) {
	fmt.Fprintf(s.a.stderr, "W: "+format+"\n", args...)
}

// flag sets a variable that is true or false.
func (s *sbuild) flag(key string, value bool) { s.bits[key] = value }

// given notes that an option has set a variable, whatever a file says.
func (s *sbuild) given(key, option string) {
	s.option[key] = "--" + option
	delete(s.unread, key)
}

// setText sets a variable by an option.
func (s *sbuild) setText(key, value, option string) {
	s.text[key] = value
	s.given(key, option)
}

// shown is how whoever set a variable knows it.
func (s *sbuild) shown(key string) string {
	if o := s.option[key]; o != "" {
		return o
	}
	return fmt.Sprintf("$%s (%s)", key, s.origin[key])
}

// known tells whether a build has a moment of this name.
func known(moment string) bool {
	return moment == "chroot-update-failed-commands" ||
		slices.ContainsFunc(hook.Commands(), func(k hook.Kind) bool { return k.Option == moment })
}

// addCommand adds a command for a moment of the build.
func (s *sbuild) addCommand(moment, text, shown, origin string) error {
	if origin != "" {
		shown += " (" + origin + ")"
	}
	switch {
	case moment == "chroot-update-failed-commands":
		// a base is brought up to date before a build begins
		s.idle = append(s.idle, shown)
		return nil
	case !known(moment):
		return fault.New(fault.Usage, "", "%s: there is no such moment in a build", shown)
	}
	s.commands = append(s.commands, sbuildCommand{moment, text})
	return nil
}
