package session

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"golang.org/x/sys/unix"

	"nsbuild/internal/fstab"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/testenv"
)

// TestDanglingResolver has roots whose resolv.conf is a link that leads nowhere, as
// systemd-resolved makes it: the file is shown all the same, and the tree stays as it is.
func TestDanglingResolver(t *testing.T) {
	own := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(own, []byte("nameserver 192.0.2.7\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	bind := fstab.Mount{Type: "bind", Source: own, Target: resolverFile, ReadOnly: true}
	hosts, hostErr := os.ReadFile(resolverFile)
	for _, c := range []struct {
		name string
		link string
		set  func(o *Options)
		want string
	}{
		{"bind, a link to itself", "resolv.conf", func(o *Options) {
			o.Mounts = append(o.Mounts, bind)
		}, "nameserver 192.0.2.7\n"},
		{"network of the host, a link to itself", "resolv.conf", func(o *Options) {
			o.Network = sandbox.NetworkHost
		}, string(hosts)},
		{"bind", nowhere, func(o *Options) { o.Mounts = append(o.Mounts, bind) },
			"nameserver 192.0.2.7\n"},
		{"bind over a tree as it is", nowhere, func(o *Options) {
			o.Overlay, o.Force = false, true
			o.Mounts = append(o.Mounts, bind)
		}, "nameserver 192.0.2.7\n"},
		{"bind over a read-only tree", nowhere, func(o *Options) {
			o.Overlay, o.ReadOnly, o.Force = false, true, true
			o.Mounts = append(o.Mounts, bind)
		}, "nameserver 192.0.2.7\n"},
		{"network of the host", nowhere, func(o *Options) { o.Network = sandbox.NetworkHost },
			string(hosts)},
		{"read-only", nowhere, func(o *Options) {
			o.Network, o.ReadOnly = sandbox.NetworkHost, true
		}, string(hosts)},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := tree(t)
			dangling(t, o.Root, c.link)
			c.set(&o)
			if o.Network == sandbox.NetworkHost && hostErr != nil {
				testenv.Missing(t, "resolver", fmt.Sprint("this host has no resolv.conf: ",
					hostErr))
			}
			out, st, err := output(t, o, "cat /etc/resolv.conf")
			if err != nil || !st.Success() || out != c.want {
				t.Errorf("%q %v %v; want %q", out, st, err, c.want)
			}
			if _, err := os.Stat(filepath.Join(o.Root, resolverFile)); err == nil {
				t.Error("the link leads somewhere now")
			}
		})
	}
}

// nowhere is where systemd-resolved's link leads, which is nowhere when it does not run.
const nowhere = "../run/systemd/resolve/stub-resolv.conf"

// dangling makes a tree's resolv.conf a link that leads nowhere.
func dangling(t *testing.T, root, to string) {
	t.Helper()
	link := filepath.Join(root, resolverFile)
	if err := os.Symlink(to, link); err != nil {
		t.Fatal(err)
	}
}

// TestOwnResolver has a directory that is used as it is, with the host's network: it has its own
// file, and one that leads nowhere is told, unless a mount shows another.
func TestOwnResolver(t *testing.T) {
	hosts := fstab.Mount{Type: "bind", Source: resolverFile, Target: resolverFile, ReadOnly: true}
	for link, told := range map[string]bool{
		nowhere: true, "/run/resolv.conf": true, "resolv.conf": true, "passwd": false,
		"/etc/passwd": false,
	} {
		o := tree(t)
		o.Overlay, o.Force, o.Network = false, true, sandbox.NetworkHost
		dangling(t, o.Root, link)
		for _, mounts := range [][]fstab.Mount{nil, {hosts}} {
			log, said := logtest.NewNullLogger()
			o := o
			o.Log, o.Mounts = log, append(slices.Clip(o.Mounts), mounts...)
			if _, st, err := output(t, o, "true"); err != nil || !st.Success() {
				t.Fatalf("%s: %v %v", link, st, err)
			}
			notes := said.AllEntries()
			got := len(notes) == 1 && strings.Contains(notes[0].Message, "leads nowhere")
			if got != (told && mounts == nil) {
				t.Errorf("a link to %s, %d mounts: %d notes", link, len(mounts), len(notes))
			}
		}
	}
}

// TestHostWithoutResolver has a host with no resolv.conf, or with a link that leads nowhere: what
// would show it works, with a note.
func TestHostWithoutResolver(t *testing.T) {
	testenv.RequireRoot(t) // to give this process another /etc
	line := fstab.Mount{Type: "bind", Source: resolverFile, Target: resolverFile, ReadOnly: true}
	for _, c := range []struct {
		name string
		link string // which leads nowhere
		set  func(o *Options)
	}{
		{"network of the host, no file", "", func(o *Options) { o.Network = sandbox.NetworkHost }},
		{"network of the host, a link", nowhere, func(o *Options) {
			o.Network = sandbox.NetworkHost
		}},
		{"network of the host, a link to itself", "resolv.conf", func(o *Options) {
			o.Network = sandbox.NetworkHost
		}},
		{"fstab, a link to itself", "resolv.conf", func(o *Options) {
			o.Mounts = append(o.Mounts, line)
		}},
		{"fstab, no file", "", func(o *Options) { o.Mounts = append(o.Mounts, line) }},
		{"fstab, a link", nowhere, func(o *Options) { o.Mounts = append(o.Mounts, line) }},
		{"fstab over a tree as it is", nowhere, func(o *Options) {
			o.Overlay, o.Force = false, true
			o.Mounts = append(o.Mounts, line)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := tree(t)
			c.set(&o)
			etc := ownEtc(t)
			if c.link != "" {
				dangling(t, filepath.Dir(etc), c.link)
			}
			log, said := logtest.NewNullLogger()
			o.Log = log
			if out, st, err := output(t, o, "echo works"); err != nil || !st.Success() ||
				out != "works\n" {
				t.Fatalf("%q %v %v", out, st, err)
			}
			notes := said.AllEntries()
			if len(notes) != 1 || notes[0].Level != logrus.WarnLevel ||
				notes[0].Message != sandbox.NoResolver {
				t.Errorf("%d notes, want one: %q", len(notes), sandbox.NoResolver)
			}
		})
	}
}

// ownEtc gives this process an /etc without resolv.conf, and returns where it lies.
func ownEtc(t *testing.T) string {
	t.Helper()
	etc := filepath.Join(t.TempDir(), "etc")
	makeDir(t, etc, 0o755)
	for _, name := range []string{"passwd", "group", "subuid", "subgid"} {
		text, err := os.ReadFile(filepath.Join("/etc", name))
		if os.IsNotExist(err) {
			continue
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(etc, name), text, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mount(etc, "/etc", "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount("/etc", unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return etc
}
