package inside

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"nsbuild/internal/sandbox/beneath"
	"nsbuild/internal/sandbox/layout"
	"nsbuild/internal/sandbox/mounts"
	"nsbuild/internal/sandbox/syserr"
	"nsbuild/internal/sandbox/wire"
)

// loopbackUp brings up lo in the jail's own network namespace (netdevice(7)).
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return syserr.Wrap("socket", "", err)
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return syserr.Wrap("bringing up", "lo", unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr))
}

func hostSys(root string) error {
	target := root + "/sys"
	if err := mounts.Mount(layout.Host+"/sys", target, "", unix.MS_BIND|unix.MS_REC,
		""); err != nil {
		return err
	}
	return mounts.SetAttr(unix.AT_FDCWD, target,
		unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC,
		true)
}

// joinNetwork shows what belongs to the caller's network, in the mount namespace of the second
// helper alone.
func joinNetwork(dir *os.File, root string) (notes []string, err error) {
	if err := hostSys(root); err != nil {
		return nil, err
	}
	host, err := beneath.OpenPath(layout.Host)
	if err != nil {
		return nil, err
	}
	defer host.Close()
	if source, err := beneath.Open(host, mounts.ResolverFile, unix.O_PATH); err == nil {
		source.Close()
	} else if beneath.LeadsNowhere(err) {
		return []string{mounts.NoResolver}, nil
	}
	bind := wire.Mount{Type: "bind", Source: mounts.ResolverFile, Target: mounts.ResolverFile,
		ReadOnly: true, NoSuid: true, NoExec: true, Mkdir: true}
	return nil, mounts.Apply(dir, host, bind, nil)
}
