package session

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"nsbuild/internal/fault"
	"nsbuild/internal/sandbox"
)

// files are those of a jail, or of the base before there is one.
type files interface {
	Open(name string) (*os.File, error)
}

// account is who a command runs as.
type account struct {
	name, home, shell string
	uid, gid          int
	groups            []int
	unknown           bool // a number that the jail's /etc/passwd has not
}

// lookup finds the user and the groups as the jail's own files name them (passwd(5), group(5)). A
// number needs no entry.
func lookup(jail files, user, group string, groups []string) (account, error) {
	a := account{name: "root", home: "/root", shell: "/bin/sh"}
	passwd, err := database(jail, "/etc/passwd", 7)
	if err != nil {
		return a, err
	}
	known, err := database(jail, "/etc/group", 4)
	if err != nil {
		return a, err
	}
	if user == "" {
		user = "0"
	}
	entry := slices.IndexFunc(passwd, func(f []string) bool { return f[0] == user || f[2] == user })
	number, numberErr := id(user)
	switch {
	case entry >= 0:
		if err := a.fill(passwd[entry]); err != nil {
			return a, fmt.Errorf("/etc/passwd in the jail: %w", err)
		}
	case numberErr == nil:
		a.uid = number
		if number != 0 {
			a.name, a.home, a.gid, a.unknown = user, "/", number, true
		}
	default:
		return a, fault.New(fault.Usage, "give a name of the jail's /etc/passwd, or a number",
			"the user %q is unknown in the jail", user)
	}
	if entry >= 0 && groups == nil {
		for _, f := range known {
			if g, err := id(f[2]); err == nil && slices.Contains(strings.Split(f[3], ","), a.name) {
				a.groups = append(a.groups, g)
			}
		}
	}
	if group != "" {
		if a.gid, err = groupID(known, group); err != nil {
			return a, err
		}
	}
	for _, name := range groups {
		g, err := groupID(known, name)
		if err != nil {
			return a, err
		}
		a.groups = append(a.groups, g)
	}
	return a, nil
}

func (a *account) fill(f []string) error {
	uid, err1 := id(f[2])
	gid, err2 := id(f[3])
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	a.name, a.uid, a.gid, a.home = f[0], uid, gid, f[5]
	if f[6] != "" {
		a.shell = f[6]
	}
	if a.home == "" {
		a.home = "/"
	}
	return nil
}

// id reads a number of a uid or gid that a jail can have.
func id(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err == nil && n >= sandbox.IDCount {
		err = fmt.Errorf("id %d: a jail has ids below %d", n, sandbox.IDCount)
	}
	return int(n), err
}

func groupID(known [][]string, name string) (int, error) {
	for _, f := range known {
		if f[0] == name {
			return id(f[2])
		}
	}
	n, err := id(name)
	if err != nil {
		return 0, fault.New(fault.Usage, "give a name of the jail's /etc/group, or a number",
			"the group %q is unknown in the jail", name)
	}
	return n, nil
}

// database reads a file of lines with colons. Lines with another number of fields (NIS's, and
// comments) are passed over, as the C library does. A root without the file has none.
func database(jail files, name string, fields int) ([][]string, error) {
	f, err := jail.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking up users in the jail: %w", err)
	}
	defer f.Close()
	var out [][]string
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if parts := strings.Split(lines.Text(), ":"); len(parts) == fields && parts[0] != "" {
			out = append(out, parts)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s in the jail: %w", name, err)
	}
	return out, nil
}
