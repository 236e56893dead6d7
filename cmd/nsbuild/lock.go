package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nsbuild/internal/archive/suites"
	"nsbuild/internal/bases"
	"nsbuild/internal/fault"
	"nsbuild/internal/lock"
)

// createLocked is create for a lock file. What else the user says may not contradict it.
func (a *app) createLocked(c *cobra.Command, args []string, o *createOptions) error {
	for _, name := range []string{"lock", "from"} {
		if c.Flags().Changed(name) {
			return usage("leave out one of them", "--locked and --%s contradict each other: the "+
				"packages are those that the lock names", name)
		}
	}
	f, err := lock.Read(o.locked)
	if err != nil {
		return err
	}
	locked, err := bases.LockedOptions(f, a.suites())
	if err != nil {
		return err
	}
	if err := contradictions(a.suites(), c, args, o.Options, f); err != nil {
		return err
	}
	locked.Name, locked.Replace, locked.Mirror, locked.Bootstrapper = o.Name, o.Replace, o.Mirror,
		o.Bootstrapper
	if o.Keyring != "" {
		locked.Keyring = o.Keyring
	}
	if locked.Keyring, err = absoluteKeyring(locked.Keyring); err != nil {
		return err
	}
	locked.Unverified = locked.Unverified || o.Unverified
	return a.create(c.Context(), func(*app) (bases.Options, error) { return locked, nil })
}

// contradictions finds what the command line says otherwise than the lock.
func contradictions(known *suites.Table, c *cobra.Command, args []string, o bases.Options,
	f *lock.File) error {
	if len(args) > 0 {
		asked := args[0]
		if s, err := known.Lookup(asked); err == nil {
			asked = s.Name
		}
		if asked != f.Suite {
			return usage("leave the suite out, or name the lock of that suite",
				"%s and %s contradict each other: the lock is of suite %s", args[0], f.Name,
				f.Suite)
		}
	}
	list := func(words []string) string { return strings.Join(words, ",") }
	for _, p := range []struct{ flag, asked, locked string }{
		{"arch", o.Arch, f.Arch}, {"variant", o.Variant, f.Variant},
		{"include", list(o.Include), list(f.Include)},
		{"exclude", list(o.Exclude), list(f.Exclude)},
		{"components", list(o.Components), list(f.Components)},
	} {
		if !c.Flags().Changed(p.flag) || p.asked == p.locked {
			continue
		}
		said := p.locked
		if said == "" {
			said = "none"
		}
		return usage("leave --"+p.flag+" out, or make another lock with --lock",
			"--%s %s and %s contradict each other: the lock says %s", p.flag, p.asked, f.Name, said)
	}
	return nil
}

// sourceDateEpoch is the time that the variable SOURCE_DATE_EPOCH says, or zero.
func sourceDateEpoch() (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		return time.Time{}, nil
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err == nil && seconds <= 0 {
		err = fmt.Errorf("%d is not after 1970", seconds)
	}
	if err != nil {
		return time.Time{}, fault.Wrap(fault.Usage, "seconds since 1970, or nothing",
			fmt.Errorf("SOURCE_DATE_EPOCH: %w", err))
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// absoluteMirrors are the mirrors as a base remembers them, a line for each: directories mean the
// same wherever they are read again.
func absoluteMirrors(mirrors []string) (string, error) {
	out := make([]string, len(mirrors))
	for i, m := range mirrors {
		out[i] = m
		if fi, err := os.Stat(m); err == nil && fi.IsDir() {
			if out[i], err = filepath.Abs(m); err != nil {
				return "", fmt.Errorf("--mirror: %w", err)
			}
		}
	}
	return strings.Join(out, "\n"), nil
}
