package fstab

import (
	"slices"
	"strconv"
	"strings"
)

// Options of mount(8) that change nothing in a jail: what they ask for is so in any case, is for
// other programs, or tells the kernel how to write to a disk that is the host's.
var withoutEffect = []string{
	"", "_netdev", "async", "atime", "auto", "comment", "defaults", "diratime", "dirsync",
	"helper", "iversion", "lazytime", "loud", "mand", "newinstance", "noatime", "nodiratime",
	"nogroup", "noiversion", "nolazytime", "nomand", "none", "noowner", "norelatime",
	"nostrictatime", "nouser", "nousers", "private", "ptmxmode", "relatime", "relative",
	"rprivate", "runbindable", "silent", "strictatime", "sync", "uhelper", "unbindable",
}

// Options without a value that belong to one file system or another: mount(8) has them ignored for
// a bind.
var ofFileSystems = []string{
	"acl", "allow_other", "attr2", "autodefrag", "barrier", "big_writes", "casefold", "compress",
	"default_permissions", "delalloc", "discard", "exclusive", "force", "grpquota", "hard",
	"inode32", "inode64", "intr", "journal_checksum", "largeio", "loop", "max", "metacopy",
	"nfs_export", "noacl", "noauto_da_alloc", "nobarrier", "nobh", "nodelalloc", "nodiscard",
	"noquota", "noswap", "nouser_xattr", "nouuid", "permissions", "prjquota", "quota", "seclabel",
	"soft", "space_cache", "ssd", "swalloc", "user_xattr", "userxattr", "usrjquota", "usrquota",
	"utf8", "volatile", "wsync", "zfsutil",
}

// splitOptions splits at commas that are not within quotation marks (mount(8), "context=").
func splitOptions(text string) []string {
	quoted := false
	return strings.FieldsFunc(text, func(r rune) bool {
		quoted = quoted != (r == '"')
		return r == ',' && !quoted
	})
}

// options is the reading of the fourth field.
type options struct {
	mount *Mount
	kind  string // of bind, or ""
	data  []string

	notes   []string
	leftOut []string // words
}

func (o *options) note(text string) { o.notes = append(o.notes, text) }

func (o *options) allNotes() []string {
	if len(o.leftOut) == 0 {
		return o.notes
	}
	return append(o.notes, "left out: "+strings.Join(o.leftOut, ","))
}

// read reads all words. reason says what is wrong.
func (o *options) read(words []string) (reason string) {
	for _, word := range words {
		name, value, hasValue := strings.Cut(word, "=")
		if o.attribute(name) || slices.Contains(withoutEffect, name) {
			continue
		}
		if known, reason := o.place(name, value); known {
			if reason != "" {
				return reason
			}
			continue
		}
		if known, reason := o.ofTmpfs(name, value, hasValue); known {
			if reason != "" {
				return reason
			}
			continue
		}
		if reason := o.other(name, word, hasValue); reason != "" {
			return reason
		}
	}
	o.mount.Data = strings.Join(o.data, ",")
	return ""
}

// attribute reads a word that says how files may be used. Of two that contradict each other, the
// last counts.
func (o *options) attribute(name string) bool {
	m := o.mount
	switch name {
	case "bind":
		if o.kind == "" {
			o.kind = "bind"
		}
	case "rbind":
		o.kind = "rbind"
	case "ro", "rw":
		m.ReadOnly = name == "ro"
	case "nosuid", "suid":
		m.NoSuid = name == "nosuid"
	case "noexec", "exec":
		m.NoExec = name == "noexec"
	case "nosymfollow", "symfollow":
		m.NoSymFollow = name == "nosymfollow"
	case "nodev":
		m.NoDev = true
	case "dev":
		m.NoDev = false
		o.note("device files in it cannot be used, as everywhere in a jail but in its /dev")
	case "user", "users": // they imply these (mount(8))
		m.NoSuid, m.NoDev, m.NoExec = true, true, true
	case "owner", "group":
		m.NoSuid, m.NoDev = true, true
	case "shared", "rshared", "slave", "rslave":
		o.note(name + " is left out: what is mounted later is not seen on the other side")
	default:
		return false
	}
	return true
}

