package session

import (
	"context"
	"os"
	"time"

	"github.com/sirupsen/logrus"

	"nsbuild/internal/base"
	"nsbuild/internal/fstab"
	"nsbuild/internal/jails"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/strays"
)

// Options say what command to run, where, and how.
type Options struct {
	Jail
	Command
	Streams
	Host
	Around
}

// Jail says what jail it is to be. Exactly one of Base and Root is set.
type Jail struct {
	Base     string
	Root     string // a host directory
	Overlay  bool   // throw away what is written to Root
	ReadOnly bool
	Force    bool // use a Root that is dangerous
	Hostname string

	Fstab   string
	Mounts  []fstab.Mount
	Network sandbox.Network
	Files   []File // are shown in a throwaway root that has the directories for them
	// Whose is the user of the jail to whom the caller's files belong there, a name or a number;
	// root when empty. WhoseGroup is the group.
	Whose, WhoseGroup string
	HostUsers         bool // the jail gets those users and groups of the host that it has not
	Limits            sandbox.Limits
	Require           sandbox.Level // the least level of isolation that will do; "" is any
}

// throwaway tells whether what is written to the root is thrown away, so that mount points can be
// made in it.
func (j *Jail) throwaway() bool { return j.Root == "" || j.Overlay }

// Command says what is run in a jail, as whom, and how long it may take.
type Command struct {
	Argv   []string // none: a login shell
	User   string   // name or number in the jail; root when empty
	Group  string
	Groups []string // nil: those that the jail's /etc/group says
	Dir    string
	Env    []string // KEY=VALUE, over the defaults
	PID1   bool     // the command is PID 1 of a PID namespace of its own

	Timeout   time.Duration // 0: none
	KillAfter time.Duration // after the first signal that asks the command to end; 0: never
}

// Streams are what a command has of its caller.
type Streams struct {
	Stdin, Stdout, Stderr *os.File
	// Signals are passed on to the command.
	Signals <-chan os.Signal
}

// Host is what a jail needs of this program.
type Host struct {
	StateDir string
	CacheDir string // where a base is copied to whose root is the caller
	Store    *base.Store
	IDs      func() (sandbox.IDMap, error) // of a Root
	// where throwaway layers are kept when they cannot be on a tmpfs
	Fallback string
	// Begun is the sandbox's PID 1, started beforehand; Run starts one when it is nil.
	Begun *sandbox.Beginning
	Log   logrus.FieldLogger
}

// Around is what is done before the command, and after it.
type Around struct {
	// Under, when set, makes further layers over the base, topmost first, on which the command then
	// runs.
	Under func(context.Context, jails.Holder, Ground) ([]sandbox.Lower, error)
	Hooks Hooks

	Strays  strays.Policy
	Verbose bool // list also what strays.Kill ends
	// Keep, when set, is given what the command has left of its root, once it has ended and all
	// that it left running, too.
	Keep func(context.Context, Left) error
}

// Left is a root after its command, over a base that is still in use.
type Left struct {
	Base   *base.Generation
	Holder jails.Holder
	Lowers []sandbox.Lower // what the command has changed, and the layers below it, topmost first
	Caller *sandbox.Caller // of the jail; see sandbox.Spec
	Status sandbox.Status
}
