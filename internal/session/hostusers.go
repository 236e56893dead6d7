package session

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"nsbuild/internal/sandbox"
)

// addHostUsers gives a throwaway root those users and groups of the host that it has not, without
// passwords: so that the caller is somebody there. The jail's own keep their numbers; of the host's
// those are left out whose number somebody in the jail has.
func addHostUsers(ctx context.Context, jail *sandbox.Jail) error {
	for _, name := range []string{"/etc/passwd", "/etc/group"} {
		fields := map[string]int{"/etc/passwd": 7, "/etc/group": 4}[name]
		own, err := database(jail, name, fields)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("reading the host's users: %w", err)
		}
		more := missing(own, string(text), fields)
		if more == "" {
			continue
		}
		if err := appendTo(ctx, jail, name, more); err != nil {
			return fmt.Errorf("adding the host's users to the jail's %s: %w", name, err)
		}
	}
	return nil
}

// missing are the lines of the host's file that have a name and a number which are not among the
// jail's.
func missing(own [][]string, host string, fields int) string {
	const name, password, number = 0, 1, 2
	var out strings.Builder
	for line := range strings.Lines(host) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(f) != fields || f[name] == "" {
			continue
		}
		if _, err := id(f[number]); err != nil {
			continue // no jail has it
		}
		if slices.ContainsFunc(own, func(o []string) bool {
			return o[name] == f[name] || o[number] == f[number]
		}) {
			continue
		}
		f[password] = "*"
		out.WriteString(strings.Join(f, ":") + "\n")
	}
	return out.String()
}

// appendTo writes to the end of a file of the jail, as its root.
func appendTo(ctx context.Context, jail *sandbox.Jail, name, text string) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	written := make(chan error, 1)
	go func() {
		_, err := w.WriteString(text)
		written <- errors.Join(err, w.Close())
	}()
	status, err := jail.Run(ctx,
		sandbox.Command{Argv: []string{"/bin/sh", "-c", `exec cat >>"$1"`, "sh", name},
			Stdin: r, Env: []string{"PATH=/usr/bin:/bin"}})
	// It has ended: what is not read by now never will be.
	err = errors.Join(err, r.Close(), <-written)
	if err == nil && !status.Success() {
		err = fmt.Errorf("cat: %s", status)
	}
	return err
}
