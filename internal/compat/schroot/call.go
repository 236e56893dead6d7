// Package schroot understands the command line of schroot(1): what is asked for, in which of the
// chroots that there are, and with which options of a session.
//
// The chroots are bases of nsbuild and sessions over them. Finding these, running commands in them
// and the exit status are left to cmd/nsbuild.
package schroot

import (
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"nsbuild/internal/compat"
	"nsbuild/internal/fault"
)

// Name is the name, as that of a link to nsbuild, under which nsbuild takes schroot's command line.
const Name = "schroot"

// Call is one call.
type Call struct {
	Action         string // the long name of its flag
	Quiet, Verbose bool
	SessionName    string   // of one that is begun
	Command        []string // and its arguments

	chroots []string
	all     struct{ everything, chroots, sessions, sources bool }
	noAlias bool

	dir, user, shell string
	preserve         bool
}

// What a call can ask for, by the names of the flags.
const (
	Help     = "help"
	Version  = "version"
	List     = "list"
	Info     = "info"
	Config   = "config"
	Location = "location"
	Auto     = "automatic-session"
	Begin    = "begin-session"
	Recover  = "recover-session"
	Run      = "run-session"
	End      = "end-session"
)

// actions are the flags of which one can be given.
var actions = []struct{ name, short, usage string }{
	{"help", "h", "show help options"},
	{"version", "V", "print version information"},
	{"list", "l", "list available chroots"},
	{"info", "i", "show information about selected chroots"},
	{"config", "", "dump configuration of selected chroots"},
	{"location", "", "print location of selected chroots"},
	{"automatic-session", "", "begin, run and end a session automatically (default)"},
	{"begin-session", "b", "begin a session; prints its ID"},
	{"recover-session", "", "recover an existing session"},
	{"run-session", "r", "run an existing session"},
	{"end-session", "e", "end an existing session"},
}

// flags are schroot's options. Which actions were given is found out of the second.
func (s *Call) flags() (*pflag.FlagSet, map[string]*bool) {
	f := pflag.NewFlagSet(Name, pflag.ContinueOnError)
	f.SortFlags = false
	f.Usage = func() {}
	given := map[string]*bool{}
	for _, a := range actions {
		given[a.name] = f.BoolP(a.name, a.short, false, a.usage)
	}
	f.BoolVarP(&s.Quiet, "quiet", "q", false, "show less output")
	f.BoolVarP(&s.Verbose, "verbose", "v", false, "show more output")
	f.StringArrayVarP(&s.chroots, "chroot", "c", nil,
		"use this base or session, `NAME`, with or without chroot:, source: or session:")
	f.BoolVarP(&s.all.everything, "all", "a", false, "select all chroots and active sessions")
	f.BoolVar(&s.all.chroots, "all-chroots", false, "select all chroots")
	f.BoolVar(&s.all.sessions, "all-sessions", false, "select all active sessions")
	f.BoolVar(&s.all.sources, "all-source-chroots", false, "select all source chroots")
	f.BoolVar(&s.noAlias, "exclude-aliases", false, "do not include aliases")
	f.StringVarP(&s.dir, "directory", "d", "", "use `DIR`")
	f.StringVarP(&s.shell, "shell", "s", "", "use `SHELL` as login shell")
	f.StringVarP(&s.user, "user", "u", "", "run as `USER` (default: the current user)")
	f.BoolVarP(&s.preserve, "preserve-environment", "p", false, "preserve user environment")
	f.StringArrayP("option", "o", nil, "set `OPTION`; nothing can be set here")
	f.StringVarP(&s.SessionName, "session-name", "n", "", "call the session `NAME`")
	f.BoolP("force", "f", false, "force operation, even if it fails")
	compat.Abbreviate(f)
	return f, given
}

// HelpHint is where the options are found.
const HelpHint = "Run “schroot --help” to list usage example and all available options"

// Parse takes a command line.
func Parse(args []string) (*Call, error) {
	s := &Call{Action: Auto}
	f, given := s.flags()
	if err := f.Parse(args); err != nil {
		return s, fault.Wrap(fault.Usage, HelpHint, err)
	}
	s.Command = f.Args()
	count := 0
	for _, a := range actions {
		if *given[a.name] {
			s.Action = a.name
			count++
		}
	}
	if count > 1 {
		return s, fault.New(fault.Usage, HelpHint, "Only one action may be specified")
	}
	return s, nil
}

// Usage is the text that --help shows.
func (s *Call) Usage() string {
	f, _ := s.flags()
	return "Usage:\n  schroot  [OPTION…] [COMMAND] — run command or shell in a base of nsbuild\n\n" +
		f.FlagUsages()
}

// InSession is whether the action is about sessions alone.
func (s *Call) InSession() bool {
	return s.Action == Run || s.Action == End || s.Action == Recover
}

// shows is whether the action shows chroots.
func (s *Call) shows() bool {
	return s.Action == List || s.Action == Info || s.Action == Config || s.Action == Location
}

// Choose finds the chroots that are asked for.
func (s *Call) Choose(known []Chroot) ([]Chroot, error) {
	sessionsOnly := s.InSession()
	some := s.all.everything || s.all.chroots || s.all.sessions || s.all.sources
	if some || s.shows() && len(s.chroots) == 0 {
		wanted := map[string]bool{
			"chroot": s.all.everything || s.all.chroots || !some, "source": s.all.everything ||
				s.all.sources || !some, "session": s.all.everything || s.all.sessions,
		}
		return slices.DeleteFunc(known, func(c Chroot) bool {
			return !wanted[c.Namespace] || sessionsOnly && c.Namespace != "session" || c.alias &&
				(s.noAlias || s.Action != List)
		}), nil
	}
	names := s.chroots
	if len(names) == 0 {
		names = []string{"default"}
	}
	var chosen []Chroot
	for _, full := range names {
		namespace, name, ok := strings.Cut(full, ":")
		if !ok {
			name, namespace = full, "chroot"
			if sessionsOnly {
				namespace = "session"
			}
		}
		i := slices.IndexFunc(known, func(c Chroot) bool {
			return c.Namespace == namespace && c.Name == name
		})
		if i < 0 || sessionsOnly && namespace != "session" {
			return nil,
				fault.New(fault.Internal, "“nsbuild create SUITE” makes a base, “schroot --list "+
					"--all” lists what there is", "%s: Chroot not found", full)
		}
		chosen = append(chosen, known[i])
	}
	return chosen, nil
}
