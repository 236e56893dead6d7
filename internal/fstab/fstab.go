// Package fstab reads fstab(5) as a jail can use it: which file systems it is to see, and how. Mounting is internal/sandbox's, and what exists on the host is looked at there.
package fstab

import (
	"bufio"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Mount is one file system of a jail.
type Mount struct {
	Line   int    // of the file; 0 for one from a command line
	Type   string // "bind", "rbind", "tmpfs", "proc", "sysfs", "devpts", "mqueue", "overlay"
	Source string // host path of a bind
	Target string // path in the jail

	ReadOnly, NoSuid, NoDev, NoExec bool
	Mkdir                           bool   // x-mount.mkdir
	NoFail                          bool   // a missing source is no error
	Data                            string // mode=, size= and the like

	// Of an overlay: host directories, the lower ones topmost first. Upper and Work are empty when it is read-only.
	Lowers      []string
	Upper, Work string
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

// Parse reads the six fields of each line; the last two may be missing. name is the file's, for errors. Lines with the option noauto are left out.
func Parse(name string, r io.Reader) ([]Mount, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, longest)
	var mounts []Mount
	n := 0
	for lines.Scan() {
		n++
		text := strings.TrimSpace(lines.Text())
		if text == "" || text[0] == '#' {
			continue
		}
		m, auto, err := parseLine(text)
		if err != nil {
			err.File, err.Line = name, n
			return nil, err
		}
		if auto {
			m.Line = n
			mounts = append(mounts, *m)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s:%d: %w", name, n+1, err)
	}
	return mounts, nil
}

var fieldNames = []string{"fs_spec", "fs_file", "fs_vfstype", "fs_mntops", "fs_freq", "fs_passno"}

func parseLine(text string) (_ *Mount, auto bool, _ *Error) {
	fields := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == '\t' })
	if len(fields) < 4 {
		return nil, false, &Error{Field: fieldNames[len(fields)], Reason: "the field is missing"}
	}
	if len(fields) > 6 {
		return nil, false, &Error{Field: "the seventh field", Value: fields[6], Reason: "there are six; a blank in a name is written \\040"}
	}
	for i := 4; i < len(fields); i++ {
		if _, err := strconv.ParseUint(fields[i], 10, 31); err != nil {
			return nil, false, &Error{Field: fieldNames[i], Value: fields[i], Reason: "it must be a number"}
		}
	}
	for i := range 2 {
		fields[i] = Unescape(fields[i])
		if strings.ContainsRune(fields[i], 0) {
			return nil, false, &Error{Field: fieldNames[i], Value: fields[i], Reason: "a name cannot contain a NUL byte"}
		}
	}
	m := &Mount{Type: fields[2], Source: fields[0], Target: fields[1]}
	if !strings.HasPrefix(m.Target, "/") {
		return nil, false, &Error{Field: "fs_file", Value: m.Target, Reason: "it must be an absolute path in the jail"}
	}
	kind, auto, reason := m.options(fields[3])
	if reason != "" {
		return nil, false, &Error{Field: "fs_mntops", Value: fields[3], Reason: reason}
	}
	overlay := m.Lowers != nil || m.Upper != "" || m.Work != ""
	if m.Type == "overlay" {
		if reason := m.checkOverlay(); reason != "" {
			return nil, false, &Error{Field: "fs_mntops", Value: fields[3], Reason: reason}
		}
	}
	switch {
	case overlay && (kind != "" || m.Type != "overlay"):
		return nil, false, &Error{Field: "fs_mntops", Value: fields[3], Reason: "lowerdir, upperdir and workdir are an overlay's"}
	case m.Type == "overlay" && (kind != "" || m.Data != ""):
		return nil, false, &Error{Field: "fs_mntops", Value: fields[3], Reason: "an overlay takes lowerdir, upperdir and workdir"}
	case m.Type == "overlay":
		m.Source = ""
	case kind != "":
		m.Type = kind
		if !strings.HasPrefix(m.Source, "/") {
			return nil, false, &Error{Field: "fs_spec", Value: m.Source, Reason: "a bind needs an absolute path of the host"}
		}
		if m.Data != "" {
			return nil, false, &Error{Field: "fs_mntops", Value: fields[3], Reason: "a bind takes no " + m.Data}
		}
	case m.Type == "proc" || m.Type == "sysfs" || m.Type == "mqueue" || m.Type == "devpts" || m.Type == "tmpfs":
		m.Source = ""
	case m.Type == "none":
		return nil, false, &Error{Field: "fs_vfstype", Value: m.Type, Reason: "it goes with the option bind or rbind"}
	default:
		return nil, false, &Error{Field: "fs_vfstype", Value: m.Type, Reason: "a jail cannot mount it; mount it on the host and bind it"}
	}
	return m, auto, nil
}

