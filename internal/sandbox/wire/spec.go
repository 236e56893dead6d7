// Package wire is what goes between the processes of the sandbox: the caller, PID 1, the helper in
// the jail and applets. Values have the form in which they are sent; Conn sends them, with
// descriptors, over a unix socket.
//
// Whoever receives something checks it: that a value has come over a socket says nothing of its
// truth. The helper and applets in a jail can be held or changed by jail root. The package decides
// nothing. Besides the socket it closes to later programs what a process has inherited (Inherited),
// which is the first thing that PID 1 and the helper do.
package wire

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"nsbuild/internal/sandbox/idmap"
)

// Network says what a jail sees of the network.
type Network string

const (
	// NetworkNone is an empty network namespace with loopback up: what every build gets.
	NetworkNone Network = "none"
	// NetworkHost shares the caller's network namespace.
	NetworkHost Network = "host"
	// NetworkPrivate is a network namespace of the jail's own, connected to the outside by
	// pasta(1).
	NetworkPrivate Network = "private"
)

// HolderSpec describes a holder: the outer namespaces and PID 1.
type HolderSpec struct {
	// IDs is the id mapping that every tree the holder touches is owned by.
	IDs idmap.Map
	// ScratchSize limits the tmpfs for upper directories, in bytes; 0 leaves it to the kernel (half
	// of memory).
	ScratchSize int64
	// ScratchDir, when set, keeps upper directories below this host directory instead of on a
	// tmpfs.
	ScratchDir string
	// FallbackDir is a host directory to be used so where the kernel has no overlays on a tmpfs for
	// us.
	FallbackDir string
	// Memory, when set, is a host file in which it is remembered what this kernel's overlays can
	// do; without it each start tries.
	Memory string
	// Known is what Memory says; set by Start.
	Known map[string]bool `json:",omitempty"`
	// Limits bound what runs in the holder's jails.
	Limits Limits
	// Group is the control group of what runs in jails, "" for none, and Spare those of the Limits
	// that it does not hold; both are set by Start.
	Group string `json:",omitempty"`
	Spare Limits
	// Copy makes each throwaway root a copy on the tmpfs. It is also what is done where the kernel
	// has no overlays for us at all.
	Copy bool
	// Emulator, when set, runs the programs of another architecture in all jails of the holder.
	Emulator *Emulator `json:",omitempty"`
	// Inodes32 is for programs that have 32 bits for inode numbers: overlays then leave files the
	// numbers of their layers.
	Inodes32 bool `json:",omitempty"`
	// Require is the least of levels that will do; "" is any.
	Require Level `json:",omitempty"`
	// Level is the one that the holder has; set by Start.
	Level Level `json:",omitempty"`
	// Personality32 is Spec.Personality32 for all jails of the holder.
	Personality32 bool `json:",omitempty"`
}

// Level says how much of a wall a holder's namespaces are.
type Level string

const (
	// LevelFull has every namespace that the kernel knows.
	LevelFull Level = "full"
	// LevelShared lacks a PID namespace of its own, and so a /proc of its own: the jails' processes
	// are among the caller's, and those are seen in jails. It is for containers that mask parts of
	// their /proc.
	LevelShared Level = "shared-pid-namespace"
)

// Scratch is where throwaway roots keep what is written to them.
type Scratch string

const (
	// ScratchTmpfs is an overlay whose upper directory is on a tmpfs.
	ScratchTmpfs Scratch = "tmpfs"
	// ScratchDisk is an overlay whose upper directory is on disk.
	ScratchDisk Scratch = "disk"
	// ScratchCopy is a copy of the whole tree on a tmpfs.
	ScratchCopy Scratch = "copy"
)

// Root says what a jail sees as "/". Exactly one of Lowers and Dir is set.
type Root struct {
	// Lowers are the read-only layers below a fresh upper directory, topmost first.
	Lowers []Lower
	// Dir is a host directory used as it is. It is owned by mapped ids.
	Dir string
	// Plain makes the root a plain copy of the layers, in the scratch, for programs that see an
	// overlay.
	Plain bool `json:",omitempty"`
	// Seed is what the upper directory over Lowers begins as a copy of: a host directory that was
	// the upper directory of an earlier jail over the same.
	Seed string `json:",omitempty"`
	// Upper is such a directory that is itself written to. Nothing else may use it meanwhile.
	Upper string `json:",omitempty"`
	// ReadOnly makes the root read-only.
	ReadOnly bool
	// Map shows Dir, or the one layer that is a Path, with its real ids as jail ids: for trees that
	// were not made in a holder. Only root can.
	Map MapKind `json:",omitempty"`
	// Tree is the number of the descriptor that comes with the request; set by NewJail.
	Tree int `json:",omitempty"`
}

