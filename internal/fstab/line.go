package fstab

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

var fieldNames = []string{"fs_spec", "fs_file", "fs_vfstype", "fs_mntops", "fs_freq", "fs_passno"}

// The types that mean a jail's own file systems.
var ownTypes = []string{"proc", "sysfs", "devpts", "devtmpfs", "mqueue"}

// kernelTypes are file systems of the host's kernel that no jail has.
var kernelTypes = []string{
	"autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "cpuset", "debugfs", "devfs",
	"efivarfs", "functionfs", "fusectl", "hugetlbfs", "nfsd", "pstore", "rpc_pipefs", "securityfs",
	"selinuxfs", "tracefs", "usbdevfs", "usbfs", "xenfs",
}

// parseLine returns no mount for a line that is not for a jail, or that changes an earlier one.
func (t *Table) parseLine(text string) (_ *Mount, notes []string, _ *Error) {
	fields, wrong := split(text)
	if wrong != nil {
		return nil, nil, wrong
	}
	words := splitOptions(fields[3])
	if slices.Contains(words, "noauto") {
		return nil, nil, nil
	}
	m := &Mount{Type: fields[2], Source: fields[0], Target: fields[1]}
	if note := m.notForJails(words); note != "" {
		return nil, []string{note}, nil
	}
	if !strings.HasPrefix(m.Target, "/") {
		m.Target = "/" + m.Target // relative to the root, as in a file of lxc
	}
	if slices.Contains(words, "remount") {
		return t.remount(m.Target, fields[3], words)
	}
	o := options{mount: m}
	if reason := o.read(words); reason != "" {
		return nil, nil, &Error{Field: "fs_mntops", Value: fields[3], Reason: reason}
	}
	if wrong := m.settle(&o, fields[3]); wrong != nil {
		return nil, nil, wrong
	}
	for _, note := range o.allNotes() {
		notes = append(notes, m.Target+": "+note)
	}
	return m, notes, nil
}

// split makes fields of a line: the four first ones, with their escapes undone.
func split(text string) ([]string, *Error) {
	fields := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == '\t' })
	for i := 3; i < len(fields); i++ {
		if strings.HasPrefix(fields[i], "#") {
			fields = fields[:i]
		}
	}
	if len(fields) < 3 {
		return nil, &Error{Field: fieldNames[len(fields)], Reason: "the field is missing"}
	}
	if len(fields) == 3 {
		fields = append(fields, "defaults")
	}
	for i := 4; i < min(len(fields), len(fieldNames)); i++ {
		if _, err := strconv.ParseInt(fields[i], 10, 32); err != nil {
			return nil, &Error{Field: fieldNames[i], Value: fields[i],
				Reason: `it must be a number; a blank in a name is written \040`}
		}
	}
	for i := range 2 {
		fields[i] = Unescape(fields[i])
		if strings.ContainsRune(fields[i], 0) {
			return nil, &Error{Field: fieldNames[i], Value: fields[i],
				Reason: "a name cannot contain a NUL byte"}
		}
	}
	return fields[:4], nil
}

// notForJails says why a line is skipped: it is for the host, or mounts what a jail cannot.
func (m *Mount) notForJails(words []string) string {
	isBind := func(word string) bool { return word == "bind" || word == "rbind" }
	bind := isBind(m.Type) || slices.ContainsFunc(words, isBind)
	switch {
	case m.Type == "swap":
		return fmt.Sprintf("%s is skipped: swap is the host's", m.Source)
	case m.Type == "ignore":
		return fmt.Sprintf("%s is skipped, as its type says", m.Target)
	case m.Target == "/":
		return fmt.Sprintf("%s is not mounted on /: the jail has its root", m.Source)
	case bind || m.Type == "tmpfs" || m.Type == "ramfs" || m.Type == "overlay" || m.Type == "none":
		return ""
	case slices.Contains(ownTypes, m.Type):
		return ""
	case strings.Contains(m.Type, "/"):
		return "" // two fields of a name with a blank; settle refuses it
	case slices.Contains(kernelTypes, m.Type):
		return fmt.Sprintf("%s is not mounted: a jail has no %s", m.Target, m.Type)
	}
	return fmt.Sprintf(
		"%s is not mounted: a jail cannot mount %s; mount it on the host and bind it",
		m.Target, m.Type)
}

// settle turns what fields and options say into a mount of a jail.
func (m *Mount) settle(o *options, text string) *Error {
	overlay := m.Lowers != nil || m.Upper != "" || m.Work != ""
	if o.kind == "" && (m.Type == "bind" || m.Type == "rbind") {
		o.kind = m.Type
	}
	wrong := func(reason string) *Error {
		return &Error{Field: "fs_mntops", Value: text, Reason: reason}
	}
	switch {
	case overlay && (o.kind != "" || m.Type != "overlay"):
		return wrong("lowerdir, upperdir and workdir are an overlay's")
	case m.Type == "overlay" && (o.kind != "" || m.Data != ""):
		return wrong("an overlay takes lowerdir, upperdir and workdir")
	case m.Type == "overlay":
		if reason := m.checkOverlay(); reason != "" {
			return wrong(reason)
		}
		m.Source = ""
	case o.kind != "":
		m.Type = o.kind
		if !strings.HasPrefix(m.Source, "/") {
			return &Error{Field: "fs_spec", Value: m.Source,
				Reason: "a bind needs an absolute path of the host"}
		}
		m.leaveOutData(o)
	case m.Type == "ramfs":
		m.Type, m.Source = "tmpfs", ""
		o.note("it is a tmpfs in a jail: a ramfs has no limit")
	case m.Type == "tmpfs":
		m.Source = ""
	case slices.Contains(ownTypes, m.Type):
		m.Source = ""
		m.leaveOutData(o)
	case m.Type == "none":
		return &Error{Field: "fs_vfstype", Value: m.Type,
			Reason: "it goes with the option bind or rbind"}
	default:
		return &Error{Field: "fs_vfstype", Value: m.Type,
			Reason: `no type is called so; a blank in a name is written \040`}
	}
	return nil
}

// leaveOutData drops what is an option of another file system's, or what a jail's own has already.
func (m *Mount) leaveOutData(o *options) {
	for option := range strings.SplitSeq(m.Data, ",") {
		if option == "" || m.Type == "devpts" &&
			(strings.HasPrefix(option, "mode=") || option == "gid=5") {
			continue
		}
		o.leftOut = append(o.leftOut, option)
	}
	m.Data = ""
}

// checkOverlay says what is wrong with the directories of an overlay.
func (m *Mount) checkOverlay() string {
	dirs := slices.Clone(m.Lowers)
	if m.Upper != "" || m.Work != "" {
		dirs = append(dirs, m.Upper, m.Work)
	}
	for _, dir := range dirs {
		if !strings.HasPrefix(dir, "/") || strings.ContainsRune(dir, 0) {
			return "lowerdir, and upperdir with workdir or neither, must be absolute paths of " +
				"the host"
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
