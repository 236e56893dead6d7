package pid1

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"nsbuild/internal/sandbox/cgroup"
	"nsbuild/internal/sandbox/idmap"
	"nsbuild/internal/sandbox/reexec"
	"nsbuild/internal/sandbox/syserr"
	"nsbuild/internal/sandbox/wire"
)

func (p *pid1) askHelper(m *wire.Message, files []*os.File) (int, error) {
	helper, err := p.helperFor(m.Command)
	if err != nil {
		return 0, err
	}
	pid := p.open.pid
	if helper == p.open.online {
		pid = p.open.netPID
	}
	request := &wire.Message{Op: wire.OpExec, Command: m.Command}
	got, extra, err := askAlive(helper, pid, request, files...)
	wire.CloseFiles(extra)
	if err != nil {
		return 0, p.children.helperLost(pid, helper, err)
	}
	if got.Err != nil {
		return 0, got.Err.AsError()
	}
	if err := p.children.mayBeStarted(got.PID); err != nil {
		return 0, err
	}
	return got.PID, nil
}

// startHelper clones the helper into J and has it finish the jail from inside.
func (p *pid1) startHelper(j *openJail, spec *wire.Spec) ([]string, error) {
	m, files, err := p.cloneHelper(&j.helper, &j.pid,
		&wire.Message{Op: wire.OpSetup, Spec: spec, Root: j.target})
	if err != nil {
		return nil, err
	}
	if len(files) > 0 {
		j.pts, files = files[0], files[1:]
	}
	defer wire.CloseFiles(files)
	if m.Err != nil {
		return nil, m.Err.AsError()
	}
	return m.Notes, p.orderDirs(j, files)
}

// cloneHelper clones a helper into namespaces of its own, gives it its task and returns its answer.
// Its socket and pid are stored as soon as there are any.
func (p *pid1) cloneHelper(helper **wire.Conn, pid *int, task *wire.Message) (*wire.Message,
	[]*os.File, error) {
	ours, theirs, err := wire.Socketpair()
	if err != nil {
		return nil, nil, err
	}
	defer theirs.Close()
	if *helper, err = wire.New(ours); err != nil {
		return nil, nil, err
	}
	count, err := idmap.JailCount()
	if err != nil {
		return nil, nil, err
	}
	spec := task.Spec
	if err := p.ensureWatch(); err != nil {
		return nil, nil, err
	}
	uids, gids := jailIDs(count, spec.Caller)
	if p.shared != nil {
		uids, gids = withoutKiller(count), withoutKiller(count)
	}
	flags := uintptr(
		syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS)
	if spec.Network != wire.NetworkHost {
		flags |= syscall.CLONE_NEWNET
	}
	group, err := cgroup.Open(p.group)
	if err != nil {
		return nil, nil, err
	}
	attr := &syscall.SysProcAttr{
		Cloneflags: flags, UidMappings: uids, GidMappings: gids, GidMappingsEnableSetgroups: true,
		Credential: &syscall.Credential{}, Setsid: true,
	}
	cgroup.Join(group, attr)
	own, done, err := p.self.ForJail()
	if err != nil {
		return nil, nil, err
	}
	defer done()
	null := p.null.Fd()
	*pid, err = p.children.forkHelper(func() (started int, err error) {
		err = withTaskLimit(p.limits.PIDs, func() error {
			started, err = own.ForkExec(reexec.Helper, nil,
				[]uintptr{null, null, null, theirs.Fd()},
				&syscall.ProcAttr{Dir: "/", Env: reexec.QuickStart(), Sys: attr})
			return err
		})
		return started, err
	})
	theirs.Close() // with another end open, the helper's death would not be an end of file
	if group != nil {
		group.Close()
	}
	if err != nil {
		return nil, nil, syserr.Wrap("starting the jail's helper", "", err)
	}
	task.Limits = &p.limits
	m, files, err := askAlive(*helper, *pid, task, own.Files()...)
	if err != nil {
		return nil, nil, p.children.helperLost(*pid, *helper, err)
	}
	return m, files, nil
}

// helperFor is the helper that starts a command: the jail's, or, for a command with a network that
// the jail has not, a second one. A process can enter the caller's network namespace only by never
// having left it, so the second helper is cloned from PID 1 as the first was, but keeps the
// network; the root is the same mount.
func (p *pid1) helperFor(c *wire.Command) (*wire.Conn, error) {
	j := p.open
	if c.Network != wire.NetworkHost || j.spec.Network == wire.NetworkHost {
		return j.helper, nil
	}
	if c.Terminal {
		return nil,
			errors.New("a command with a terminal cannot have another network than its jail")
	}
	if j.online != nil {
		return j.online, nil
	}
	spec := *j.spec
	spec.Network = wire.NetworkHost
	m, files, err := p.cloneHelper(&j.online, &j.netPID,
		&wire.Message{Op: wire.OpSetup, Spec: &spec, Root: j.target, Join: true})
	defer wire.CloseFiles(files)
	if err == nil {
		err = m.Err.AsError()
	}
	if err == nil {
		err = p.orderDirs(j, files[min(1, len(files)):])
	}
	if err != nil {
		if j.online != nil {
			j.online.Close()
			j.online = nil
		}
		return nil, fmt.Errorf("giving a command the network: %w", err)
	}
	return j.online, nil
}
