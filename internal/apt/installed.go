package apt

import (
	"bytes"
	"fmt"
	"io"
	"strconv"

	"nsbuild/internal/deb822"
	"nsbuild/internal/jails"
)

// Package is an installed package.
type Package struct {
	Name, Version, Arch string
	KiB                 int64 // that it takes, as it says itself; 0 when it does not
}

// Installed lists what a jail's dpkg has installed, in the order of its status file.
func Installed(jail jails.Jail) ([]Package, error) {
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

// maxParagraph bounds what is said of one package, in bytes.
const maxParagraph = 16 << 20

// readStatus lists the installed packages of a dpkg status file.
func readStatus(r io.Reader) ([]Package, error) {
	var out []Package
	s := deb822.NewScanner(r, deb822.Syntax{Limit: maxParagraph, Dpkg: true})
	for s.Next() {
		p := Package{Name: string(s.Last("Package")), Version: string(s.Last("Version")),
			Arch: string(s.Last("Architecture"))}
		// what is no number says nothing
		p.KiB, _ = strconv.ParseInt(string(s.Last("Installed-Size")), 10, 64)
		if p.Name != "" && bytes.HasSuffix(s.Last("Status"), []byte(" installed")) {
			out = append(out, p)
		}
	}
	if s.Err() != nil {
		return nil, fmt.Errorf("reading dpkg's status: %w", s.Err())
	}
	return out, nil
}
