// Package fakejail makes up jails, for tests of what is decided about them: order, reuse, retries,
// outcomes. The root of such a jail is a plain directory, made of copies of its layers; its
// programs are functions; owners are recorded and not set. All that is called is recorded.
//
// Nothing is confined in a made-up jail. What holds in a real one is tried with real ones, in
// internal/sandbox and internal/e2e.
package fakejail

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"nsbuild/internal/jails"
	"nsbuild/internal/sandbox"
)

// Applet is a program of nsbuild's own that a holder runs, by its name: see jails.Holder.
type Applet func(ctx context.Context, args []string, files []*os.File) error

// Maker starts holders that are made up. Its Start is what workdir.Dir is to start holders with.
type Maker struct {
	// Programs are what can be run in the jails, by the name or the path that a command has. A
	// command's applet stands as "applet NAME".
	Programs map[string]Program
	// Applets are what holders can run. The test fails with one that is missing.
	Applets map[string]Applet
	// Prepare, when set, changes each holder that is started.
	Prepare func(*Holder)
	// Fail, when set, tells the error of a call; nil lets it be done.
	Fail func(Call) error

	t       testing.TB
	mu      sync.Mutex
	calls   []Call
	holders []*Holder
}

// New is a maker without programs. At the end of the test all its holders must have been closed.
func New(t testing.TB) *Maker {
	m := &Maker{Programs: map[string]Program{}, Applets: map[string]Applet{}, t: t}
	t.Cleanup(func() {
		for i, h := range m.Holders() {
			if !h.Closed() {
				t.Errorf("holder %d of %d was not closed", i+1, len(m.Holders()))
			}
		}
	})
	return m
}

// Call is what was asked of a holder or a jail: Start, NewJail, Run, Create, SaveLayer, ….
type Call struct {
	Op   string
	Jail int // 0: of the holder
	Args []string
}

func (c Call) String() string {
	text := c.Op
	if c.Jail != 0 {
		text = fmt.Sprintf("%d: %s", c.Jail, c.Op)
	}
	return strings.Join(append([]string{text}, c.Args...), " ")
}

// Calls are the calls of some kinds, in their order; all of them where no kind is named.
func (m *Maker) Calls(ops ...string) []Call {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Call
	for _, c := range m.calls {
		for _, op := range ops {
			if c.Op == op {
				out = append(out, c)
			}
		}
		if len(ops) == 0 {
			out = append(out, c)
		}
	}
	return out
}

// Forget drops the calls that were recorded.
func (m *Maker) Forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls = nil
}

// Holders are all that were started, in their order.
func (m *Maker) Holders() []*Holder {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]*Holder(nil), m.holders...)
}

// note records a call, and tells whether it is to fail.
func (m *Maker) note(jail int, op string, args ...string) error {
	c := Call{Op: op, Jail: jail, Args: args}
	m.mu.Lock()
	m.calls = append(m.calls, c)
	m.mu.Unlock()
	if m.Fail != nil {
		return m.Fail(c)
	}
	return nil
}

// Start starts a holder.
func (m *Maker) Start(ctx context.Context, spec sandbox.HolderSpec) (jails.Holder, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	if err := m.note(0, "Start"); err != nil {
		return nil, err
	}
	h := &Holder{Spec: spec, Total: 1 << 30, Free: 1 << 30, maker: m, dir: m.t.TempDir()}
	if m.Prepare != nil {
		m.Prepare(h)
	}
	m.mu.Lock()
	m.holders = append(m.holders, h)
	m.mu.Unlock()
	return h, nil
}

// program finds what a command runs.
func (m *Maker) program(c sandbox.Command) (Program, error) {
	name := "applet " + c.Applet
	if c.Applet == "" {
		name = c.Argv[0]
	}
	p, ok := m.Programs[name]
	if !ok {
		p, ok = m.Programs[filepath.Base(name)]
	}
	if !ok {
		return nil, &fs.PathError{Op: "exec", Path: name, Err: fs.ErrNotExist}
	}
	return p, nil
}
