package jails

import (
	"context"
	"errors"

	"nsbuild/internal/sandbox"
)

// Start starts a real holder.
func Start(ctx context.Context, spec sandbox.HolderSpec) (Holder, error) {
	h, err := sandbox.Start(ctx, spec)
	if err != nil {
		return nil, err
	}
	return HolderOf(h), nil
}

// HolderOf is a real holder as a Holder.
func HolderOf(h *sandbox.Holder) Holder { return holder{h} }

// Of is a real jail as a Jail.
func Of(j *sandbox.Jail) Jail { return open{j} }

// open is a jail of a holder of internal/sandbox.
type open struct{ *sandbox.Jail }

func (o open) Start(c sandbox.Command) (Process, error) {
	p, err := o.Jail.Start(c)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// holder is a holder of internal/sandbox.
type holder struct{ *sandbox.Holder }

func (h holder) NewJail(ctx context.Context, spec sandbox.Spec) (Jail, error) {
	j, err := h.Holder.NewJail(ctx, spec)
	if err != nil {
		return nil, err
	}
	return open{j}, nil
}

func (h holder) Room() (Room, error) {
	r, err := h.ScratchSpace()
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Real is the real jail that a Jail is. A jail that is made up has no terminals, and is an error.
func Real(j Jail) (*sandbox.Jail, error) {
	o, ok := j.(open)
	if !ok {
		return nil, errors.New("opening a terminal: there is no real jail")
	}
	return o.Jail, nil
}
