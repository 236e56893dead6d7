package wire

import (
	"time"
)

// Op names a request or an event on the sockets between the caller, PID 1 and the helper.
type Op string

const (
	OpHello  Op = "hello"  // PID 1 → guest: this is your jail
	OpSetup  Op = "setup"  // caller → PID 1: HolderSpec; helper: jail setup
	OpJail   Op = "jail"   // open a jail
	OpStrays Op = "strays" // list the jail's processes
	OpOnline Op = "online" // the jail is connected to the network
	OpStop   Op = "stop"   // end the jail's processes: list strays, kill all
	OpSweep  Op = "sweep"  // end what commands have left running; the jail goes on
	OpClose  Op = "close"  // unmount the stopped jail
	OpExec   Op = "exec"   // run a command in the jail
	OpApplet Op = "applet" // run an applet in H
	OpExit   Op = "exit"   // event: a command ended
	OpSignal Op = "signal" // signal a command's process group
	OpOpen   Op = "open"   // open a file beneath the jail's root
	OpCreate Op = "create" // create a file beneath the jail's root
	OpMkdir  Op = "mkdir"  // make a directory beneath the jail's root
	OpLink   Op = "link"   // make a symbolic link beneath the jail's root
	OpTTY    Op = "tty"    // open a pseudo-terminal of the jail
	OpPause  Op = "pause"  // event: a command was stopped
	OpSpace  Op = "space"  // open the directory of the upper directories
	OpShare  Op = "share"  // make another connection
	OpUsage  Op = "usage"  // what the holder uses
)

// Message is the one frame of the protocol: requests carry an ID that the answer repeats; events
// have ID 0. Instead of what it should have, an answer can have Err. Of the other fields, and of
// descriptors in brackets, these are used:
//
//	            request                                  answer
//	setup       Holder, Path (a pipe for the watcher)    Scratch, Found
//	 to helper  Spec, Root, Join, Limits (the program)   Notes (/dev/pts, Vary.Dirs: listener)
//	jail        Spec (mapped trees)                      Jail, Notes, Plain
//	strays      Jail                                     Strays
//	online      Jail
//	stop        Jail                                     Strays
//	sweep       Jail                                     Strays
//	close       Jail
//	exec        Command, Handle (streams, files)         PID
//	applet      Command, Handle (streams, files)         PID
//	signal      Handle, Signal
//	open        Jail, Path                               (the file)
//	create      Jail, Path, Mode, UID, GID               (the file)
//	mkdir       Jail, Path, Mode, UID, GID
//	link        Jail, Path, Target
//	tty         Jail, UID                                (its two ends)
//	space                                                (the directory)
//	share       Jail                                     (a connection)
//	usage                                                Usage
//
//	            event
//	hello       Jail
//	exit        Handle, Status, Err
//	pause       Handle
type Message struct {
	Op  Op
	ID  int      `json:",omitempty"`
	Err *Failure `json:",omitempty"`

	Holder *HolderSpec `json:",omitempty"`
	Spec   *Spec       `json:",omitempty"`
	Root   string      `json:",omitempty"` // helper: the mounted root, as H sees it
	// Join, to a helper: the jail has been set up by another; only the network differs.
	Join    bool     `json:",omitempty"`
	Command *Command `json:",omitempty"`
	Jail    int      `json:",omitempty"`
	Handle  int      `json:",omitempty"` // the caller's number for a command
	PID     int      `json:",omitempty"`
	Status  *Status  `json:",omitempty"`
	Signal  int      `json:",omitempty"`
	Path    string   `json:",omitempty"`
	Target  string   `json:",omitempty"` // of a symbolic link
	Mode    uint32   `json:",omitempty"`
	UID     int      `json:",omitempty"`
	GID     int      `json:",omitempty"`
	Strays  []Stray  `json:",omitempty"`
	Notes   []string `json:",omitempty"`
	Scratch Scratch  `json:",omitempty"`
	Usage   *Usage   `json:",omitempty"`
	Limits  *Limits  `json:",omitempty"` // helper: what each command is limited to
	Plain   bool     `json:",omitempty"` // see Jail.Plain
	// Found is what PID 1 found out about overlays; see HolderSpec.Memory.
	Found map[string]bool `json:",omitempty"`
}

// The applets of the sandbox itself; see Holder.Applet. Where an argument is a jail's number PID 1
// puts in its place what only PID 1 knows: where the jail's upper directory is, or which process is
// its helper.
const (
	AppletMakeRoot   = "make-root"
	AppletRemoveTree = "remove-tree"
	AppletCopyTree   = "copy-tree"
	AppletMoveLayer  = "move-layer"
	AppletTreeSize   = "tree-size"
	// AppletCallersTree copies a tree, of which jail root's files become the caller's.
	AppletCallersTree = "callers-tree"
	AppletSaveLayer   = "save-layer"
	// AppletSaveRoot copies what layers make together: TO, JSON list of paths to leave out, layers
	// topmost first.
	AppletSaveRoot = "save-root"
	// AppletSaveCallersRoot does the same for jails whose root is the caller: the files become jail
	// root's again.
	AppletSaveCallersRoot = "save-callers-root"
	// AppletTraces tells what was tried in a jail: its number, JSON list of paths to leave out.
	AppletTraces = "traces"
	AppletListen = "listen"
	// AppletDirOrder answers those who read directories in a jail: the number of Vary.Dirs. Its
	// descriptor 3 is what it answers by.
	AppletDirOrder = "dir-order"
	AppletPasta    = "pasta"
)

// HelperPatience is far more than a helper needs for an answer. It lives in the jail: jail root can
// hold it (with a debugger, or a file system of its own on the path of a command) while PID 1
// serves nobody else.
const HelperPatience = 20 * time.Second
