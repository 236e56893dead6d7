package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"nsbuild/internal/fault"
)

// resolverAddress is where a jail with a private network finds a name server: pasta passes on what
// is sent there to the host's own, wherever that listens.
const resolverAddress = "169.254.1.1"

// pastaPatience is far more than it needs.
const pastaPatience = 20 * time.Second

const (
	tunDevice    = "/dev/net/tun"
	appletPasta  = "pasta"
	resolverFile = "/etc/resolv.conf"
)

// FindPasta looks for the program that connects a private network, or says how it is installed.
func FindPasta() (string, error) {
	if found, err := findProgram("pasta"); err == nil {
		return resolve(found)
	}
	return "", fault.New(fault.Internal, "sudo apt-get install passt",
		"a private network needs the program pasta, which is not installed")
}

// connect starts pasta(1) beside the jail, in H: it ends with everything else, and what it opens to
// the world are the caller's own sockets. It returns when the jail is connected.
func (h *Holder) connect(ctx context.Context, j *Jail) error {
	pasta, err := FindPasta()
	if err != nil {
		return err
	}
	tun, err := os.OpenFile(tunDevice, os.O_RDWR, 0)
	if err != nil {
		hint := "sudo modprobe tun"
		if errors.Is(err, fs.ErrPermission) {
			hint = "sudo chmod 666 " + tunDevice + "   (as udev has it)"
		}
		return fault.Wrap(fault.Internal, hint, fmt.Errorf("a private network needs a device: %w",
			err))
	}
	tun.Close()
	ctx, cancel := context.WithTimeoutCause(ctx, pastaPatience,
		errors.New("pasta did not become ready"))
	defer cancel()
	if err := h.Applet(ctx, appletPasta, []string{pasta, strconv.Itoa(j.id)}); err != nil {
		return fmt.Errorf("connecting the jail to the network: %w", err)
	}
	if _, _, err := h.call(&message{Op: opOnline, Jail: j.id}); err != nil {
		return fmt.Errorf("connecting the jail to the network: %w", err)
	}
	return nil
}

// connected notes which processes are pasta's: no command has run in the jail yet, so it is all
// that are not known.
func (p *pid1) connected(id int) error {
	if p.open == nil || p.open.id != id {
		return errors.New("this jail is not open")
	}
	ours := p.ours()
	all, err := processes(func(p *process) bool { return !ours[p.pid] })
	if err != nil {
		return err
	}
	for _, one := range all {
		p.open.spared = append(p.open.spared, one.pid)
	}
	return nil
}

// pastaMain becomes pasta: with the host's files, in a mount namespace of its own, in which /proc
// shows the jail's helper.
func pastaMain(args []string) int {
	runtime.LockOSThread()
	if len(args) != 2 {
		fmt.Fprintf(os.Stderr, "a program and a process are expected, not %q\n", args)
		return 2
	}
	err := unix.Unshare(unix.CLONE_NEWNS)
	if err == nil {
		err = mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, "")
	}
	if err == nil {
		err = mount("/proc", HostRoot+"/proc", "", unix.MS_BIND|unix.MS_REC, "")
	}
	if err == nil {
		err = sysErr("chroot", HostRoot, unix.Chroot(HostRoot))
	}
	if err == nil {
		err = os.Chdir("/")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ns := "/proc/" + args[1] + "/ns/"
	argv := []string{
		"pasta", "--quiet", "--config-net", "--userns", ns + "user", "--netns", ns + "net",
		"--dns-forward", resolverAddress,
		// Nothing of the host's own is reached from inside, by its loopback address or the
		// gateway's; no port of the jail opens on the host.
		"--no-map-gw", "-t", "none", "-u", "none", "-T", "none", "-U", "none",
	}
	fmt.Fprintln(
		os.Stderr,
		sysErr("exec", args[0], syscall.Exec(args[0], argv, []string{"PATH=/usr/bin:/bin"})))
	return 1
}

// filesDir is where H keeps files that are bound into jails.
const filesDir = "/files"

// bindText binds a file with a text over target, without writing to the jail's tree. A link is
// followed within the root.
func bindText(root *os.File, m Mount) error {
	target, err := openTarget(root, m, false)
	if err != nil {
		return err
	}
	defer target.Close()
	if err := os.MkdirAll(filesDir, 0o755); err != nil {
		return err
	}
	source := path.Join(filesDir, path.Base(m.Target))
	if err := os.WriteFile(source, []byte(m.Data), 0o644); err != nil {
		return err
	}
	if err := mountAs(source, fdPath(target), m.Target, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	top, err := openBeneath(root, m.Target, unix.O_PATH)
	if err != nil {
		return err
	}
	defer top.Close()
	return setAttr(int(top.Fd()), "",
		unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC,
		false)
}
