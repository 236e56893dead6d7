package pid1

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"nsbuild/internal/sandbox/beneath"
	"nsbuild/internal/sandbox/layout"
	"nsbuild/internal/sandbox/mounts"
	"nsbuild/internal/sandbox/reexec"
	"nsbuild/internal/sandbox/syserr"
	"nsbuild/internal/sandbox/wire"
)

// setup makes H: our own mounts on a tmpfs of our own, the host's tree below it.
func (p *pid1) setup(m *wire.Message) error {
	if err := syscall.Setgroups(nil); err != nil {
		return syserr.Wrap("setgroups", "", err)
	}
	var err error
	if p.caps, err = reexec.Capabilities(); err != nil {
		return err
	}
	if err := mountHolder(p.shared != nil); err != nil {
		return err
	}
	if p.host, err = beneath.OpenPath(layout.Host); err != nil {
		return err
	}
	if p.null, err = os.OpenFile(layout.Host+os.DevNull, os.O_RDWR, 0); err != nil {
		return err
	}
	if p.self, err = reexec.Prepare(m.Path); err != nil {
		return err
	}
	if m.Holder.Emulator != nil {
		if p.emulators, err = registerEmulator(m.Holder.Emulator); err != nil {
			return err
		}
	}
	p.group, p.limits = m.Holder.Group, m.Holder.Spare
	return p.scratch.open(m.Holder)
}

// mountHolder replaces the root by a tmpfs with the host's tree at layout.Host and a /proc of our
// PID namespace, and drops nothing that a jail could still need to see. At the shared level /proc
// is the host's, with what is masked there.
func mountHolder(shared bool) error {
	// Slave: what the host unmounts must not stay busy because of us.
	if err := mounts.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return err
	}
	const staging = "/tmp"
	if err := mounts.Mount("tmpfs", staging, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV,
		"mode=0755"); err != nil {
		return err
	}
	for _, dir := range []string{layout.Host, "/proc", "/jail", "/scratch", "/exe"} {
		if err := os.Mkdir(staging+dir, 0o755); err != nil {
			return err
		}
	}
	var err error
	if shared {
		err = mounts.Mount("/proc", staging+"/proc", "", unix.MS_BIND|unix.MS_REC, "")
	} else {
		err = mounts.Mount("proc", staging+"/proc", "proc",
			unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	}
	if err != nil {
		return err
	}
	if err := unix.PivotRoot(staging, staging+layout.Host); err != nil {
		return syserr.Wrap("pivot_root", staging, err)
	}
	return syserr.Wrap("chdir", "/", os.Chdir("/"))
}
