package sandbox

import (
	"errors"

	"nsbuild/internal/fault"
	"nsbuild/internal/sandbox/wire"
)

// explainSetup adds what to do where the kernel keeps interpreters for root.
func explainSetup(err error) error {
	var e *Error
	if errors.As(err, &e) && e.Op == wire.BinfmtCall {
		return fault.Wrap(fault.Internal, "use Linux 6.7 or later, or let the host's kernel know "+
			"the interpreter: sudo apt-get install qemu-user-static binfmt-support", err)
	}
	return explainProc(err)
}
