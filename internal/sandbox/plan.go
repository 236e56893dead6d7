package sandbox

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

// deviceNodes are the host devices a jail sees; each is harmless to share.
var deviceNodes = []string{"null", "zero", "full", "random", "urandom", "tty"}

// holderMounts is what H mounts over the root of a jail, in order. Being H's, these mounts are
// locked in J: nothing inside can undo them.
func holderMounts(spec *Spec) []Mount {
	plan := []Mount{
		{Type: typeOwnProc, Target: "/proc", Mkdir: true},
		{Type: typeDir, Target: "/sys"},
		{Type: "tmpfs", Target: "/dev", NoSuid: true, NoExec: true, NoDev: true,
			Data: "mode=0755,size=64m", Mkdir: true},
	}
	for _, name := range deviceNodes {
		plan = append(plan, Mount{Type: typeDevice, Source: "/dev/" + name, Target: "/dev/" + name,
			Mkdir: true})
	}
	for _, dir := range []string{"/dev/pts", "/dev/mqueue", "/dev/shm"} {
		plan = append(plan, Mount{Type: typeDir, Target: dir})
	}
	for _, link := range [][2]string{
		{"/proc/self/fd", "/dev/fd"}, {"/proc/self/fd/0", "/dev/stdin"},
		{"/proc/self/fd/1", "/dev/stdout"},
		{"/proc/self/fd/2", "/dev/stderr"}, {"pts/ptmx", "/dev/ptmx"},
	} {
		plan = append(plan, Mount{Type: typeSymlink, Source: link[0], Target: link[1]})
	}
	plan = append(plan, Mount{Type: "tmpfs", Target: "/dev/shm", NoSuid: true, NoDev: true,
		Data: "mode=1777"})
	if spec.Network == NetworkHost {
		// A fresh sysfs needs a network namespace of the jail's own.
		plan = append(plan, Mount{Type: "rbind", Source: "/sys", Target: "/sys", ReadOnly: true,
			NoSuid: true, NoDev: true, NoExec: true})
	}
	if spec.Network == NetworkPrivate {
		plan = append(plan,
			Mount{Type: typeText, Target: resolverFile,
				Data: "nameserver " + resolverAddress + "\n", Mkdir: spec.Root.Dir == ""})
	}
	return append(plan, spec.Mounts...)
}

// jailMounts is what the helper mounts from inside J: file systems that belong to J's own
// namespaces.
func jailMounts(spec *Spec) []Mount {
	plan := []Mount{
		{Type: "devpts", Target: "/dev/pts", NoSuid: true, NoExec: true,
			Data: "newinstance,gid=5,mode=620,ptmxmode=666"},
		{Type: "mqueue", Target: "/dev/mqueue", NoSuid: true, NoDev: true, NoExec: true},
	}
	if spec.Network != NetworkHost {
		plan = append(plan, Mount{Type: "sysfs", Target: "/sys", ReadOnly: true, NoSuid: true,
			NoDev: true, NoExec: true})
	}
	return plan
}
