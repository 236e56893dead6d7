package schroot

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"

	"nsbuild/internal/fault"
	"nsbuild/internal/fstab"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/session"
)

// Jail is a jail over a base: with the host's network and users, as programs that call schroot
// expect them; with the homes but for a build.
func Jail(c Chroot) (session.Jail, error) {
	o := session.Jail{Base: c.Base, Network: sandbox.NetworkHost, HostUsers: c.Namespace != "source"}
	if strings.HasSuffix(c.Name, "-sbuild") || c.Namespace == "source" {
		return o, nil
	}
	if _, err := os.Stat("/home"); err == nil {
		o.Mounts = append(o.Mounts, fstab.Mount{Type: "rbind", Source: "/home", Target: "/home"})
	} else if !os.IsNotExist(err) {
		return o, err
	}
	return o, nil
}

// CommandIn says what is run, as whom, where, and with which environment out of the caller's.
func (s *Call) CommandIn(c Chroot, environ []string) (session.Command, error) {
	o := session.Command{Argv: s.Command, User: s.user, Dir: s.dir}
	if !s.InSession() {
		o.KillAfter = session.KillAfter
	}
	if o.User == "" {
		me, err := user.Current()
		if err != nil {
			return o, err
		}
		o.User = me.Username
	}
	if len(o.Argv) == 0 && s.shell != "" {
		o.Argv = []string{s.shell, "-l"}
	}
	if o.Dir == "" && len(o.Argv) > 0 {
		dir, err := os.Getwd()
		if err != nil {
			return o, err
		}
		o.Dir = dir
	}
	if s.preserve {
		for _, e := range environ {
			if !hidden(e) {
				o.Env = append(o.Env, e)
			}
		}
	}
	name, id := c.Base, c.Name
	if c.Namespace != "session" {
		id = name
	}
	o.Env = append(o.Env, "SCHROOT_CHROOT_NAME="+name, "SCHROOT_ALIAS_NAME="+c.Name,
		"SCHROOT_SESSION_ID="+id, "SCHROOT_COMMAND="+strings.Join(s.Command, " "),
		"SCHROOT_USER="+o.User, "SCHROOT_UID="+strconv.Itoa(os.Getuid()),
		"SCHROOT_GID="+strconv.Itoa(os.Getgid()))
	return o, nil
}

// hidden are variables that -p does not preserve: schroot's environment-filter.
func hidden(variable string) bool {
	name, _, _ := strings.Cut(variable, "=")
	return strings.HasPrefix(name, "LD_") || slices.Contains([]string{
		"BASH_ENV", "CDPATH", "ENV", "HOSTALIASES", "IFS", "KRB5_CONFIG", "KRBCONFDIR", "KRBTKFILE",
		"KRB_CONF", "LOCALDOMAIN", "NLSPATH", "PATH_LOCALE", "RES_OPTIONS",
		"TERMINFO", "TERMINFO_DIRS", "TERMPATH",
	}, name)
}

// Ended is the error of a command that ended in a way which schroot has words for, or nil.
func Ended(status sandbox.Status, err error) error {
	var failed *sandbox.Error
	switch {
	case errors.As(err, &failed) && failed.Op == "exec":
		return fmt.Errorf("Failed to execute “%s”: %s", //nolint:staticcheck // schroot's words
			failed.Path, capital(failed.Errno.Error()))
	case errors.As(err, &failed) && failed.Op == "chdir":
		return fault.New(fault.Internal, "The directory does not exist inside the chroot.  Use "+
			"the --directory option to run the command in a different directory.",
			"Failed to change to directory ‘%s’: %s", failed.Path, capital(failed.Errno.Error()))
	case err != nil:
		return err
	case status.Signal != 0:
		return fmt.Errorf("Child terminated by signal ‘%s’", //nolint:staticcheck // schroot's words
			capital(status.Signal.String()))
	}
	return nil
}

// capital makes of Go's text for an error or a signal what the C library says.
func capital(text string) string { return strings.ToUpper(text[:1]) + text[1:] }
