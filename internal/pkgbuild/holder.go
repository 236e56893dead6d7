package pkgbuild

import (
	"context"

	"nsbuild/internal/deps"
	"nsbuild/internal/hook"
	"nsbuild/internal/sandbox"
)

// holder is what the holder of an attempt's jails does for it. What decides about attempts is tried
// with one that is made up.
type holder interface {
	deps.Holder
	hook.RootMaker
	Room() (room, error) // of the scratch
	Spared() []string    // limits that could not be set
	Exhausted() (*sandbox.Exhaustion, error)
	PID() int
	Close() error
}

// room is the room that there is to be written to.
type room interface {
	Now() (sandbox.Space, error)
	Close() error
}

// realHolder is a holder of internal/sandbox.
type realHolder struct{ *sandbox.Holder }

func (h realHolder) Room() (room, error) { return h.ScratchSpace() }

// holdFor starts a holder in which programs of an architecture run.
func (e *Env) holdFor(ctx context.Context, arch string, spec sandbox.HolderSpec) (holder, error) {
	h, err := e.Work.HoldFor(ctx, arch, spec)
	if err != nil {
		return nil, err
	}
	return realHolder{h}, nil
}
