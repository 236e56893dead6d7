package slurm

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nsbuild/internal/fault"
)

// says is a client whose commands print what was recorded, of which some are by more than their
// first word.
func says(out, messages string, status error, got *[]string) *Client {
	return &Client{func(_ context.Context, in string, command ...string) (string, string, error) {
		if got != nil {
			*got = append(command, in)
		}
		return out, messages, status
	}}
}

var errStatus = errors.New("exit status 1")

// TestSubmit: what sbatch is asked for, and the number that it prints, with and without a cluster's
// name.
func TestSubmit(t *testing.T) {
	for out, want := range map[string]string{"12\n": "12", "12;main\n": "12"} {
		var got []string
		c := says(out, "", nil, &got)
		id, err := c.Submit(t.Context(), Request{Name: "nsbuild-b-1", Comment: "3-1 hello",
			Script: "#!/bin/sh\n", Output: "/x/3-1.out", Memory: 300<<20 + 1, CPUs: 2,
			Time: 90*time.Minute + time.Second, Alone: true, Exclude: []string{"n1", "n3"},
			Options: []string{"--account=me"}})
		if id != want || err != nil {
			t.Errorf("%q: %q, %v", out, id, err)
		}
		if diff := cmp.Diff([]string{"sbatch", "--parsable", "--requeue", "--open-mode=append",
			"--nodes=1", "--ntasks=1", "--job-name=nsbuild-b-1", "--comment=3-1 hello",
			"--output=/x/3-1.out", "--cpus-per-task=2", "--mem=301M", "--time=91", "--exclusive",
			"--exclude=n1,n3", "--account=me", "#!/bin/sh\n"}, got); diff != "" {
			t.Errorf("the command (-want +got):\n%s", diff)
		}
	}
	if _, err := says("Submitted\n", "", nil, nil).Submit(t.Context(), Request{}); err == nil {
		t.Error("what is no number is one")
	}
}

// TestRefusals: what Slurm says, in one line, and what it means. The messages are those of 22.05
// and of 24.11.
func TestRefusals(t *testing.T) {
	for _, one := range []struct {
		messages, says string
		kind           error
	}{
		{"sbatch: error: invalid partition specified: nope\n" +
			"sbatch: error: Batch job submission failed: Invalid partition name specified\n",
			"sbatch: invalid partition specified: nope; Invalid partition name specified", nil},
		{"sbatch: error: Memory specification can not be satisfied\nsbatch: error: Batch job " +
			"submission failed: Requested node configuration is not available\n",
			"Memory specification can not be satisfied; Requested node configuration is not " +
				"available", ErrUnfit},
		{"sbatch: error: Batch job submission failed: Invalid feature specification\n",
			"sbatch: Invalid feature specification", nil},
		{"sbatch: unrecognized option '--bogus'\nTry \"sbatch --help\" for more information\n",
			"sbatch: unrecognized option '--bogus'", nil},
		{"sbatch: error: Batch job submission failed: Unable to contact slurm controller " +
			"(connect failure)\n", "Unable to contact slurm controller (connect failure)", ErrAway},
		{"slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n",
			"Unable to contact slurm controller", ErrAway},
		{"sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job " +
			"submit limit, user's size and/or time limits)\n", "job submit limit", ErrFull},
		{"", "exit status 1", nil},
	} {
		_, err := says("", one.messages, errStatus, nil).Submit(t.Context(), Request{})
		if err == nil || !strings.Contains(err.Error(), one.says) ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", one.messages, err)
		}
		for _, kind := range []error{ErrAway, ErrFull, ErrUnfit} {
			if errors.Is(err, kind) != errors.Is(one.kind, kind) {
				t.Errorf("%q: is it %v? %v", one.messages, kind, err)
			}
		}
	}
	_, err := says("", "", exec.ErrNotFound, nil).Submit(t.Context(), Request{})
	if fault.KindOf(err) != fault.Usage || !strings.Contains(fault.HintOf(err), "slurm-client") {
		t.Errorf("without Slurm: %v, hint %q", err, fault.HintOf(err))
	}
}

