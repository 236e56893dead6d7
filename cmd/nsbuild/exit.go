package main

import (
	"errors"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"nsbuild/internal/fault"
)

// exitLine is a line of a table of exit statuses.
type exitLine struct{ code, meaning string }

// statusesOf are the exit statuses that a verb can have. Those of a build are sbuild's, with what a
// shell adds.
func statusesOf(path string) []exitLine {
	done, failed := exitLine{"0", "done"}, exitLine{"1", "failed"}
	wrong := exitLine{"64", "the command line is wrong"}
	stopped := exitLine{"128+N", "stopped by signal N (130: Ctrl-C)"}
	switch path {
	case "nsbuild build":
		return []exitLine{
			{"0", "built, or nothing to build for this architecture"},
			{"1", "failed: the host, the mirror, the base, or nsbuild itself"},
			{"2", "the package failed to build (sbuild: attempted)"},
			{"3", "the build could not begin (sbuild: given-back): fetching, verification, " +
				"build dependencies"},
			wrong, stopped,
		}
	case "nsbuild batch", "nsbuild batch resume", "nsbuild batch retry":
		return []exitLine{
			{"0", "all are built, or skipped"},
			{"1", "failed: the host, the base, or nsbuild itself"},
			{"2", "a package failed to build, or --max-failures ended the batch"},
			{"3", "a build could not begin"},
			{"4", "the batch is of rdeps, and the change breaks something"},
			wrong, stopped,
		}
	case "nsbuild rdeps":
		return []exitLine{
			{"0", "the change breaks nothing"},
			{"1", "failed: the host, the mirror, the base, or nsbuild itself"},
			{"2", "SOURCE, whose packages are the change, failed to build"},
			{"3", "it is not known what the change does to some of them"},
			{"4", "the change breaks something"},
			wrong, stopped,
		}
	case "nsbuild rebuild":
		return []exitLine{
			{"0", "identical: the same packages came out of it, byte by byte"},
			{"1", "failed: the host, the base, or nsbuild itself"},
			{"2", "the package failed to build"},
			{"3", "it cannot be decided: something is missing, or cannot be verified"},
			{"4", "a package differs"},
			wrong, stopped,
		}
	case "nsbuild repro":
		return []exitLine{
			{"0", "identical: both builds made the same packages, byte by byte"},
			{"1", "failed: the host, the mirror, the base, or nsbuild itself"},
			{"2", "the package failed to build, the first time or varied"},
			{"3", "it cannot be decided: something could not be fetched or verified"},
			{"4", "a package differs"},
			wrong, stopped,
		}
	case "nsbuild compare":
		return []exitLine{{"0", "the packages are the same, byte by byte"}, failed,
			{"4", "they differ"}, wrong, stopped}
	case "nsbuild verify":
		return []exitLine{
			{"0", "the statements hold, and the artefacts are as stated"}, failed,
			{"3", "a statement does not hold: not signed, signed by another, changed, or of " +
				"another kind"},
			{"4", "an artefact is not as stated, is missing, or no statement names it"},
			wrong, stopped}
	case "nsbuild create", "nsbuild update", "nsbuild import":
		return []exitLine{done,
			{"1", "failed: the host, the mirror, the base, or nsbuild itself"},
			{"3", "something could not be fetched or verified"}, wrong, stopped}
	case "nsbuild run", "nsbuild shell", "nsbuild session run", "nsbuild enter":
		no := "the sandbox cannot be made"
		switch path {
		case "nsbuild session run":
			no = "there is no such session, or it is ending"
		case "nsbuild enter":
			no = "there is no such kept build"
		}
		lines := []exitLine{
			{"N", "the command's own"},
			{"124", "--timeout has ended the command"},
			{"125", "nsbuild itself failed: " + no + ", or the command line is wrong"},
			{"126", "the command cannot be executed"},
			{"127", "there is no such command"},
			{"128+N", "signal N has ended the command"},
		}
		if path == "nsbuild enter" { // which has no --timeout
			lines = slices.Delete(lines, 1, 2)
		}
		return lines
	case "nsbuild doctor":
		return []exitLine{{"0", "nothing that a build needs is missing"}, {"1", "something is"},
			wrong}
	}
	return []exitLine{done, failed, wrong, stopped}
}

// commandStatus is the exit status of a command that the user ran, to be passed on without a word.
type commandStatus int

func (commandStatus) Error() string { return "the command failed" }

// reported is an error that the user has been told of.
type reported struct{ error }

func (r reported) Unwrap() error { return r.error }

// untold is what the user has not been told of an error.
func untold(err error) error {
	if errors.As(err, new(reported)) {
		several, ok := err.(interface{ Unwrap() []error })
		if !ok {
			return nil
		}
		var left []error
		for _, e := range several.Unwrap() {
			left = append(left, untold(e))
		}
		return errors.Join(left...)
	}
	return err
}

// usageStatus is that of a wrong command line: EX_USAGE of sysexits.h. No build ends with it.
const usageStatus = 64

// ownFailure is the status of verbs that end with the status of a command, when they fail
// themselves, as with env(1), timeout(1), docker and podman.
const ownFailure = 125

// statusOf is the exit status of a verb.
func statusOf(c *cobra.Command, err error) int {
	status := exitStatus(err)
	if err == nil || errors.As(err, new(commandStatus)) || fault.KindOf(err) == fault.Interrupted {
		return status
	}
	switch c.CommandPath() {
	case "nsbuild run", "nsbuild shell", "nsbuild session run", "nsbuild enter":
		return ownFailure
	}
	return status
}

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
	case fault.Usage:
		return usageStatus
	case fault.Attempted:
		return 2
	case fault.GivenBack:
		return 3
	case fault.Differs:
		return 4
	case fault.Interrupted:
		if s, ok := errors.AsType[fault.Stopped](err); ok {
			return 128 + int(s.Signal)
		}
		return 128 + int(syscall.SIGINT)
	}
	return 1
}