// options reads the fourth field: the kind of bind, or "", and whether it is to be mounted.
func (m *Mount) options(text string) (kind string, auto bool, reason string) {
	auto = true
	var data []string
	for option := range strings.SplitSeq(text, ",") {
		name, value, hasValue := strings.Cut(option, "=")
		switch name {
		case "bind":
			if kind == "" {
				kind = "bind"
			}
		case "rbind":
			kind = "rbind"
		case "ro":
			m.ReadOnly = true
		case "rw":
			m.ReadOnly = false
		case "nosuid", "suid":
			m.NoSuid = name == "nosuid"
		case "nodev":
			m.NoDev = true
		case "noexec", "exec":
			m.NoExec = name == "noexec"
		case "nofail":
			m.NoFail = true
		case "noauto":
			auto = false
		case "defaults", "auto", "relatime", "async", "nouser", "silent", "_netdev":
			// As it is anyway.
		case "dev":
			return "", false, "device files cannot be used in a jail, but those of its own /dev"
		case "lowerdir", "upperdir", "workdir":
			value = Unescape(value)
			switch name {
			case "lowerdir":
				m.Lowers = strings.Split(value, ":")
			case "upperdir":
				m.Upper = value
			case "workdir":
				m.Work = value
			}
		case "mode", "size", "uid", "gid", "nr_inodes":
			if !hasValue || value == "" {
				return "", false, name + " needs a value"
			}
			if reason := checkValue(name, value); reason != "" {
				return "", false, reason
			}
			data = append(data, option)
		default:
			switch {
			case name == "x-mount.mkdir" || name == "X-mount.mkdir":
				if hasValue {
					return "", false, "a mode is not taken here: missing directories are made with mode 0755"
				}
				m.Mkdir = true
			case strings.HasPrefix(name, "x-") || name == "comment":
				// For other programs (mount(8)).
			case name == "":
				return "", false, "there is an empty option"
			default:
				return "", false, "the option " + name + " is not known"
			}
		}
	}
	m.Data = strings.Join(data, ",")
	return kind, auto, ""
}

// checkOverlay says what is wrong with the directories of an overlay.
func (m *Mount) checkOverlay() string {
	dirs := slices.Clone(m.Lowers)
	if m.Upper != "" || m.Work != "" {
		dirs = append(dirs, m.Upper, m.Work)
	}
	for _, dir := range dirs {
		if !strings.HasPrefix(dir, "/") || strings.ContainsRune(dir, 0) {
			return "lowerdir, and upperdir with workdir or neither, must be absolute paths of the host"
		}
	}
	switch {
	case len(m.Lowers) == 0:
		return "an overlay needs lowerdir"
	case m.Upper == "" && len(m.Lowers) < 2:
		return "an overlay without upperdir needs two lower directories; for one, use bind,ro"
	}
	return ""
}

func checkValue(name, value string) string {
	digits, base := value, 10
	switch name {
	case "mode":
		base = 8
	case "size", "nr_inodes":
		digits = strings.TrimRight(value, "kKmMgG%")
		if len(value)-len(digits) > 1 {
			return name + " is not a size: " + value
		}
	}
	if _, err := strconv.ParseUint(digits, base, 63); err != nil {
		return name + " is not a number: " + value
	}
	return ""
}

// Unescape translates the octal escapes of a name: \040 for a blank, \011 for a tab, \012 for a newline, \134 for a backslash; as getmntent(3), any octal number.
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

// ParseBind reads SRC[:DST][:OPTIONS] of a command line. A relative SRC is one of the current directory.
func ParseBind(text string, readOnly bool) (Mount, error) {
	parts := strings.SplitN(text, ":", 3)
	if parts[0] == "" {
		return Mount{}, fmt.Errorf("the bind %q: it names nothing of the host", text)
	}
	source := parts[0]
	if !filepath.IsAbs(source) {
		var err error
		if source, err = filepath.Abs(source); err != nil {
			return Mount{}, fmt.Errorf("the bind %q: %w", text, err)
		}
	}
	m := Mount{Type: "rbind", Source: source, Target: source, Mkdir: true}
	if len(parts) > 1 && parts[1] != "" {
		m.Target = parts[1]
	}
	if len(parts) > 2 {
		kind, _, reason := m.options(parts[2])
		if reason == "" && m.Data != "" {
			reason = "a bind takes no " + m.Data
		}
		if reason != "" {
			return m, fmt.Errorf("the bind %q: %s", text, reason)
		}
		if kind != "" {
			m.Type = kind
		}
	}
	m.ReadOnly = m.ReadOnly || readOnly
	if !strings.HasPrefix(m.Target, "/") {
		return m, fmt.Errorf("the bind %q: its path in the jail must be absolute", text)
	}
	return m, nil
}

// ParseTmpfs reads DST[:OPTIONS] of a command line.
func ParseTmpfs(text string) (Mount, error) {
	target, options, _ := strings.Cut(text, ":")
	m := Mount{Type: "tmpfs", Target: target, Mkdir: true, NoDev: true}
	if !strings.HasPrefix(target, "/") {
		return m, fmt.Errorf("the tmpfs %q: its path must be absolute", text)
	}
	if options != "" {
		kind, _, reason := m.options(options)
		if kind != "" {
			reason = "it is no bind"
		}
		if reason != "" {
			return m, fmt.Errorf("the tmpfs %q: %s", text, reason)
		}
	}
	return m, nil
}
