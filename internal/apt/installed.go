package apt

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"nsbuild/internal/sandbox"
)

// Package is an installed package.
type Package struct{ Name, Version, Arch string }

// Installed lists what a jail's dpkg has installed, in the order of its status file.
func Installed(jail *sandbox.Jail) ([]Package, error) {
	f, err := jail.Open("var/lib/dpkg/status")
	if err != nil {
		return nil, fmt.Errorf("listing what is installed: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err == nil && st.Size() > maxStatus {
		err = fmt.Errorf("dpkg's status has %d bytes, no more than %d are read", st.Size(),
			maxStatus)
	}
	if err != nil {
		return nil, fmt.Errorf("listing what is installed: %w", err)
	}
	return readStatus(f)
}

// maxStatus bounds dpkg's status file, in bytes: root of the jail can write anything there. That of
// a system with all of a release has some 80 MiB.
const maxStatus = 256 << 20

// readStatus lists the installed packages of a dpkg status file.
func readStatus(r io.Reader) ([]Package, error) {
	var out []Package
	var p Package
	var ok bool
	end := func() {
		if ok && p.Name != "" {
			out = append(out, p)
		}
		p, ok = Package{}, false
	}
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if err != nil && err != io.EOF {
			return nil, fmt.Errorf("reading dpkg's status: %w", err)
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		switch value = strings.TrimSpace(value); name {
		case "":
			end()
		case "Package":
			p.Name = value
		case "Version":
			p.Version = value
		case "Architecture":
			p.Arch = value
		case "Status":
			ok = strings.HasSuffix(value, " installed")
		}
		if err == io.EOF {
			end()
			return out, nil
		}
	}
}
