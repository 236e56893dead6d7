package session

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"nsbuild/internal/fault"
	"nsbuild/internal/flock"
	"nsbuild/internal/sandbox"
)

// A session has a directory below the state directory's run/, which its supervisor keeps locked
// (flock(2)) as every process of ours does with its own: when it is not locked, the supervisor is
// dead, and whoever comes next deletes it.
const (
	dirPrefix  = "session-"
	socketName = "socket"
	logName    = "log"
	upperName  = "upper"
)

// longestID is the longest name of a session, in bytes.
const longestID = 100

// forID tells whether a name can have this character; one of the punctuation cannot be the first.
func forID(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
		strings.ContainsRune("._+-", r)
}

// checkID tells whether a session can be called so.
func checkID(id string) error {
	if id == "" || len(id) > longestID || strings.ContainsRune("._+-", rune(id[0])) ||
		strings.ContainsFunc(id, func(r rune) bool { return !forID(r) }) {
		return fault.New(fault.Usage,
			"use letters, digits, '.', '_', '+' and '-', beginning with a letter or digit",
			"%q cannot be the name of a session", id)
	}
	return nil
}

// newID names a session after what it is made of.
func newID(of string) string {
	var random [3]byte
	_, _ = rand.Read(random[:]) // it never fails, says its documentation
	of = strings.Trim(strings.Map(func(r rune) rune {
		if forID(r) {
			return r
		}
		return '-'
	}, of), "._+-")
	if of == "" {
		of = "root"
	}
	return of[:min(len(of), 80)] + "-" + hex.EncodeToString(random[:])
}

func directory(state, id string) string { return filepath.Join(state, "run", dirPrefix+id) }

// claim makes the directory of a new session and locks it.
func claim(ctx context.Context, state, id string) (dir string, lock *os.File, err error) {
	dir = directory(state, id)
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return "", nil, err
	}
	for {
		err := os.Mkdir(dir, 0o700)
		if errors.Is(err, fs.ErrExist) {
			if swept, err := sweep(ctx, state, id); err != nil || !swept {
				return "", nil,
					errors.Join(err,
						fault.New(fault.Internal, "nsbuild session end "+id+
							", or another --name", "there is a session %s already", id))
			}
			continue
		}
		if err != nil {
			return "", nil, err
		}
		lock, err := flock.Open(dir, os.O_RDONLY, flock.Exclusive)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, flock.ErrHeld) {
			continue // swept by another process, before it was locked
		}
		return dir, lock, err
	}
}

// sweep deletes what a session has left whose supervisor is dead. It tells whether there was such a
// one.
func sweep(ctx context.Context, state, id string) (bool, error) {
	dir := directory(state, id)
	lock, err := flock.Open(dir, os.O_RDONLY, flock.Exclusive)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return true, nil
	case errors.Is(err, flock.ErrHeld):
		return false, nil
	case err != nil:
		return false, err
	}
	defer lock.Close()
	if err := sandbox.RemoveTree(ctx, dir); err != nil {
		return false, fmt.Errorf("deleting what session %s has left: %w", id, err)
	}
	return true, nil
}

// ids are the sessions that there are, and those that were.
func ids(state string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(state, "run"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var all []string
	for _, e := range entries {
		if id, ok := strings.CutPrefix(e.Name(), dirPrefix); ok {
			all = append(all, id)
		}
	}
	return all, nil
}

// errStale means that the supervisor is dead.
var errStale = errors.New("its supervisor is dead, and so is everything in it")

// errNotReady means that a session has no socket although its supervisor lives: that may take as
// long as hooks do.
var errNotReady = errors.New("is not ready: it begins, or it is ending")

// dial connects to the supervisor of a session. What is left of one that is dead is deleted.
func dial(ctx context.Context, state, id string) (*net.UnixConn, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	dir, err := os.Open(directory(state, id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, unknown(state, id)
	}
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	conn, err := net.Dial("unix", socketIn(dir))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		swept, sweepErr := sweep(ctx, state, id)
		switch {
		case sweepErr != nil:
			return nil, sweepErr
		case swept:
			return nil, fault.Wrap(fault.Internal, "nsbuild session begin",
				fmt.Errorf("session %s: %w", id, errStale))
		}
		return nil, fault.Wrap(fault.Internal, "nsbuild session list",
			fmt.Errorf("session %s %w", id, errNotReady))
	}
	if err != nil {
		return nil, fmt.Errorf("session %s: %w", id, err)
	}
	u, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, fmt.Errorf("session %s: %T is no unix socket", id, conn)
	}
	return u, nil
}

// socketIn names the socket by its directory's descriptor: a path may be longer than a socket's
// address can be (unix(7)).
func socketIn(dir *os.File) string {
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), socketName)
}

func unknown(state, id string) error {
	all, err := ids(state)
	if err != nil {
		return err
	}
	hint := "nsbuild session begin --name " + id + " BASE"
	if len(all) > 0 {
		hint = "there are: " + strings.Join(all, ", ")
	}
	return fault.Wrap(fault.Internal, hint, fmt.Errorf("session %s: %w", id, ErrNone))
}

// ErrNone means that there is no session of this name.
var ErrNone = errors.New("no such session")
