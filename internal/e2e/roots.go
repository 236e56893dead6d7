package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nsbuild/internal/fakedebian"
	"nsbuild/internal/machine"
	"nsbuild/internal/testenv"
)

// MakeRoot makes a small root, which can also be imported as a base, and beside it DIR.fstab.
func MakeRoot(dir string) error {
	programs, links := testenv.Programs()
	for _, name := range append([]string{"etc/apt", "tmp", "root", "proc", "sys", "dev", "srv",
		"mnt", "home", "var/lib/dpkg"}, programs...) {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			return err
		}
	}
	for name, to := range links {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	var mounts strings.Builder
	for _, p := range programs {
		fmt.Fprintf(&mounts, "%s %[1]s none bind,ro 0 0\n", p)
	}
	for name, text := range map[string]string{
		dir + ".fstab":                   mounts.String(),
		dir + "/etc/passwd":              "root:x:0:0:root:/root:/bin/sh\nsomeone:x:7:8::/srv:/bin/sh\n",
		dir + "/etc/group":               "root:x:0:\nothers:x:8:\nmore:x:9:someone\n",
		dir + "/etc/hostname":            "made-elsewhere\n",
		dir + "/etc/os-release":          "ID=debian\nVERSION_CODENAME=bookworm\n",
		dir + "/etc/apt/apt.conf":        "",
		dir + "/var/lib/dpkg/diversions": "",
		dir + "/var/lib/dpkg/status": "Package: dpkg\nStatus: install ok " +
			"installed\nVersion: 1.21.22\nArchitecture: " + machine.Native() + "\n\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// SmallSuite is a suite with the packages that a base asks for by name.
func SmallSuite(t *testing.T) (*fakedebian.Archive, *fakedebian.Suite) {
	t.Helper()
	a := fakedebian.New(t)
	s := a.Suite("bookworm")
	for _, name := range []string{"base-passwd", "base-files", "dpkg", "dash", "libc6"} {
		s.Add(fakedebian.Package{Name: name, Priority: "required", Essential: true})
	}
	s.Add(fakedebian.Package{Name: "apt", Priority: "important"},
		fakedebian.Package{Name: "build-essential"}, fakedebian.Package{Name: "usr-is-merged"})
	s.AddSource(fakedebian.Source{Name: "small"})
	return a, s
}
