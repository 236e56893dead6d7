// Package slurm runs Slurm's commands, and understands what they print: sbatch, squeue, sacct,
// scancel and sinfo of 22.05 to 24.11, with accounting or without.
package slurm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"nsbuild/internal/fault"
)

// Client runs the commands.
type Client struct {
	// Run runs a program, which reads in, and returns what it has written.
	Run func(ctx context.Context, in string, command ...string) (out, messages string, err error)
}

// Installed is a client of the Slurm whose commands are in the PATH.
func Installed() *Client { return &Client{run} }

func run(ctx context.Context, in string, command ...string) (out, messages string, err error) {
	c := exec.CommandContext(ctx, command[0], command[1:]...)
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = 5 * time.Second
	c.Env = append(c.Environ(), "LC_ALL=C", "SLURM_TIME_FORMAT=standard")
	c.Stdin = strings.NewReader(in)
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	err = c.Run()
	return stdout.String(), stderr.String(), err
}

// Request is a job that is to be.
type Request struct {
	Name    string // which jobs may share
	Comment string // a line
	Script  string
	Output  string        // the file of what it writes
	Memory  int64         // bytes; 0: as the partition has it
	CPUs    int           // processors
	Time    time.Duration // 0: as the partition has it
	Alone   bool          // nothing else runs on its node
	Exclude []string      // nodes
	Options []string      // of sbatch, which count more
}

func (r *Request) command() []string {
	c := []string{"sbatch", "--parsable", "--requeue", "--open-mode=append", "--nodes=1", "--ntasks=1",
		"--job-name=" + r.Name, "--comment=" + r.Comment, "--output=" + r.Output,
		"--cpus-per-task=" + strconv.Itoa(max(1, r.CPUs))}
	if r.Memory > 0 {
		c = append(c, fmt.Sprintf("--mem=%dM", (r.Memory+1<<20-1)>>20))
	}
	if r.Time > 0 {
		c = append(c, fmt.Sprintf("--time=%d", int((r.Time+time.Minute-1)/time.Minute)))
	}
	if r.Alone {
		c = append(c, "--exclusive")
	}
	if len(r.Exclude) > 0 {
		c = append(c, "--exclude="+strings.Join(r.Exclude, ","))
	}
	return append(c, r.Options...)
}

// Submit has Slurm take a job, and returns its number.
func (c *Client) Submit(ctx context.Context, r Request) (id string, err error) {
	out, messages, err := c.Run(ctx, r.Script, r.command()...)
	if err != nil {
		return "", refusal(ctx, "sbatch", messages, err)
	}
	// after the number comes, where there are several, the cluster: "12;main"
	id, _, _ = strings.Cut(strings.TrimSpace(out), ";")
	if _, err := strconv.ParseUint(id, 10, 64); err != nil {
		return "", fmt.Errorf("sbatch has printed %q, which is no number of a job", out)
	}
	return id, nil
}

// Job is one that Slurm knows.
type Job struct {
	ID      string
	State   string // a word of squeue's, such as PENDING
	Node    string // "": none yet
	Reason  string // why it waits, or has ended
	Comment string
}

// Jobs are the jobs of a name which Slurm knows, those among them that have ended lately.
func (c *Client) Jobs(ctx context.Context, name string) ([]Job, error) {
	out, messages, err := c.Run(ctx, "", "squeue", "--noheader", "--states=all", "--name="+name,
		"--user="+strconv.Itoa(os.Getuid()), "--format=%i|%T|%N|%r|%k")
	if err != nil {
		return nil, refusal(ctx, "squeue", messages, err)
	}
	var all []Job
	for line := range strings.Lines(out) {
		f := strings.SplitN(strings.TrimRight(line, "\n "), "|", 5)
		if len(f) != 5 {
			return nil, fmt.Errorf("squeue has printed %q, which is not about a job", line)
		}
		all = append(all, Job{ID: f[0], State: f[1], Node: f[2], Reason: f[3], Comment: f[4]})
	}
	return all, nil
}

// Account asks the accounting what has become of a job. Where there is no accounting, or it does
// not know of the job, it is not known.
func (c *Client) Account(ctx context.Context, id string) (j Job, known bool, err error) {
	out, messages, err := c.Run(ctx, "", "sacct", "--allocations", "--noheader", "--parsable2",
		"--jobs="+id, "--format=JobIDRaw,State,NodeList")
	switch {
	case errors.Is(err, exec.ErrNotFound), strings.Contains(messages, "storage is disabled"):
		return j, false, nil
	case err != nil:
		return j, false, refusal(ctx, "sacct", messages, err)
	}
	for line := range strings.Lines(out) { // of a job that was requeued the last one counts
		f := strings.Split(strings.TrimRight(line, "\n"), "|")
		if len(f) != 3 || f[0] != id {
			continue
		}
		state, _, _ := strings.Cut(f[1], " ") // CANCELLED by 1000
		j, known = Job{ID: id, State: state, Node: f[2]}, true
	}
	return j, known, nil
}

// Cancel ends all jobs of a name.
func (c *Client) Cancel(ctx context.Context, name string) error {
	_, messages, err := c.Run(ctx, "", "scancel", "--name="+name,
		"--user="+strconv.Itoa(os.Getuid()))
	if err != nil {
		return refusal(ctx, "scancel", messages, err)
	}
	return nil
}

// CancelJob ends one job.
func (c *Client) CancelJob(ctx context.Context, id string) error {
	_, messages, err := c.Run(ctx, "", "scancel", id)
	if err != nil {
		return refusal(ctx, "scancel", messages, err)
	}
	return nil
}

// Node is a machine.
type Node struct {
	Name   string
	CPUs   int
	Memory int64 // bytes
}

// Nodes are the machines of a partition, or of the usual one.
func (c *Client) Nodes(ctx context.Context, partition string) ([]Node, error) {
	command := []string{"sinfo", "--noheader", "--Node", "--format=%N|%c|%m|%P"}
	if partition != "" {
		command = append(command, "--partition="+partition)
	}
	out, messages, err := c.Run(ctx, "", command...)
	if err != nil {
		return nil, refusal(ctx, "sinfo", messages, err)
	}
	var all, usual []Node
	for line := range strings.Lines(out) {
		f := strings.SplitN(strings.TrimRight(line, "\n "), "|", 4)
		if len(f) != 4 {
			return nil, fmt.Errorf("sinfo has printed %q, which is not about a node", line)
		}
		cpus, err := strconv.Atoi(strings.TrimSuffix(f[1], "+"))
		if err != nil {
			return nil, fmt.Errorf("sinfo has printed %q: %w", line, err)
		}
		mib, err := strconv.ParseInt(strings.TrimSuffix(f[2], "+"), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("sinfo has printed %q: %w", line, err)
		}
		n := Node{f[0], cpus, mib << 20}
		all = append(all, n)
		if strings.HasSuffix(f[3], "*") {
			usual = append(usual, n)
		}
	}
	if partition == "" && len(usual) > 0 {
		all = usual
	}
	if len(all) == 0 {
		what := "Slurm has no node"
		if partition != "" {
			what = "Slurm has no partition " + partition + ", or no node in it"
		}
		return nil, fault.New(fault.Usage, "sinfo shows the partitions and their nodes", "%s", what)
	}
	return all, nil
}
