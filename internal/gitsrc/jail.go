package gitsrc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"nsbuild/internal/fault"
)

// Command is a program to run in a jail.
type Command struct {
	Argv []string // Argv[0] is "git", or the name of another program of the host's
	Dir  string
	Env  []string // over the jail's own
	In   io.Reader
}

// Jail runs programs of the host over the Places of a repository, where they can do no harm: what
// git reads there may have it run anything (core.fsmonitor, filters, hooks, helpers of remotes …).
type Jail interface {
	// Run hands what the program prints to out. A program that fails is a *Failure.
	Run(ctx context.Context, c Command, out io.Writer) error
}

// Failure is a program in the jail that did not exit with status 0.
type Failure struct {
	Name   string // of the program, and of its command
	Status string
	Said   string // on its standard error
}

func (f *Failure) Error() string {
	return strings.TrimSuffix(
		fmt.Sprintf("%s: %s: %s", f.Name, f.Status, strings.TrimSpace(f.Said)), ": ")
}

// settings are given to every git command. The jail contains what they do not reach.
var settings = []string{
	// What a repository may have git run: nothing of it is wanted.
	"-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.pager=cat",
	// A file's owner, inode and times of change are others in the jail than in the index.
	"-c", "core.checkStat=minimal", "-c", "core.trustctime=false",
	"-c", "core.untrackedCache=false",
}

// Repository is a git repository in which a source directory lies, or one of its submodules.
type Repository struct {
	*Layout
	jail  Jail
	outer *Layout // what the jail has
	env   []string
}

// objects is where the jail has room for new objects, which end with it.
const objects = "/tmp/objects"

// Open works on a repository by means of a jail that has its Places.
func Open(l *Layout, jail Jail) (*Repository, error) { return open(l, l, jail) }

// open names the parts of the repository, so that git neither looks for them nor asks whose they
// are.
func open(l, outer *Layout, jail Jail) (*Repository, error) {
	r := &Repository{Layout: l, jail: jail, outer: outer}
	var alternates []string
	for _, dir := range append([]string{filepath.Join(l.Common, "objects")}, l.borrowed...) {
		at, ok := outer.inJail(dir)
		if !ok {
			return nil, fault.New(fault.GivenBack, "clone it with its submodules",
				"the git directory of %s lies elsewhere: %s", l.Top, dir)
		}
		alternates = append(alternates, at)
	}
	git, _ := outer.inJail(l.Git) // as its objects are
	tree, ok := outer.inJail(l.Top)
	if !ok {
		tree = jailTree // only a part of it is there
	}
	r.env = []string{
		"GIT_DIR=" + git, "GIT_WORK_TREE=" + tree, "GIT_OBJECT_DIRECTORY=" + objects,
		"GIT_ALTERNATE_OBJECT_DIRECTORIES=" + strings.Join(alternates, ":"),
		"GIT_OPTIONAL_LOCKS=0", "GIT_NO_LAZY_FETCH=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_ALLOW_PROTOCOL=",
	}
	return r, nil
}

// command is one of git's.
func (r *Repository) command(args ...string) Command {
	dir, ok := r.outer.inJail(r.Dir)
	if !ok {
		dir = jailTree
	}
	return Command{Argv: append(append([]string{"git"}, settings...), args...), Dir: dir,
		Env: r.env}
}

// maxAnswer bounds what is kept of git's answers, in bytes; a list of files is not one of them.
const maxAnswer = 16 << 20

// git runs a command of git's and returns what it prints.
func (r *Repository) git(ctx context.Context, args ...string) (string, error) {
	var out bytes.Buffer
	w := &bounded{to: &out, left: maxAnswer}
	err := r.jail.Run(ctx, r.command(args...), w)
	if err == nil && w.left < 0 {
		err = fmt.Errorf("git %s: its answer has more than %d bytes", args[0], maxAnswer)
	}
	return out.String(), err
}

// bounded writes no more than so many bytes and takes the rest without an error, which would leave
// the program that writes hanging.
type bounded struct {
	to   io.Writer
	left int64 // -1 once there was too much
}

func (b *bounded) Write(p []byte) (int, error) {
	if int64(len(p)) > b.left {
		b.left = -1
	}
	if b.left < 0 {
		return len(p), nil
	}
	b.left -= int64(len(p))
	return b.to.Write(p)
}

// read runs a command and hands what it prints to a reader, which need not read to the end.
func (r *Repository) read(ctx context.Context, c Command, read func(io.Reader) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	from, to := io.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		to.CloseWithError(r.jail.Run(ctx, c, to)) // nil is the end of file
	}()
	err := read(from)
	if err == nil {
		_, err = io.Copy(io.Discard, from) // what pads an archive, or why the command failed
	}
	cancel()
	from.CloseWithError(errStopped)
	<-ended
	return err
}

var errStopped = errors.New("nobody reads any more")
