package pid1

import (
	"errors"
	"os"
	"strconv"
	"syscall"

	"nsbuild/internal/sandbox/dirorder"
	"nsbuild/internal/sandbox/reexec"
	"nsbuild/internal/sandbox/syserr"
	"nsbuild/internal/sandbox/wire"
)

// orderDirs starts what answers those who read directories in a jail, where that was asked for. It
// is a process of its own, since a program that is read for may have it wait; it runs in H, where
// no jail reaches it, and ends with the jail's processes.
func (p *pid1) orderDirs(j *openJail, listener []*os.File) error {
	v := j.spec.Vary
	if v == nil || v.Dirs == 0 {
		return nil
	}
	if len(listener) != 1 {
		return errors.New("the jail's helper has given no listener")
	}
	if err := dirorder.Check(); err != nil {
		return err
	}
	null := p.null.Fd()
	pid, err := p.children.forkHelper(func() (int, error) {
		return p.self.ForkExec(reexec.Applet,
			[]string{wire.AppletDirOrder, strconv.FormatUint(v.Dirs, 10)},
			[]uintptr{null, null, null, listener[0].Fd()}, &syscall.ProcAttr{
				Dir: "/",
				Env: reexec.QuickStart(),
				Sys: &syscall.SysProcAttr{AmbientCaps: p.caps, Setsid: true},
			})
	})
	if err != nil {
		return syserr.Wrap("starting", wire.AppletDirOrder, err)
	}
	j.spared = append(j.spared, pid)
	return nil
}
