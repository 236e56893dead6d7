package applet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"nsbuild/internal/rawjson"
	"nsbuild/internal/sandbox/wire"
	"nsbuild/internal/tree"
)

// tracesApplet is told by PID 1 where the upper directory of the jail is, and which process has the
// jail's network (see pid1.traced).
func tracesApplet(args []string) int {
	err := writeTraces(args)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func writeTraces(args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("a layer, a process and a list are expected, not %q", args)
	}
	var t wire.Traces
	if args[1] != "0" {
		if err := countAttempts(filepath.Join("/proc", args[1], "net"), &t); err != nil {
			return err
		}
	}
	if t.Plain = args[0] == ""; !t.Plain {
		w := written{t: &t}
		if err := rawjson.Unmarshal([]byte(args[2]), &w.skip); err != nil {
			return err
		}
		if err := tree.WalkLive(context.Background(), args[0], &w); err != nil {
			return err
		}
	}
	return rawjson.NewEncoder(os.NewFile(3, "result")).Encode(t)
}

// countAttempts reads the counters of a network namespace (RFC 4293: ipSystemStatsOutNoRoutes; RFC
// 4113: udpNoPorts), of both protocols.
func countAttempts(dir string, t *wire.Traces) error {
	text, err := os.ReadFile(filepath.Join(dir, "snmp"))
	if err != nil {
		return err
	}
	t.Unreachable, t.Unanswered = counter(text, "Ip", "OutNoRoutes"), counter(text, "Udp", "NoPorts")
	t.Counted = true
	text, err = os.ReadFile(filepath.Join(dir, "snmp6"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a kernel without IPv6
	}
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) != 2 {
			continue
		}
		n, err := strconv.ParseInt(f[1], 10, 64)
		switch {
		case err != nil:
		case f[0] == "Ip6OutNoRoutes":
			t.Unreachable += n
		case f[0] == "Udp6NoPorts":
			t.Unanswered += n
		}
	}
	return nil
}

// counter finds a number of /proc/net/snmp, which has two lines of each protocol: names, and
// numbers below them.
func counter(text []byte, protocol, name string) int64 {
	at := -1
	for line := range bytes.Lines(text) {
		f := strings.Fields(string(line))
		if len(f) == 0 || f[0] != protocol+":" {
			continue
		}
		if at < 0 {
			if at = slices.Index(f, name); at < 0 {
				return 0
			}
			continue
		}
		if at < len(f) {
			if n, err := strconv.ParseInt(f[at], 10, 64); err == nil {
				return n
			}
		}
		return 0
	}
	return 0
}

// written finds what is in an upper directory. Directories are there also because of what is in
// them, and are left out.
type written struct {
	t    *wire.Traces
	skip []string
}

func (w *written) Visit(e *tree.Entry) (bool, error) {
	if slices.Contains(w.skip, strings.TrimPrefix(e.Path, "/")) {
		return false, nil
	}
	if e.IsDir() {
		return true, nil
	}
	if len(w.t.Written) >= wire.MostWritten {
		w.t.More++
		return false, nil
	}
	// a whiteout (Documentation/filesystems/overlayfs.rst of the kernel)
	gone := e.Stat.Mode&unix.S_IFMT == unix.S_IFCHR && e.Stat.Rdev == 0
	w.t.Written = append(w.t.Written, wire.Written{Path: e.Path, Deleted: gone})
	return false, nil
}

func (w *written) Leave(int, string) error { return nil }
