// Package sbuild makes commands of nsbuild's out of the command line and the configuration files of
// sbuild(1).
//
// Options and configuration become flags of “nsbuild build”, which then runs as ever: there is one
// way to build. Running the command, its output and the exit status are left to cmd/nsbuild; the
// files are read by internal/sbuildrc.
package sbuild

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"nsbuild/internal/fault"
	"nsbuild/internal/hook"
	"nsbuild/internal/sbuildrc"
)

// Name is the name, as that of a link to nsbuild, under which nsbuild takes sbuild's command line.
const Name = "sbuild"

// Call is one call. Options and configuration files fill the same variables, named as in those
// files; options come later, and count more.
type Call struct {
	Help, Version bool // what is to be shown, instead of a build

	environ []string
	home    string
	stderr  io.Writer
	keys    map[string]configKey

	text     map[string]string
	bits     map[string]bool
	list     map[string][]string
	commands []hookCommand
	verbose  int // -v and -q
	quiet    bool

	origin map[string]string // where a variable was set last: FILE:LINE
	option map[string]string // or by which option
	unread map[string]error  // variables whose value in a file is not read
	wrong  error             // the first option that cannot be taken
	idle   []string          // what was set and has no meaning here

	aliases   map[string]string // of $chroot_aliases: distribution → chroot
	extraArgs sbuildrc.Setting  // $unshare_mmdebstrap_extra_args
}

// hookCommand is a command to be run at a moment of the build.
type hookCommand struct{ option, text string }

// New is a call in an environment, by someone with this home directory. What it warns of is written
// to stderr.
func New(environ []string, home string, stderr io.Writer) *Call {
	return &Call{
		environ: environ, home: home, stderr: stderr, keys: allKeys(),
		text: map[string]string{}, bits: map[string]bool{}, list: map[string][]string{},
		origin: map[string]string{}, option: map[string]string{}, unread: map[string]error{},
		aliases: map[string]string{},
	}
}

// Parse takes a command line, and returns what is none of its options.
func (s *Call) Parse(args []string) ([]string, error) {
	f := s.Flags()
	err := f.Parse(args)
	if err == nil {
		err = contradiction(f)
	}
	if err == nil {
		err = s.wrong
	}
	if err != nil {
		return nil, fault.Wrap(fault.Usage, "sbuild --help lists the options", err)
	}
	return f.Args(), nil
}

// Usage is the text that --help shows.
func (s *Call) Usage() string {
	return "Usage:\n  sbuild [OPTION…] [PACKAGE[.dsc]] — build a package with nsbuild\n\n" +
		s.Flags().FlagUsages()
}

// Quiet is whether less is to be shown.
func (s *Call) Quiet() bool { return s.quiet }

// Tell says what has no meaning here, in one line, and for those who want to know what runs.
func (s *Call) Tell(command []string) {
	if len(s.idle) > 0 && !s.quiet {
		fmt.Fprintf(s.stderr, "I: without a meaning here: %s\n", strings.Join(s.idle, ", "))
	}
	if s.text["debug"] != "" && s.text["debug"] != "0" {
		fmt.Fprintf(s.stderr, "I: nsbuild %s\n", commandLineOf(command))
	}
}

func (s *Call) warn(format string, args ...any) {
	fmt.Fprintf(s.stderr, "W: "+format+"\n", args...)
}

// flag sets a variable that is true or false.
func (s *Call) flag(key string, value bool) { s.bits[key] = value }

// given notes that an option has set a variable, whatever a file says.
func (s *Call) given(key, option string) {
	s.option[key] = "--" + option
	delete(s.unread, key)
}

// setText sets a variable by an option.
func (s *Call) setText(key, value, option string) {
	s.text[key] = value
	s.given(key, option)
}

// shown is how whoever set a variable knows it.
func (s *Call) shown(key string) string {
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
func (s *Call) addCommand(moment, text, shown, origin string) error {
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
	s.commands = append(s.commands, hookCommand{moment, text})
	return nil
}