// TestJobs: how jobs are, in the lines of squeue.
func TestJobs(t *testing.T) {
	const out = "1|FAILED|n1|NonZeroExitCode|3-1 hello\n2|RUNNING|n2|None|4-1 a|b\n" +
		"4|PENDING||PartitionConfig|(null)\n5|PENDING||Priority|5-2 \n"
	jobs, err := says(out, "", nil, nil).Jobs(t.Context(), "nsbuild-b-1")
	if err != nil {
		t.Fatal(err)
	}
	want := []Job{{"1", "FAILED", "n1", "NonZeroExitCode", "3-1 hello"},
		{"2", "RUNNING", "n2", "None", "4-1 a|b"},
		{"4", "PENDING", "", "PartitionConfig", "(null)"}, {"5", "PENDING", "", "Priority", "5-2"}}
	if diff := cmp.Diff(want, jobs); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var stuck []string
	for _, j := range jobs {
		if j.Stuck() {
			stuck = append(stuck, j.ID)
		}
	}
	if diff := cmp.Diff([]string{"4"}, stuck); diff != "" {
		t.Errorf("stuck (-want +got):\n%s", diff)
	}
	if _, err := says("nonsense\n", "", nil, nil).Jobs(t.Context(), "x"); err == nil {
		t.Error("nonsense is about a job")
	}
}

// TestEnds: each state that a job can end in has a class, and no other has.
func TestEnds(t *testing.T) {
	for state, want := range map[string]End{"PENDING": Goes, "RUNNING": Goes, "COMPLETING": Goes,
		"CONFIGURING": Goes, "SUSPENDED": Goes, "REQUEUED": Goes, "COMPLETED": Own, "FAILED": Own,
		"NODE_FAIL": Lost, "PREEMPTED": Lost, "BOOT_FAIL": Lost, "TIMEOUT": OutOfTime,
		"DEADLINE": OutOfTime, "OUT_OF_MEMORY": OutOfMemory, "CANCELLED": Cancelled} {
		if got := (&Job{State: state}).End(); got != want {
			t.Errorf("%s: %d", state, got)
		}
	}
}

// TestAccount: with accounting it is known what has become of a job, also of one that was requeued;
// without it is not.
func TestAccount(t *testing.T) {
	c := says("7|NODE_FAIL|n1\n7|CANCELLED by 1000|n2\n", "", nil, nil)
	j, known, err := c.Account(t.Context(), "7")
	if diff := cmp.Diff(Job{ID: "7", State: "CANCELLED", Node: "n2"}, j); diff != "" || !known ||
		err != nil {
		t.Errorf("%v, %v, %s", known, err, diff)
	}
	for _, c := range []*Client{says("", "Slurm accounting storage is disabled\n", errStatus, nil),
		says("", "", exec.ErrNotFound, nil), says("", "", nil, nil)} {
		if _, known, err := c.Account(t.Context(), "7"); known || err != nil {
			t.Errorf("known %v, %v", known, err)
		}
	}
}

// TestNodes: the nodes of a partition, and where none is named, of the usual one.
func TestNodes(t *testing.T) {
	const out = "n1|1|6000|main*\nn2|64+|257000+|main*\ng1|8|9000|gpu\n"
	var got []string
	nodes, err := says(out, "", nil, &got).Nodes(t.Context(), "")
	if diff := cmp.Diff([]Node{{"n1", 1, 6000 << 20}, {"n2", 64, 257000 << 20}}, nodes); diff != "" ||
		err != nil {
		t.Errorf("%v, %s", err, diff)
	}
	nodes, err = says("g1|8|9000|gpu\n", "", nil, &got).Nodes(t.Context(), "gpu")
	if diff := cmp.Diff([]Node{{"g1", 8, 9000 << 20}}, nodes); diff != "" || err != nil ||
		got[len(got)-2] != "--partition=gpu" {
		t.Errorf("%v, %v, %s", got, err, diff)
	}
	_, err = says("", "", nil, nil).Nodes(t.Context(), "nope")
	if fault.KindOf(err) != fault.Usage {
		t.Errorf("no partition: %v", err)
	}
	for _, bad := range []string{"n1|1\n", "n1|x|1|p\n", "n1|1|x|p\n"} {
		if _, err := says(bad, "", nil, nil).Nodes(t.Context(), ""); err == nil {
			t.Errorf("%q is about a node", bad)
		}
	}
}
