package main

import (
	"errors"
	"syscall"

	"nsbuild/internal/fault"
	"nsbuild/internal/session"
)

// exitHelp is the table of exit statuses as every help page shows it. They are sbuild's, with what
// a shell adds.
const exitHelp = `
EXIT STATUS
  0        done; of a build: successful, or nothing to build for this architecture
  1        failed: the host, the mirror, the base, or nsbuild itself
  2        the package failed to build (sbuild: attempted); or the command line is wrong
  3        the build could not begin (sbuild: given-back): fetching, verification, build dependencies
  128+N    stopped by signal N (130: Ctrl-C)
`

// commandStatus is the exit status of a command that the user ran, to be passed on without a word.
type commandStatus int

func (commandStatus) Error() string { return "the command failed" }

// exitStatus is the one translation of errors into exit statuses.
func exitStatus(err error) int {
	if err == nil {
		return 0
	}
	var own commandStatus
	if errors.As(err, &own) {
		return int(own)
	}
	switch fault.KindOf(err) {
	case fault.Usage, fault.Attempted:
		return 2
	case fault.GivenBack:
		return 3
	case fault.Interrupted:
		var s stopped
		var before session.Stopped
		switch {
		case errors.As(err, &s):
			return 128 + int(s.signal)
		case errors.As(err, &before):
			return 128 + int(before.Signal)
		}
		return 128 + int(syscall.SIGINT)
	}
	return 1
}
