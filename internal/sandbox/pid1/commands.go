package pid1

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"nsbuild/internal/sandbox/layout"
	"nsbuild/internal/sandbox/reexec"
	"nsbuild/internal/sandbox/syserr"
	"nsbuild/internal/sandbox/wire"
)

// applet starts one of our own applets in H.
func (p *pid1) applet(c *wire.Command, files []*os.File) (int, error) {
	if c.Applet == wire.AppletSaveLayer || c.Applet == wire.AppletMoveLayer {
		upper, err := p.frozen(c.Argv[0])
		if err != nil {
			return 0, err
		}
		c.Argv[0] = upper
	}
	if c.Applet == wire.AppletSaveRoot && len(c.Argv) > 2 {
		if err := p.places(c.Argv[2:]); err != nil {
			return 0, err
		}
	}
	if c.Applet == wire.AppletSaveRoot && p.hidden != nil && *p.hidden == 0 {
		c.Applet = wire.AppletSaveCallersRoot
	}
	if c.Applet == wire.AppletTraces {
		if err := p.traced(c); err != nil {
			return 0, err
		}
	}
	if c.Applet == wire.AppletPasta {
		if p.open == nil || strconv.Itoa(p.open.id) != c.Argv[1] {
			return 0, errors.New("this jail is not open")
		}
		c.Argv[1] = strconv.Itoa(p.open.pid)
	}
	if err := p.ensureWatch(); err != nil {
		return 0, err
	}
	pid, err := p.children.fork(func() (int, error) {
		return p.self.ForkExec(reexec.Applet, append([]string{c.Applet}, c.Argv...),
			reexec.Descriptors(files), &syscall.ProcAttr{
				Dir: "/",
				Env: c.Env,
				Sys: &syscall.SysProcAttr{AmbientCaps: p.caps, Setsid: true},
			})
	})
	if err != nil {
		return 0, syserr.Wrap("starting", c.Applet, err)
	}
	return pid, nil
}

// frozen is the upper directory of a closed jail.
func (p *pid1) frozen(id string) (string, error) {
	n, err := strconv.Atoi(id)
	if err != nil || n < 1 || n > len(p.jails) || p.jails[n-1].upper == "" ||
		p.open == p.jails[n-1] {
		return "", fmt.Errorf("jail %s has no frozen layer", id)
	}
	return p.jails[n-1].upper, nil
}

// traced puts what is known of a jail, which may be open, in the place of its number: its upper
// directory, "" when it has none, and the process whose network it is, 0 when that has ended.
func (p *pid1) traced(c *wire.Command) error {
	n, err := strconv.Atoi(c.Argv[0])
	if err != nil || n < 1 || n > len(p.jails) {
		return fmt.Errorf("there is no jail %s", c.Argv[0])
	}
	j := p.jails[n-1]
	upper, helper := j.upper, 0
	if j.whole {
		upper = ""
	}
	if j == p.open {
		helper = j.pid
	}
	c.Argv = append([]string{upper, strconv.Itoa(helper)}, c.Argv[1:]...)
	return nil
}

// exec has the helper start a command in the jail.
func (p *pid1) exec(m *wire.Message, files []*os.File) (int, error) {
	if p.open == nil || p.open.helper == nil {
		return 0, errors.New("no jail is open")
	}
	jail := p.open.streams()
	files, err := jail.WithoutKeys(files, p.null)
	if err != nil {
		return 0, err
	}
	p.children.expect()
	var pid int
	files, between, done, err := jail.Between(files)
	if err == nil {
		pid, err = p.askHelper(m, files)
		done()
		if err != nil && between != nil {
			err = errors.Join(err, between.Wait())
		}
	}
	p.children.answered(pid, between, err)
	return pid, err
}

// places turns the numbers of jails among an applet's arguments into their upper directories: only
// PID 1 knows where they are.
func (p *pid1) places(args []string) error {
	for i, arg := range args {
		if strings.HasPrefix(arg, "/") {
			args[i] = layout.Host + arg
			continue
		}
		upper, err := p.frozen(arg)
		if err != nil {
			return err
		}
		args[i] = upper
	}
	return nil
}
