// Package unpack is the part of the native bootstrapper that runs inside the jail: it extracts
// binary packages into the tree in parallel, writes dpkg's database as `dpkg --unpack` would, runs
// the preinst scripts, and finishes the tree at the end.
//
// It is started as an applet by internal/bootstrap, which chooses and fetches the packages.
// Whatever a package or a script puts into the tree, symbolic links that lead outside included, is
// resolved by the kernel inside the jail's root, so nothing here needs to distrust a path.
package unpack

import "time"

// Name is the applet's name, and the descriptors are those it is started with.
const (
	Name = "unpack"

	InputFD  = 3 // JSON: what to do
	OutputFD = 4 // JSON lines: what was done
)

// Plan is the first JSON value on the input of `unpack extract`. Items follow, one JSON value each,
// until the end of the stream.
type Plan struct {
	// Tree is where the tree itself is found, without the mounts that a jail has on /dev, /proc and
	// the like. The applet makes it its root directory.
	Tree string
	// Debs is the directory that the items' paths are relative to. It is opened before Tree becomes
	// the root.
	Debs string
	// Workers is how many packages are extracted at once; 0 means one per processor.
	Workers int
	// First is how many items have First set: the others wait until those are done.
	First int
	// Links are symbolic links made before anything else, path to target, with their targets as
	// directories (merged /usr where no package brings the links).
	Links map[string]string
	// Files are written before anything is extracted, path to content (mode 0644).
	Files map[string]string
	// Database says to write dpkg's database; without it files are only extracted (what debootstrap
	// does with required packages before dpkg can run), of two packages that have the same file
	// either one's.
	Database bool
	// Wipe empties the tree first.
	Wipe bool
	// Epoch clamps modification times of directories.
	Epoch time.Time
}

// Item is one package to extract.
type Item struct {
	Path string // below Plan.Debs
	Name string // expected in the Package field
	// its place in the order in which dpkg would unpack; decides who owns a directory's mode
	Rank  int
	First bool
}

// Result is one line of output of `unpack extract`.
type Result struct {
	// Item echoes the item's path; it is empty in the last line, which sums up.
	Item    string `json:",omitempty"`
	Control string `json:",omitempty"` // the control paragraph
	Files   int    `json:",omitempty"`
	Bytes   int64  `json:",omitempty"` // of file content
	Preinst bool   `json:",omitempty"`
	// Inexact says why the result would differ from dpkg's. The tree is not to be used then.
	Inexact string `json:",omitempty"`
	// Error says what failed.
	Error string `json:",omitempty"`
	// Last marks the last line.
	Last bool `json:",omitempty"`
}

// Preinsts is the input of `unpack preinst`.
type Preinsts struct {
	Env     []string
	Scripts []Preinst // in the order in which they are to run
}

// Preinst is one script to run.
type Preinst struct {
	Package, Arch string
	// Info is the name under which the package's files stand in dpkg's info directory: "bash",
	// "libc6:amd64".
	Info    string
	Control string
}

// Finish is the input of `unpack finish`: what to change in the tree as the last step.
type Finish struct {
	Tree string
	// Files are written, path to content.
	Files []File
	// Remove are paths removed with everything below them; shell patterns are allowed.
	Remove []string
	// Truncate are patterns of files emptied.
	Truncate []string
	// Lines are added to files where no line with the same first field (up to ":") is there yet.
	Lines []Line
	// Epoch clamps all modification times.
	Epoch time.Time
}

// File is a file to be written.
type File struct {
	Path   string
	Mode   uint32 // 0 means 0644
	Body   string
	Target string // makes it a symbolic link
	Keep   bool   // leave what is there already
}

// Line is a line for a database such as /etc/passwd.
type Line struct {
	Path, Text string
	// Optional does nothing when the file does not exist.
	Optional bool
}
