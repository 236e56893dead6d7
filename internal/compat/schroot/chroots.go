package schroot

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"nsbuild/internal/session"
)

// Chroot is what a command can be run in.
type Chroot struct {
	Namespace, Name string // "chroot", "source" or "session"
	Base            string // behind a name or an alias
	alias           bool
	arch, suite     string
	path            string // of a session
}

func (c Chroot) String() string { return c.Namespace + ":" + c.Name }

// Base is a base as schroot sees it.
type Base struct{ Name, Arch, Suite string }

// Known are the bases under their names and aliases, once to be thrown away and once as sources,
// and the sessions.
func Known(bases []Base, sessions []session.Info) []Chroot {
	var all, sources []Chroot
	for _, b := range bases {
		for i, n := range append([]string{b.Name}, aliases(b.Name, b.Arch)...) {
			if i > 0 && slices.ContainsFunc(bases, func(b Base) bool { return b.Name == n }) {
				continue
			}
			c := Chroot{Namespace: "chroot", Name: n, Base: b.Name, alias: i > 0, arch: b.Arch,
				suite: b.Suite}
			all = append(all, c)
			c.Namespace = "source"
			sources = append(sources, c)
		}
	}
	all = append(all, sources...)
	for _, i := range sessions {
		all = append(all, Chroot{Namespace: "session", Name: i.ID, Base: i.Base, path: i.Path})
	}
	return all
}

// aliases are the names that sbuild looks for.
func aliases(name, arch string) []string {
	return []string{name + "-" + arch, name + "-" + arch + "-sbuild"}
}

// Describe is what programs read of chroots, for one of the actions that show them. Config names
// the user whose the bases are: that one can enter them as every user.
func Describe(action string, chosen []Chroot, user string) string {
	var out strings.Builder
	for i, c := range chosen {
		switch action {
		case List:
			fmt.Fprintln(&out, c)
		case Location:
			fmt.Fprintln(&out, c.path) // a base has none outside sessions
		case Config:
			out.WriteString(c.config(user))
		default:
			if i > 0 {
				fmt.Fprintln(&out)
			}
			for _, l := range c.info() {
				fmt.Fprintln(&out, strings.TrimRight(fmt.Sprintf("  %-22s %s", l[0], l[1]), " "))
			}
		}
	}
	return out.String()
}

// config is a section of schroot.conf(5).
func (c Chroot) config(user string) string {
	name, other := c.Base, aliases(c.Base, c.arch)
	if c.Namespace == "session" {
		name, other = c.Name, nil
	}
	return fmt.Sprintf("[%s]\naliases=%s\ndescription=%s\nroot-groups=\nroot-users=%s\n"+
		"source-clone=true\ntype=custom\nusers=%[4]s\n\n",
		name, strings.Join(other, ","), c.description(), user)
}

// info are the lines of --info, under the names that programs look for.
func (c Chroot) info() [][2]string {
	if c.Namespace == "session" {
		return [][2]string{
			{"─── Session ───"}, {"Name", c.Name}, {"Description", c.description()},
			{"Type", "nsbuild"},
			{"Session Managed", "false"}, {"Session Cloned", "false"}, {"Session Purged", "true"},
			{"Mount Location", c.path}, {"Path", c.path},
			{"Original Chroot Name", c.Base}, {"Session ID", c.Name},
		}
	}
	title := map[string]string{"chroot": "─── Chroot ───", "source": "─── Source ───"}[c.Namespace]
	return [][2]string{
		{title}, {"Name", c.Base}, {"Description", c.description()}, {"Type", "nsbuild"},
		{"Aliases", strings.Join(aliases(c.Base, c.arch), " ")},
		{"Session Managed", "true"},
		{"Session Cloned", strconv.FormatBool(c.Namespace == "chroot")},
		{"Session Purged", "false"},
	}
}

func (c Chroot) description() string {
	switch c.Namespace {
	case "session":
		return "session of " + c.Base
	case "source":
		return c.suite + " (source chroot)"
	}
	return c.suite
}
