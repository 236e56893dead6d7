// Package jails is what those who work in a jail know of one: the methods of a jail and of its
// holder, as interfaces. So what decides about order, retries, reuse and outcomes is tried with
// jails that are made up (internal/fakejail), in milliseconds.
//
// How a real jail is made, and what holds in one, is internal/sandbox's. A session is tied to real
// terminals and processes, and works with that directly.
package jails

import (
	"context"
	"io"
	"net"
	"os"

	"nsbuild/internal/sandbox"
)

// Jail is an open jail. Its methods do what those of a sandbox.Jail do.
type Jail interface {
	Files
	// ID names the jail among those of its holder; see sandbox.Lower.
	ID() int
	// Plain tells whether a file's device number is that of its mount, as in a plain directory.
	Plain() bool
	// Notes are what the jail had to do without, one line each, for the log.
	Notes() []string

	Run(ctx context.Context, c sandbox.Command) (sandbox.Status, error)
	RunTo(ctx context.Context, c sandbox.Command, stdout, stderr io.Writer) (sandbox.Status, error)
	Start(c sandbox.Command) (Process, error)

	Listen(ctx context.Context) (net.Listener, error)
	Share() (*os.File, error)

	Strays() ([]sandbox.Stray, error)
	Sweep() ([]sandbox.Stray, error)
	Stop() ([]sandbox.Stray, error)
	Close() ([]sandbox.Stray, error)
}

// Files are the files of a jail. No symbolic link on the way to one is followed.
type Files interface {
	Open(path string) (*os.File, error)
	Create(path string, mode os.FileMode, uid, gid int) (*os.File, error)
	Mkdir(path string, mode os.FileMode, uid, gid int) error
	Symlink(target, path string) error
}

// Process is a command that was started.
type Process interface {
	Wait(ctx context.Context) (sandbox.Status, error)
}

// Holder holds jails, one after the other, and the trees that they lie on. Its methods do what
// those of a sandbox.Holder do.
type Holder interface {
	NewJail(ctx context.Context, spec sandbox.Spec) (Jail, error)
	RootPath(jail int) string
	PID() int // of PID 1, as its caller sees it; 0: there is none
	IDs() sandbox.IDMap
	Level() sandbox.Level
	Close() error

	// Room is that of the scratch.
	Room() (Room, error)
	Scratch() sandbox.Scratch
	// Spared are limits that could not be set.
	Spared() []string
	Exhausted() (*sandbox.Exhaustion, error)
	Usage() (sandbox.Usage, error)
	Traces(ctx context.Context, jail int, without []string) (sandbox.Traces, error)

	Applet(ctx context.Context, name string, args []string, files ...*os.File) error
	MakeRoot(ctx context.Context, dir string) error
	CopyTree(ctx context.Context, from, to string) error
	RemoveTree(ctx context.Context, dir string) error
	SaveLayer(ctx context.Context, jail int, to string) (size int64, err error)
	MoveLayer(ctx context.Context, jail int, to string) error
	TreeSize(ctx context.Context, dir string) (int64, error)
	SaveRoot(ctx context.Context, lowers []sandbox.Lower, to string, without []string) error
}

// Room is the room that there is to be written to.
type Room interface {
	Now() (sandbox.Space, error)
	Close() error
}