// place reads what says where a mount comes from and goes to.
func (o *options) place(name, value string) (known bool, reason string) {
	m := o.mount
	switch name {
	case "nofail", "optional": // the second is lxc's
		m.NoFail = true
	case "x-mount.mkdir", "X-mount.mkdir":
		m.Mkdir = true
		if value != "" && strings.TrimLeft(value, "0") != "755" {
			o.note("a missing directory is made with mode 0755, not " + value)
		}
	case "create": // lxc's
		m.Mkdir = true
	case "X-mount.subdir":
		return true, "X-mount.subdir cannot be had: bind the directory itself"
	case "lowerdir":
		m.Lowers = splitNames(Unescape(value), -1)
	case "upperdir":
		m.Upper = Unescape(value)
	case "workdir":
		m.Work = Unescape(value)
	default:
		return false, ""
	}
	return true, ""
}

// ofTmpfs reads the options of a tmpfs.
func (o *options) ofTmpfs(name, value string, hasValue bool) (known bool, reason string) {
	word := name
	switch name {
	case "mode", "size", "uid", "gid", "nr_inodes", "nr_blocks", "huge":
		if !hasValue || value == "" {
			return true, name + " needs a value"
		}
		word += "=" + value
		if (name == "uid" || name == "gid") && isName(value) {
			o.leftOut = append(o.leftOut, word) // whose it is is known to the jail alone
			return true, ""
		}
		if reason := checkValue(name, value); reason != "" {
			return true, reason
		}
	case "inode32", "inode64":
		if hasValue {
			return false, ""
		}
	default:
		return false, ""
	}
	o.data = append(o.data, word)
	return true, ""
}

// other reads an option that a jail does without.
func (o *options) other(name, word string, hasValue bool) (reason string) {
	switch {
	case strings.HasPrefix(name, "x-"):
		return "" // for other programs (mount(8))
	case strings.HasPrefix(name, "X-"), o.kindOfData(name, hasValue):
		o.leftOut = append(o.leftOut, word)
		return ""
	}
	return "the option " + name + " is not known"
}

// kindOfData tells whether an unknown word may well be an option of some file system. One without a
// value must be listed: it could also be a misspelt ro.
func (o *options) kindOfData(name string, hasValue bool) bool {
	m := o.mount
	switch {
	case slices.Contains(ofFileSystems, name):
		return true
	case m.Type == "tmpfs" || m.Type == "ramfs" || m.Type == "overlay":
		return hasValue && slices.Contains([]string{
			"mpol", "context", "fscontext", "defcontext", "rootcontext", "smackfsdef",
			"smackfsroot", "index", "xino", "metacopy",
			"redirect_dir", "nfs_export", "uuid", "verity", "fsync", "default_permissions",
		}, name)
	}
	return hasValue
}

// isName tells a user or a group from a number and from a slip of one.
func isName(value string) bool {
	return strings.ContainsAny(value[:1], "abcdefghijklmnopqrstuvwxyz_")
}

// The sizes of huge pages (tmpfs(5)).
var hugeWords = []string{"never", "always", "within_size", "advise", "deny", "force"}

func checkValue(name, value string) string {
	digits, base := value, 10
	switch name {
	case "huge":
		if !slices.Contains(hugeWords, value) {
			return "huge is one of never, always, within_size and advise, not " + value
		}
		return ""
	case "mode":
		base = 8
	case "size", "nr_inodes", "nr_blocks":
		digits = strings.TrimRight(value, "kKmMgGtTpPeE%")
		if len(value)-len(digits) > 1 {
			return name + " is not a size: " + value
		}
	}
	if _, err := strconv.ParseUint(digits, base, 63); err != nil {
		return name + " is not a number: " + value
	}
	return ""
}
