package unpack

import (
	"fmt"
	"os"
	"path"
	"sort"
	"strings"

	"golang.org/x/sys/unix"
)

// Where dpkg keeps its database (dpkg(1), FILES).
const (
	adminDir   = "/var/lib/dpkg"
	infoDir    = adminDir + "/info"
	triggerDir = adminDir + "/triggers"
)

// writeInfo writes the files that dpkg keeps of one package. It is called by the worker that
// extracted it.
func writeInfo(u *unpacked) error {
	if err := os.MkdirAll(infoDir, 0o755); err != nil {
		return err
	}
	base := infoDir + "/" + u.control.infoName() + "."
	var list, sums strings.Builder
	hasSums := false
	for _, f := range u.files {
		switch f.Name {
		case "control":
			continue
		case "list":
			return fmt.Errorf("the control member has a file named list")
		case "md5sums":
			hasSums = true
		}
		if err := writeFile(base+f.Name, f.Body, uint32(f.Mode.Perm()),
			f.ModTime.Unix()); err != nil {
			return err
		}
	}
	for _, e := range u.entries {
		list.WriteString(e.path + "\n")
		if e.md5 != "" {
			sums.WriteString(e.md5 + "  " + e.path[1:] + "\n")
		}
	}
	if err := writeFile(base+"list", []byte(list.String()), 0o644, 0); err != nil {
		return err
	}
	if !hasSums {
		return writeFile(base+"md5sums", []byte(sums.String()), 0o644, 0)
	}
	return nil
}

// writeDatabase writes what concerns all packages, in the order of their ranks. Absent lists
// (diversions, statoverride, alternatives) stay absent, as on a fresh system.
func writeDatabase(all []*unpacked) error {
	sort.Slice(all, func(i, j int) bool { return all[i].item.Rank < all[j].item.Rank })
	for _, d := range []string{infoDir, triggerDir, adminDir + "/updates",
		adminDir + "/alternatives", adminDir + "/parts"} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	var status, fileTriggers strings.Builder
	named := map[string]string{}
	for _, u := range all {
		if err := writeStanza(&status, u); err != nil {
			return fmt.Errorf("%s: %w", u.item.Name, err)
		}
		interests, err := u.interests()
		if err != nil {
			return fmt.Errorf("%s: %w", u.item.Name, err)
		}
		for _, i := range interests {
			who := u.control.infoName()
			if i.noawait {
				who += "/noawait"
			}
			if i.name[0] == '/' {
				fmt.Fprintf(&fileTriggers, "%s %s\n", i.name, who)
			} else {
				named[i.name] += who + "\n"
			}
		}
	}
	files := map[string]string{
		adminDir + "/status":     status.String(),
		adminDir + "/available":  "",
		infoDir + "/format":      "1\n",
		triggerDir + "/Unincorp": "",
		adminDir + "/diversions": "",
	}
	if fileTriggers.Len() > 0 { // dpkg has the file only where somebody is interested
		files[triggerDir+"/File"] = fileTriggers.String()
	}
	for n, s := range named {
		files[triggerDir+"/"+n] = s
	}
	for p, s := range files {
		if err := writeFile(p, []byte(s), 0o644, 0); err != nil {
			return err
		}
	}
	return nil
}

func (u *unpacked) interests() ([]interest, error) {
	for i := range u.files {
		if u.files[i].Name == "triggers" {
			return readInterests(&u.files[i])
		}
	}
	return nil, nil
}

// writeStanza writes a package's paragraph of the status file. dpkg puts fields into its own order
// when it writes the file the next time.
func writeStanza(b *strings.Builder, u *unpacked) error {
	b.WriteString("Package: " + u.control.get("Package") + "\nStatus: install ok unpacked\n")
	s := control(u.text)
	s.Next()
	for i := range s.Paragraph {
		f := &s.Paragraph[i]
		switch strings.ToLower(string(f.Name)) {
		case "package", "status", "conffiles", "config-version", "triggers-pending",
			"triggers-awaited":
			continue
		}
		b.WriteString(string(f.Name) + ":")
		for _, line := range f.Lines() {
			b.WriteString(strings.TrimRight(string(line), "\r") + "\n")
		}
	}
	lines, err := u.conffileLines()
	if err != nil {
		return err
	}
	if len(lines) > 0 {
		b.WriteString("Conffiles:\n")
		for _, l := range lines {
			b.WriteString(" " + l + "\n")
		}
	}
	b.WriteString("\n")
	return nil
}

// conffileLines are the lines of the Conffiles field, in the order of the package's own list. The
// files stand in place already: as .dpkg-new, where dpkg would put them until it configures,
// scripts of other packages would miss them.
func (u *unpacked) conffileLines() ([]string, error) {
	sums := map[string]string{}
	for _, e := range u.entries {
		sums[e.path] = e.md5
	}
	var lines []string
	for _, c := range u.conffiles {
		switch sum := sums[c.path]; {
		case c.removed:
			// dpkg never gets to hash it
			lines = append(lines, c.path+" newconffile remove-on-upgrade")
		case sum == "":
			return nil,
				&inexactError{fmt.Sprintf("conffile %s of %s is not a regular file of the package",
					c.path, u.item.Name)}
		default:
			lines = append(lines, c.path+" "+sum)
		}
	}
	return lines, nil
}

// writeFile writes a file of our own, anew. sec is its modification time; 0 leaves it as it is.
func writeFile(p string, body []byte, mode uint32, sec int64) error {
	fd, err := unix.Open(p, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_CLOEXEC, mode)
	if err != nil {
		return &os.PathError{Op: "create", Path: p, Err: err}
	}
	err = writeAll(fd, body)
	if err == nil {
		err = unix.Fchmod(fd, mode)
	}
	if cerr := unix.Close(fd); err == nil {
		err = cerr
	}
	if err != nil {
		return &os.PathError{Op: "write", Path: p, Err: err}
	}
	if sec == 0 {
		return nil
	}
	return setTime(p, sec)
}

// ensureParent makes the directory that p is in.
func ensureParent(p string) error { return os.MkdirAll(path.Dir(p), 0o755) }