// Lower is one read-only layer: a host directory, or the upper directory of an earlier jail of the
// same holder.
type Lower struct {
	Path string `json:",omitempty"`
	// Jail is the id of a closed jail whose upper directory is meant; used when Path is empty.
	Jail int `json:",omitempty"`
}

// MapKind says which real ids of a host tree are the same numbers in the jail (MOUNT_ATTR_IDMAP in
// mount_setattr(2)). What is not mapped belongs to nobody there.
type MapKind string

const (
	// MapNone shows no id of the host.
	MapNone MapKind = ""
	// MapAll maps every id: jail root can then leave files of the host's root in the tree.
	MapAll MapKind = "all"
	// MapUsers maps ids from 1000 on, those of people.
	MapUsers MapKind = "users"
)

// Caller places the caller's own ids in a jail, where they are otherwise nobody's.
type Caller struct{ UID, GID int }

// Mount is one mount of the plan. Target is a path inside the jail, resolved inside it.
type Mount struct {
	// "bind", "rbind", "tmpfs", "proc", "sysfs", "devpts", "mqueue", "overlay", "remount", or
	// "text", a read-only file with Data as its text
	Type   string
	Source string // host path for binds
	Target string
	// ReadOnly, NoExec, NoSuid and NoDev hold for the whole subtree of an rbind (mount_setattr).
	ReadOnly, NoExec, NoSuid, NoDev bool
	NoSymFollow                     bool // so does this: symbolic links lead nowhere
	// NoLinks is for binds whose Source is absolute and has no symbolic link in it: where others
	// can put one into it meanwhile, it is refused.
	NoLinks bool `json:",omitempty"`
	// Data is the file system's own options, such as "mode=755,size=10m".
	Data string
	// Mkdir makes a missing target (a file for a bind of a file).
	Mkdir bool
	// Owner is jail root as H numbers it, to whom belongs what is made; set by PID 1.
	Owner int `json:",omitempty"`
	// Private makes a "text" readable for jail root alone.
	Private bool `json:",omitempty"`
	// Map is for binds; see Root.Map.
	Map MapKind `json:",omitempty"`
	// Tree is set by NewJail; see Root.Tree.
	Tree int `json:",omitempty"`
	// Overlay is for the type "overlay".
	Overlay *Overlay `json:",omitempty"`
}

// Overlay is an overlay of host directories within a jail's tree. Map of its Mount holds for all of
// them.
type Overlay struct {
	Lowers []string // topmost first
	// Upper and Work are on one file system, or empty for a read-only overlay. They are named
	// relative to Writable, a directory that holds both.
	Upper, Work, Writable string
	// Trees are those of the lowers, then Writable's; see Root.Tree.
	Trees []int `json:",omitempty"`
}

// Spec describes one jail: the inner namespaces over one root.
type Spec struct {
	Root     Root
	Mounts   []Mount
	Hostname string // default "nsbuild"
	Domain   string `json:",omitempty"` // that the host name is in; "": none
	Network  Network
	// Personality32 sets linux32 for every command (32-bit suites).
	Personality32 bool
	// KeepNames leaves /etc/hosts and /etc/hostname as they are, in a root whose changes are kept.
	KeepNames bool `json:",omitempty"`
	// Caller, when set, maps the caller's own uid and gid to these ids of the jail, for binds of
	// what the caller owns.
	Caller *Caller `json:",omitempty"`
	// Vary is what commands are told otherwise than it is.
	Vary *Vary `json:",omitempty"`
}

// Vary has commands find something of their surroundings otherwise than it is, so that it shows
// whether a build depends on that. Zero values leave it as it is.
type Vary struct {
	// Dirs, when it is not 0, gives directories another order: one that follows from this number
	// and from the names.
	Dirs uint64 `json:",omitempty"`
	// OldKernel has uname(2) answer with a release that begins with 2.6 (UNAME26 in
	// personality(2)).
	OldKernel bool `json:",omitempty"`
}

