package fakejail

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"nsbuild/internal/jails"
	"nsbuild/internal/sandbox"
)

// Holder is a holder that is made up. What it says of the machine is as it was set.
type Holder struct {
	Spec        sandbox.HolderSpec
	Total, Free int64 // bytes of the scratch
	NoInodes    bool
	Kills       int      // for memory that ran out
	SparedOnes  []string // limits that could not be set
	Used        sandbox.Usage
	Traced      sandbox.Traces // of each jail

	maker  *Maker
	dir    string
	mu     sync.Mutex
	jails  []*Jail
	closed bool
}

// Write takes room of the scratch, as far as there is some.
func (h *Holder) Write(bytes int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.Free = max(0, h.Free-bytes)
}

// Closed tells whether the holder was closed.
func (h *Holder) Closed() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.closed
}

// Jails are all that were opened, in their order.
func (h *Holder) Jails() []*Jail {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]*Jail(nil), h.jails...)
}

// jail is a jail by its number.
func (h *Holder) jail(id int) (*Jail, error) {
	all := h.Jails()
	if id < 1 || id > len(all) {
		return nil, fmt.Errorf("there is no jail %d", id)
	}
	return all[id-1], nil
}

// alive records a call of a holder that was not closed.
func (h *Holder) alive(op string, args ...string) error {
	err := h.maker.note(0, op, args...)
	if err == nil && h.Closed() {
		err = sandbox.ErrClosed
	}
	return err
}

// NewJail opens a jail: its layers are copied into a directory.
func (h *Holder) NewJail(ctx context.Context, spec sandbox.Spec) (jails.Jail, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := h.alive("NewJail"); err != nil {
		return nil, err
	}
	all := h.Jails()
	if len(all) > 0 && !all[len(all)-1].Closed() {
		return nil, errors.New("opening a jail: the one before was not closed")
	}
	if (spec.Root.Dir == "") == (len(spec.Root.Lowers) == 0) {
		return nil, errors.New("opening a jail: its root must be either a directory or layers")
	}
	j, err := h.open(spec, len(all)+1)
	if err != nil {
		return nil, fmt.Errorf("opening a jail: %w", err)
	}
	h.mu.Lock()
	h.jails = append(h.jails, j)
	h.mu.Unlock()
	return j, nil
}

func (h *Holder) open(spec sandbox.Spec, id int) (*Jail, error) {
	j := &Jail{Spec: spec, id: id, h: h, owners: map[string]Owner{},
		dir: filepath.Join(h.dir, fmt.Sprint("jail-", id))}
	if err := os.Mkdir(j.dir, 0o755); err != nil {
		return nil, err
	}
	if j.root = spec.Root.Dir; j.root == "" {
		j.root = filepath.Join(j.dir, "root")
		if err := h.merge(spec.Root.Lowers, j.root); err != nil {
			return nil, err
		}
		var err error
		if j.before, err = snapshot(j.root); err != nil {
			return nil, err
		}
		if spec.Root.Plain { // all of it is the jail's own
			clear(j.before)
		}
		if spec.Root.Seed != "" {
			if err := overlay(spec.Root.Seed, j.root); err != nil {
				return nil, err
			}
		}
	} else if _, err := os.Stat(j.root); err != nil {
		return nil, err
	}
	for i, m := range spec.Mounts {
		if err := j.mount(i, m); err != nil {
			return nil, fmt.Errorf("mounting on %s: %w", m.Target, err)
		}
	}
	return j, nil
}

// merge copies layers into a directory that is not there yet.
func (h *Holder) merge(lowers []sandbox.Lower, to string) error {
	if err := os.Mkdir(to, 0o755); err != nil {
		return err
	}
	for i := len(lowers) - 1; i >= 0; i-- {
		from := lowers[i].Path
		if from == "" {
			j, err := h.jail(lowers[i].Jail)
			if err != nil {
				return err
			}
			if from, err = j.upper(); err != nil {
				return err
			}
		}
		if err := overlay(from, to); err != nil {
			return err
		}
	}
	return nil
}

// RootPath is the directory that a jail has as its root.
func (h *Holder) RootPath(jail int) string {
	j, err := h.jail(jail)
	if err != nil {
		h.maker.t.Errorf("RootPath: %v", err)
		return ""
	}
	return j.root
}

// PID implements jails.Holder: there is no process.
func (h *Holder) PID() int { return 0 }

// IDs are those of the spec.
func (h *Holder) IDs() sandbox.IDMap { return h.Spec.IDs }

// Level is the one that was set, else the full one.
func (h *Holder) Level() sandbox.Level {
	if h.Spec.Level == "" {
		return sandbox.LevelFull
	}
	return h.Spec.Level
}

