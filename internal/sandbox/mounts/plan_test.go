package mounts

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"nsbuild/internal/sandbox/wire"
)

// shown is a step of a plan in one line: what, from where, on what, how.
func shown(m wire.Mount) string {
	text := m.Type
	if m.Source != "" {
		text += " " + m.Source
	}
	text += " " + m.Target
	for _, f := range []struct {
		on   bool
		name string
	}{{m.ReadOnly, "ro"}, {m.NoSuid, "nosuid"}, {m.NoDev, "nodev"}, {m.NoExec, "noexec"},
		{m.Mkdir, "mkdir"}} {
		if f.on {
			text += " " + f.name
		}
	}
	if m.Data != "" {
		text += fmt.Sprintf(" %q", m.Data)
	}
	return text
}

func plan(mounts []wire.Mount) []string {
	var lines []string
	for _, m := range mounts {
		lines = append(lines, shown(m))
	}
	return lines
}

// every is what H mounts in every jail.
const every = `proc /proc mkdir
dir /sys
tmpfs /dev nosuid nodev noexec mkdir "mode=0755,size=64m"
device /dev/null /dev/null mkdir
device /dev/zero /dev/zero mkdir
device /dev/full /dev/full mkdir
device /dev/random /dev/random mkdir
device /dev/urandom /dev/urandom mkdir
device /dev/tty /dev/tty mkdir
dir /dev/pts
dir /dev/mqueue
dir /dev/shm
symlink /proc/self/fd /dev/fd
symlink /proc/self/fd/0 /dev/stdin
symlink /proc/self/fd/1 /dev/stdout
symlink /proc/self/fd/2 /dev/stderr
symlink pts/ptmx /dev/ptmx
tmpfs /dev/shm nosuid nodev "mode=1777"`

// TestPlan compares whole plans: what is mounted in a jail, in which order, and with what taken
// away.
func TestPlan(t *testing.T) {
	const own = `devpts /dev/pts nosuid noexec "newinstance,gid=5,mode=620,ptmxmode=666"
mqueue /dev/mqueue nosuid nodev noexec`
	const sysfs = "\nsysfs /sys ro nosuid nodev noexec"
	extra := []wire.Mount{{Type: "bind", Source: "/home/me", Target: "/src", ReadOnly: true}}
	for _, c := range []struct {
		name         string
		spec         wire.Spec
		holder, jail string
	}{
		{"without network", wire.Spec{Network: wire.NetworkNone}, "", sysfs},
		{"with the host's", wire.Spec{Network: wire.NetworkHost},
			"\nrbind /sys /sys ro nosuid nodev noexec", ""},
		{"with its own", wire.Spec{Network: wire.NetworkPrivate},
			"\ntext /etc/resolv.conf mkdir \"nameserver 169.254.1.1\\n\"", sysfs},
		{"with its own, over a directory", wire.Spec{Network: wire.NetworkPrivate,
			Root: wire.Root{Dir: "/srv"}},
			"\ntext /etc/resolv.conf \"nameserver 169.254.1.1\\n\"", sysfs},
		{"with a mount of the caller's", wire.Spec{Network: wire.NetworkNone, Mounts: extra},
			"\nbind /home/me /src ro", sysfs},
	} {
		for what, got := range map[string][]string{
			every + c.holder: plan(OfHolder(&c.spec)), own + c.jail: plan(OfJail(&c.spec)),
		} {
			if want := strings.Split(what, "\n"); !slices.Equal(got, want) {
				t.Errorf("%s:\n%s\nshould be\n%s", c.name, strings.Join(got, "\n"), what)
			}
		}
	}
}
