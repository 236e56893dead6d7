package mounts

import (
	"nsbuild/internal/sandbox/wire"
)

// The types of a plan that are not mounts: /dev is made of them.
const (
	typeDir     = "dir"     // make Target, mode 0755
	typeSymlink = "symlink" // make Target a link to Source
	// bind the host's device node Source, usable although everything else is nodev
	typeDevice  = "device"
	typeText    = "text"    // a read-only file with Data as its text
	typeRemount = "remount" // set the attributes of what is mounted on Target
	typeOwnProc = "proc"    // the /proc of the jail's PID namespace
)

// DeviceNodes are the host devices a jail sees; each is harmless to share.
func DeviceNodes() []string {
	return []string{"null", "zero", "full", "random", "urandom", "tty"}
}

// OfHolder is what H mounts over the root of a jail, in order. Being H's, these mounts are
// locked in J: nothing inside can undo them.
func OfHolder(spec *wire.Spec) []wire.Mount {
	plan := []wire.Mount{
		{Type: typeOwnProc, Target: "/proc", Mkdir: true},
		{Type: typeDir, Target: "/sys"},
		{Type: "tmpfs", Target: "/dev", NoSuid: true, NoExec: true, NoDev: true,
			Data: "mode=0755,size=64m", Mkdir: true},
	}
	for _, name := range DeviceNodes() {
		plan = append(plan,
			wire.Mount{Type: typeDevice, Source: "/dev/" + name, Target: "/dev/" + name,
				Mkdir: true})
	}
	for _, dir := range []string{"/dev/pts", "/dev/mqueue", "/dev/shm"} {
		plan = append(plan, wire.Mount{Type: typeDir, Target: dir})
	}
	for _, link := range [][2]string{
		{"/proc/self/fd", "/dev/fd"}, {"/proc/self/fd/0", "/dev/stdin"},
		{"/proc/self/fd/1", "/dev/stdout"},
		{"/proc/self/fd/2", "/dev/stderr"}, {"pts/ptmx", "/dev/ptmx"},
	} {
		plan = append(plan, wire.Mount{Type: typeSymlink, Source: link[0], Target: link[1]})
	}
	plan = append(plan, wire.Mount{Type: "tmpfs", Target: "/dev/shm", NoSuid: true, NoDev: true,
		Data: "mode=1777"})
	if spec.Network == wire.NetworkHost {
		// A fresh sysfs needs a network namespace of the jail's own.
		plan = append(plan,
			wire.Mount{Type: "rbind", Source: "/sys", Target: "/sys", ReadOnly: true,
				NoSuid: true, NoDev: true, NoExec: true})
	}
	if spec.Network == wire.NetworkPrivate {
		plan = append(plan,
			wire.Mount{Type: typeText, Target: ResolverFile,
				Data: "nameserver " + ResolverAddress + "\n", Mkdir: spec.Root.Dir == ""})
	}
	return append(plan, spec.Mounts...)
}

// OfJail is what the helper mounts from inside J: file systems that belong to J's own
// namespaces.
func OfJail(spec *wire.Spec) []wire.Mount {
	plan := []wire.Mount{
		{Type: "devpts", Target: "/dev/pts", NoSuid: true, NoExec: true,
			Data: "newinstance,gid=5,mode=620,ptmxmode=666"},
		{Type: "mqueue", Target: "/dev/mqueue", NoSuid: true, NoDev: true, NoExec: true},
	}
	if spec.Network != wire.NetworkHost {
		plan = append(plan, wire.Mount{Type: "sysfs", Target: "/sys", ReadOnly: true, NoSuid: true,
			NoDev: true, NoExec: true})
	}
	return plan
}

// ResolverAddress is where a jail with a private network finds a name server: pasta passes on what
// is sent there to the host's own, wherever that listens.
const ResolverAddress = "169.254.1.1"

const ResolverFile = "/etc/resolv.conf"

// NoResolver is the note of a jail whose host does not say where names are looked up. The link of
// that name may be there: systemd-resolved's leads nowhere when it does not run.
const NoResolver = "this host has no " + ResolverFile + ": names cannot be looked up"
