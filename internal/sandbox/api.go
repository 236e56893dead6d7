package sandbox

import (
	"nsbuild/internal/sandbox/beneath"
	"nsbuild/internal/sandbox/cgroup"
	"nsbuild/internal/sandbox/execpath"
	"nsbuild/internal/sandbox/idmap"
	"nsbuild/internal/sandbox/layout"
	"nsbuild/internal/sandbox/mounts"
	"nsbuild/internal/sandbox/procs"
	"nsbuild/internal/sandbox/reexec"
	"nsbuild/internal/sandbox/syserr"
	"nsbuild/internal/sandbox/wire"
)

// What a caller asks for, and is told. These types go over the sockets between the processes of the
// sandbox, so they are declared in wire.
type (
	// HolderSpec describes a holder: the outer namespaces and PID 1.
	HolderSpec = wire.HolderSpec
	// Spec describes one jail: the inner namespaces over one root.
	Spec = wire.Spec
	// Root says what a jail sees as "/".
	Root = wire.Root
	// Lower is one read-only layer of a root.
	Lower = wire.Lower
	// Mount is one mount in a jail.
	Mount = wire.Mount
	// Overlay is an overlay of host directories within a jail's tree.
	Overlay = wire.Overlay
	// MapKind says which real ids of a host tree are the same numbers in the jail.
	MapKind = wire.MapKind
	// Caller places the caller's own ids in a jail.
	Caller = wire.Caller
	// Vary has commands find something of their surroundings otherwise than it is.
	Vary = wire.Vary
	// Network says what a jail sees of the network.
	Network = wire.Network
	// Scratch is where throwaway roots keep what is written to them.
	Scratch = wire.Scratch
	// Level says how much of a wall a holder's namespaces are.
	Level = wire.Level
	// Emulator is an interpreter for the programs of another architecture.
	Emulator = wire.Emulator
	// Limits bound what everything in the jails of a holder may use together.
	Limits = wire.Limits
	// Command is one program to run in a jail.
	Command = wire.Command
	// Status is how a command ended.
	Status = wire.Status
	// Stray is a process that was still alive when a jail was closed.
	Stray = wire.Stray
	// Usage is what a holder's processes and its throwaway roots use.
	Usage = wire.Usage
	// Traces are what was tried in a jail.
	Traces = wire.Traces
	// Written is a file that was written.
	Written = wire.Written
)

// The values of Network, Scratch, Level and MapKind.
const (
	NetworkNone    = wire.NetworkNone
	NetworkHost    = wire.NetworkHost
	NetworkPrivate = wire.NetworkPrivate

	ScratchTmpfs = wire.ScratchTmpfs
	ScratchDisk  = wire.ScratchDisk
	ScratchCopy  = wire.ScratchCopy

	LevelFull   = wire.LevelFull
	LevelShared = wire.LevelShared

	MapNone  = wire.MapNone
	MapAll   = wire.MapAll
	MapUsers = wire.MapUsers
)

// Error is a system call that failed while a jail was set up or used: which, on what, and why.
type Error = syserr.Error

// Applet is a function of this program that runs as a process of its own, in a jail
// (Command.Applet) or in H (Holder.Applet).
type Applet = reexec.Func

// DefaultPath is the PATH of root in Debian, and where a command is looked up whose environment has
// none.
const DefaultPath = execpath.DefaultPath

// HostRoot is where an applet that runs in H finds the host's tree.
const HostRoot = layout.Host

// NoResolver is the note of a jail whose host does not say where names are looked up.
const NoResolver = mounts.NoResolver

// Exhaustion is what the kernel did because memory ran out in a jail.
type Exhaustion = cgroup.Exhaustion

// Victim is a process that was killed for its memory.
type Victim = cgroup.Victim

// IDMap is the translation between the jail's ids and those of the caller's user namespace.
type IDMap = idmap.Map

// Rung is the step of the ladder of privilege that an IDMap stands on.
type Rung = idmap.Rung

// The rungs, from the highest; see idmap.
const (
	RungRoot      = idmap.RungRoot
	RungSubIDs    = idmap.RungSubIDs
	RungContainer = idmap.RungContainer
)

// IDCount is how many ids a jail has: 0–65535.
const IDCount = idmap.IDCount

// ResolveIDs finds the ids that the caller can map. The errors are fault errors: what is missing,
// and the command that mends it.
func ResolveIDs() (IDMap, error) { return idmap.Resolve() }

// EndGroup waits until a child of ours has ended that leads a process group, and kills what is left
// of the group. The child is not reaped: until the caller has done so, the number of the group
// cannot become another one's.
func EndGroup(leader int) (left bool, err error) { return procs.EndGroup(leader) }

// LeadsNowhere tells the error of a name that is not there, or is a link to nothing or to itself.
func LeadsNowhere(err error) bool { return beneath.LeadsNowhere(err) }

// DanglingLink tells whether name is a link that leads nowhere, with the directory root as "/".
// What cannot be looked at is none.
func DanglingLink(root, name string) bool { return beneath.DanglingLink(root, name) }