// Command is one program to run in a jail.
type Command struct {
	// Argv is the program and its arguments; Argv[0] is looked up in PATH of Env, inside the jail.
	Argv []string
	// Applet, when set, runs this very binary instead of Argv[0]: the applet of that name (see Main
	// in sandbox), with Argv as its arguments.
	Applet string
	Env    []string // complete environment; nothing is inherited
	Dir    string   // default "/"
	UID    int      // numeric, inside the jail
	GID    int
	Groups []int // supplementary groups
	// Network, when it is NetworkHost in a jail without network, gives this one command the
	// caller's network namespace. It and the jail's other commands cannot trace each other.
	Network Network `json:",omitempty"`
	// Memory limits each process of the command, where Limits cannot limit all together; set by the
	// helper.
	Memory int64 `json:",omitempty"`
	// Terminal makes standard input the controlling terminal of a session of the command's own; see
	// Jail.NewTerminal.
	Terminal bool `json:",omitempty"`
	// Background starts a command with a Terminal in its background: it is stopped when it wants to
	// read keys or to change the terminal's mode, and has the terminal once it is continued.
	Background bool `json:",omitempty"`
	// PID1 makes the command PID 1 of a PID namespace of its own, with the /proc of that. Its end
	// ends all that it started.
	PID1 bool `json:",omitempty"`

	Stdin, Stdout, Stderr *os.File `json:"-"`
	// Files are passed as descriptors 3, 4, … (applets use them for their specifications and
	// results).
	Files []*os.File `json:"-"`
}

// Status is how a command ended.
type Status struct {
	Code   int            // exit status when it exited
	Signal syscall.Signal // the signal that ended it, or 0
	MaxRSS int64          // bytes, of the command and the children it waited for
	User   time.Duration
	System time.Duration
}

// ExitCode is the status as a shell gives it: the command's own, or 128+signal.
func (s Status) ExitCode() int {
	if s.Signal != 0 {
		return 128 + int(s.Signal)
	}
	return s.Code
}

// Success reports whether the command exited with status 0.
func (s Status) Success() bool { return s.Code == 0 && s.Signal == 0 }

func (s Status) String() string {
	if s.Signal != 0 {
		return fmt.Sprintf("killed by signal %d (%s)", int(s.Signal), s.Signal)
	}
	return fmt.Sprintf("exit status %d", s.Code)
}

// Stray is a process that was still alive when a jail was closed.
type Stray struct {
	PID, PPID int    // as the jail's PID namespace numbers them
	Command   string // command line, control characters escaped
	Age       time.Duration
}

// Limits bound what everything in the jails of a holder may use together. Zero values are no
// limits.
type Limits struct {
	Memory int64   // bytes, what is written to a throwaway root on a tmpfs included
	CPUs   float64 // processors' worth of time
	PIDs   int     // processes and threads
}

// Usage is what a holder's processes and its throwaway roots use.
type Usage struct {
	Processes int   // but those of the sandbox itself
	Memory    int64 // bytes that processes use; what they share counts once
	Disk      int64 // bytes that were written to throwaway roots, on a tmpfs or on disk
	DiskMore  bool  // it is more than that: there are too many files to count them all
}

// Traces are what was tried in a jail.
type Traces struct {
	// Counted tells whether the jail's network counters could be read.
	Counted bool
	// Unreachable is how often something would have reached another machine, and found no way.
	Unreachable int64
	// Unanswered is how often something asked, on the jail's own machine, where nobody listens: as
	// who looks up a name does.
	Unanswered int64
	// Written are files that were made, changed or deleted, in no order, at most MostWritten.
	Written []Written
	More    int // how many there are besides
	// Plain tells that the jail's root is no overlay: what was written there is not known.
	Plain bool
}

// MostWritten is how many files are named.
const MostWritten = 200

// Written is a file that was written.
type Written struct {
	Path    string // from the root on, beginning with a slash
	Deleted bool
}

// Emulator is an interpreter for programs whose beginning, as far as Mask has bits, is Magic. It is
// a static program of the host.
type Emulator struct {
	Name        string
	Magic, Mask []byte
	Interpreter string
	// KeepArgv0 hands over the program's own name, too.
	KeepArgv0 bool
}

// BinfmtCall is what an error of pid1.registerEmulator says was called.
const BinfmtCall = "binfmt_misc"

// OwnIDsCall is what an error says was called where a jail with the caller's ids is refused.
const OwnIDsCall = "giving a jail the caller's ids"

// StatusOf translates what wait4(2) says.
func StatusOf(ws syscall.WaitStatus, ru *syscall.Rusage) Status {
	s := Status{
		MaxRSS: int64(ru.Maxrss) * 1024, //nolint:unconvert // int32 on 32-bit machines
		User:   time.Duration(ru.Utime.Nano()),
		System: time.Duration(ru.Stime.Nano()),
	}
	if ws.Signaled() {
		s.Signal = ws.Signal()
	} else {
		s.Code = ws.ExitStatus()
	}
	return s
}
