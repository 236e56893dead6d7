package cgroup

import (
	"os"
	"syscall"

	"nsbuild/internal/sandbox/beneath"
	"nsbuild/internal/sandbox/layout"
)

// Open opens the jail's control group, for clone3(2), or returns nil when there is none.
func Open(group string) (*os.File, error) {
	if group == "" {
		return nil, nil
	}
	return beneath.OpenPath(layout.Host + group)
}

// Join has a child begin in the group.
func Join(group *os.File, attr *syscall.SysProcAttr) {
	if group != nil {
		attr.UseCgroupFD, attr.CgroupFD = true, int(group.Fd())
	}
}
