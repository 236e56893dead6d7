package sandbox

import (
	"fmt"

	"nsbuild/internal/sandbox/layout"
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

// RootPath is where the holder's caller can look into the root of an open jail from outside: below
// PID 1's (proc_pid_root(5)). Not at the root of one of the jail's processes: that link reads "/",
// so that a program which resolves it (realpath(3)) goes on with the host's own root. This resolves
// to what the host does not have.
func (h *Holder) RootPath(j *Jail) string {
	return fmt.Sprintf("/proc/%d/root%s", h.pid, layout.Jail(j.id))
}