// Close ends the holder and its jails.
func (h *Holder) Close() error {
	err := h.maker.note(0, "Close")
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	return err
}

// Scratch is where the spec wants it.
func (h *Holder) Scratch() sandbox.Scratch {
	switch {
	case h.Spec.Copy:
		return sandbox.ScratchCopy
	case h.Spec.ScratchDir != "":
		return sandbox.ScratchDisk
	}
	return sandbox.ScratchTmpfs
}

// Room is the room that was set, at each look.
func (h *Holder) Room() (jails.Room, error) {
	if err := h.alive("Room"); err != nil {
		return nil, err
	}
	return room{h}, nil
}

type room struct{ h *Holder }

func (r room) Now() (sandbox.Space, error) {
	r.h.mu.Lock()
	defer r.h.mu.Unlock()
	return sandbox.Space{Total: r.h.Total, Free: r.h.Free, NoInodes: r.h.NoInodes}, nil
}

func (r room) Close() error { return nil }

// Spared are the limits that were set so.
func (h *Holder) Spared() []string { return h.SparedOnes }

// Exhausted tells of the processes that were killed.
func (h *Holder) Exhausted() (*sandbox.Exhaustion, error) {
	if err := h.alive("Exhausted"); err != nil || h.Kills == 0 {
		return nil, err
	}
	return &sandbox.Exhaustion{Limit: h.Spec.Limits.Memory, Kills: h.Kills}, nil
}

// Usage is what was set.
func (h *Holder) Usage() (sandbox.Usage, error) {
	err := h.alive("Usage")
	return h.Used, err
}

// Traces are what was set.
func (h *Holder) Traces(_ context.Context, jail int, without []string) (sandbox.Traces, error) {
	err := h.alive("Traces", append([]string{fmt.Sprint(jail)}, without...)...)
	return h.Traced, err
}

// Applet runs one of the maker's applets.
func (h *Holder) Applet(ctx context.Context, name string, args []string, files ...*os.File) error {
	if err := h.alive("Applet", append([]string{name}, args...)...); err != nil {
		return err
	}
	run, ok := h.maker.Applets[name]
	if !ok {
		h.maker.t.Errorf("the holders of this test have no applet %s: %s", name,
			strings.Join(args, " "))
		return fmt.Errorf("there is no applet %s", name)
	}
	if err := run(ctx, args, files); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// MakeRoot makes a directory.
func (h *Holder) MakeRoot(_ context.Context, dir string) error {
	if err := h.alive("MakeRoot", dir); err != nil {
		return err
	}
	return os.Mkdir(dir, 0o755)
}

// CopyTree copies a directory.
func (h *Holder) CopyTree(_ context.Context, from, to string) error {
	if err := h.alive("CopyTree", from, to); err != nil {
		return err
	}
	if err := os.Mkdir(to, 0o755); err != nil {
		return err
	}
	return copyTree(from, to)
}

// RemoveTree deletes a directory.
func (h *Holder) RemoveTree(_ context.Context, dir string) error {
	if err := h.alive("RemoveTree", dir); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}

// SaveLayer copies what a closed jail has changed.
func (h *Holder) SaveLayer(_ context.Context, jail int, to string) (size int64, err error) {
	if err := h.alive("SaveLayer", fmt.Sprint(jail), to); err != nil {
		return 0, err
	}
	j, err := h.jail(jail)
	if err != nil {
		return 0, err
	}
	from, err := j.upper()
	if err == nil {
		err = os.Mkdir(to, 0o755)
	}
	if err == nil {
		err = copyTree(from, to)
	}
	if err != nil {
		return 0, err
	}
	return sizeOf(to)
}

// MoveLayer moves it.
func (h *Holder) MoveLayer(ctx context.Context, jail int, to string) error {
	_, err := h.SaveLayer(ctx, jail, to)
	return err
}

// TreeSize adds up the files of a tree.
func (h *Holder) TreeSize(_ context.Context, dir string) (size int64, err error) {
	if err := h.alive("TreeSize", dir); err != nil {
		return 0, err
	}
	return sizeOf(dir)
}

// SaveRoot copies what a closed jail has seen as its root.
func (h *Holder) SaveRoot(_ context.Context, lowers []sandbox.Lower, to string,
	without []string) error {
	if err := h.alive("SaveRoot", append([]string{to}, without...)...); err != nil {
		return err
	}
	if err := h.merge(lowers, to); err != nil {
		return err
	}
	for _, name := range without {
		if err := os.RemoveAll(filepath.Join(to, name)); err != nil {
			return err
		}
	}
	return nil
}
