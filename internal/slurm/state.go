package slurm

import (
	"context"
	"errors"
	"os/exec"
	"slices"
	"strings"

	"nsbuild/internal/fault"
)

// End is how a job has ended that did not come to its own end.
type End int

// The ends.
const (
	Goes      End = iota // it has not ended
	Own                  // it came to its own end, good or bad
	Lost                 // its node failed, or somebody else took it
	OutOfTime            // it took longer than it may
	OutOfMemory
	Cancelled
)

// End is how the job has ended, by the states of squeue(1) and sacct(1).
func (j *Job) End() End {
	switch j.State {
	case "COMPLETED", "FAILED", "SPECIAL_EXIT":
		return Own
	case "NODE_FAIL", "PREEMPTED", "BOOT_FAIL", "REVOKED":
		return Lost
	case "TIMEOUT", "DEADLINE":
		return OutOfTime
	case "OUT_OF_MEMORY":
		return OutOfMemory
	case "CANCELLED":
		return Cancelled
	}
	return Goes
}

// Stuck tells whether a job waits for what does not come by itself.
func (j *Job) Stuck() bool {
	if j.State != "PENDING" && j.State != "REQUEUE_HOLD" {
		return false
	}
	switch j.Reason {
	case "PartitionTimeLimit", "PartitionConfig", "BadConstraints", "AccountNotAllowed",
		"QOSNotAllowed", "InvalidAccount", "InvalidQOS", "JobHeldAdmin", "JobHoldMaxRequeue",
		"PartitionNodeLimit", "AssociationTimeLimit", "QOSTimeLimit":
		return true
	}
	reason := strings.ReplaceAll(strings.ToLower(j.Reason), "_", " ")
	return strings.Contains(reason, "launch failed requeued held")
}

// What a command of Slurm's that fails may mean.
var (
	// ErrAway means that the controller does not answer.
	ErrAway = errors.New("the controller of Slurm does not answer")
	// ErrFull means that Slurm takes no more jobs now.
	ErrFull = errors.New("no more jobs are taken by Slurm now")
	// ErrUnfit means that no node can do this job.
	ErrUnfit = errors.New("no node of Slurm can do it")
)

// meaning is what the words of a failed command mean, by Slurm's slurm_errno.c, of 22.05 and of
// 24.11; nil: that nothing is to be had as it is asked for.
func meaning(words string) error {
	has := func(all ...string) bool {
		return slices.ContainsFunc(all, func(one string) bool {
			return strings.Contains(words, one)
		})
	}
	switch {
	case has("Unable to contact slurm controller", "Socket timed out", "Connection refused",
		"backup controller in standby", "Zero Bytes were transmitted", "Connection timed out",
		"Communication connection failure", "Communication shutdown failure",
		"Unable to connect to database", "munge", "Munge", "Connection reset by peer",
		"Unable to establish", "Invalid authentication credential",
		"Protocol authentication error"):
		return ErrAway
	case has("Requested node configuration is not available",
		"Memory specification can not be satisfied", "Requested time limit is invalid",
		"More processors requested than permitted", "CPU count specification invalid",
		"CPU count per node can not be satisfied", "Node count specification invalid"):
		return ErrUnfit
	case has("temporarily unable to accept job", "Resource temporarily unavailable",
		"accounting/QOS policy", "AssocMaxSubmitJobLimit", "QOSMaxSubmitJob", "MaxSubmitJob"):
		return ErrFull
	}
	return nil
}

// refusal is why a command of Slurm's has failed, in one line of its words.
func refusal(ctx context.Context, command, messages string, err error) error {
	if errors.Is(err, exec.ErrNotFound) {
		return fault.New(fault.Usage, "install slurm-client, and configure it as on the nodes",
			"%s, a command of Slurm's, is not here", command)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	words := said(command, messages)
	if words == "" {
		words = err.Error()
	}
	kind := meaning(words)
	if kind == nil {
		return fault.New(fault.Usage, "look at --partition, --constraint and --sbatch-option, and at "+
			"what sinfo shows", "%s: %s", command, words)
	}
	return fault.New(fault.GivenBack, "", "%w: %s: %s", kind, command, words)
}

// said is what a command says at its end, in one line. 24.11 says before that how often it has
// looked for the controller.
func said(command, messages string) string {
	var all []string
	for line := range strings.Lines(messages) {
		line = strings.TrimSpace(line)
		for _, before := range []string{command + ": ", "error: ", "fatal: ",
			"Batch job submission failed: "} {
			line = strings.TrimPrefix(line, before)
		}
		if line != "" && !strings.HasPrefix(line, "Try \"") &&
			!strings.HasPrefix(line, "_xgetaddrinfo") {
			all = append(all, line)
		}
	}
	return strings.Join(all[max(0, len(all)-2):], "; ")
}
