package inside

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"nsbuild/internal/sandbox/syserr"
	"nsbuild/internal/sandbox/wire"
)

// nameHost sets the jail's host name, and has it and the loopback device work. Where a container
// lets nobody set names (a filter of podman's and docker's), the jail has the container's.
func nameHost(spec *wire.Spec, join bool) (notes []string, err error) {
	hostname, domain := spec.Hostname, spec.Domain
	err = unix.Sethostname([]byte(hostname))
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS) {
		if hostname, err = os.Hostname(); err != nil {
			return nil, err
		}
		domain = ""
		notes = append(notes, fmt.Sprintf("the host name is %s, not %s: this container lets "+
			"nobody set it", hostname, spec.Hostname))
	}
	if err != nil {
		return nil, syserr.Wrap("sethostname", spec.Hostname, err)
	}
	if domain != "" {
		if err := unix.Setdomainname([]byte(domain)); err != nil {
			return nil, syserr.Wrap("setdomainname", domain, err)
		}
	}
	if spec.Network != wire.NetworkHost {
		if err := loopbackUp(); err != nil {
			return nil, err
		}
	}
	if spec.Root.Dir == "" && !spec.Root.ReadOnly && !spec.KeepNames && !join {
		return notes, writeHosts(hostname, domain)
	}
	return notes, nil
}

// writeHosts makes the jail's own name resolve, in a root that is thrown away.
func writeHosts(hostname, domain string) error {
	names := hostname
	if domain != "" { // the first is the canonical one
		names = hostname + "." + domain + " " + hostname
	}
	hosts := "127.0.0.1\tlocalhost\n127.0.1.1\t" + names +
		"\n::1\tlocalhost ip6-localhost ip6-loopback\n"
	for name, text := range map[string]string{"/etc/hosts": hosts, "/etc/hostname": hostname +
		"\n"} {
		// Removed first: a link in the tree is not to be written through.
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			if errors.Is(err, os.ErrNotExist) { // a root without /etc
				return nil
			}
			return err
		}
	}
	return nil
}
