package sandbox

import (
	"nsbuild/internal/sandbox/wire"
)

// Usage asks what the holder's processes and roots use now.
func (h *Holder) Usage() (Usage, error) {
	answer, _, err := h.call(&wire.Message{Op: wire.OpUsage})
	if err != nil {
		return Usage{}, err
	}
	return *answer.Usage, nil
}
