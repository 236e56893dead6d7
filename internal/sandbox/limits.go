package sandbox

import (
	"fmt"
	"os"

	"nsbuild/internal/sandbox/cgroup"
	"nsbuild/internal/sandbox/limits"
)

// confine puts PID 1 into a control group with the limits. What cannot be limited so is limited for
// each process as far as that goes, by PID 1; a note says which, and why.
func (h *Holder) confine(spec *HolderSpec) error {
	if spec.Limits == (Limits{}) {
		return nil
	}
	group, why, err := cgroup.New(spec.Limits, h.pid)
	if err != nil {
		return err
	}
	left := spec.Limits
	if group != nil {
		h.group, spec.Group = group, group.Jail()
		left = group.Left()
		if err := group.Admit(h.pid); err != nil {
			return err
		}
	}
	spec.Spare = left
	if _, booted := os.Stat(cgroup.SystemdDir); group == nil && booted == nil {
		user := ""
		if os.Geteuid() != 0 {
			user = "--user "
		}
		why += " (systemd-run " + user +
			"--scope -p Delegate=yes nsbuild … begins nsbuild where they may be)"
	}
	if left.Memory > 0 {
		h.spared = append(
			h.spared,
			fmt.Sprintf("memory is limited to %s for each process, not for all together: %s",
				limits.MiB(left.Memory), why))
	}
	if left.CPUs > 0 {
		h.spared = append(h.spared,
			fmt.Sprintf("processors are limited to %d by what processes begin with, "+
				"which they can change: %s", limits.Processors(left.CPUs), why))
	}
	if left.PIDs > 0 && !limits.PerNamespace() {
		h.spared = append(h.spared, "the number of processes is not limited: "+why+
			", and this kernel does not count those of a user namespace")
	}
	return nil
}

// Spared are the limits that do not hold for all processes together, or not at all: a line for
// each, with the reason.
func (h *Holder) Spared() []string { return h.spared }

// Exhausted tells whether processes were killed because memory ran out; nil when none was. It is to
// be asked before Close.
func (h *Holder) Exhausted() (*Exhaustion, error) {
	if h.group == nil {
		return nil, nil
	}
	return h.group.Exhausted()
}
