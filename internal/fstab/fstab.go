// Package fstab reads fstab(5) as a jail can use it: which file systems it is to see, and how.
// Mounting is internal/sandbox's, and what exists on the host is looked at there.
package fstab

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Mount is one file system of a jail.
type Mount struct {
	Line   int    // of the file; 0 for one from a command line
	Type   string // "bind", "rbind", "tmpfs", "proc", "sysfs", "devpts", "mqueue", "overlay"
	Source string // host path of a bind
	Target string // path in the jail

	ReadOnly, NoSuid, NoDev, NoExec, NoSymFollow bool
	Mkdir                                        bool   // x-mount.mkdir
	NoFail                                       bool   // a missing source is no error
	Data                                         string // mode=, size= and the like

	// Of an overlay: host directories, the lower ones topmost first. Upper and Work are empty when
	// it is read-only.
	Lowers      []string
	Upper, Work string
}

// Table is what a file says.
type Table struct {
	Mounts []Mount
	// Notes say what of the file a jail does without, a line each: lines that are skipped, and
	// options that are left out.
	Notes []string
}

// Error is a line that cannot be used.
type Error struct {
	File   string
	Line   int
	Field  string // its name in fstab(5)
	Value  string
	Reason string
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s:%d: %s %q: %s", e.File, e.Line, e.Field, e.Value, e.Reason)
}

// longest is more than the kernel takes as options of one mount, a page.
const longest = 16 << 10

// Parse reads the six fields of each line, as mount(8) does: the last three may be missing, and
// what follows the sixth does not count. name is the file's, for errors and notes. Lines with the
// option noauto are left out.
func Parse(name string, r io.Reader) (*Table, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, longest)
	var t Table
	n := 0
	for lines.Scan() {
		n++
		text := strings.TrimSpace(lines.Text())
		if text == "" || text[0] == '#' {
			continue
		}
		m, notes, err := t.parseLine(text)
		if err != nil {
			err.File, err.Line = name, n
			return nil, err
		}
		for _, note := range notes {
			t.Notes = append(t.Notes, fmt.Sprintf("%s:%d: %s", name, n, note))
		}
		if m != nil {
			m.Line = n
			t.Mounts = append(t.Mounts, *m)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s:%d: %w", name, n+1, err)
	}
	return &t, nil
}

// Unescape translates the octal escapes of a name: \040 for a blank, \011 for a tab, \012 for a
// newline, \134 for a backslash; as getmntent(3), any octal number.
func Unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				out.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		out.WriteByte(s[i])
	}
	return out.String()
}
