package idmap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"

	"golang.org/x/sys/unix"

	"nsbuild/internal/fault"
	"nsbuild/internal/sandbox/execpath"
)

// Write writes the id maps of PID 1, whose number is pid: jail ids at 0, the caller's own above
// them.
func Write(ctx context.Context, pid int, ids Map) error {
	if ids.Rung != RungSubIDs {
		for file, base := range map[string]uint32{"uid_map": ids.UIDBase,
			"gid_map": ids.GIDBase} {
			own := os.Geteuid()
			if file == "gid_map" {
				own = os.Getegid()
			}
			text := fmt.Sprintf("0 %d %d\n%d %d 1\n", base, ids.Count, CallerID, own)
			path := fmt.Sprintf("/proc/%d/%s", pid, file)
			if err := os.WriteFile(path, []byte(text), 0); err != nil {
				err = fmt.Errorf("mapping ids (%q): %w", text, err)
				if errors.Is(err, unix.EPERM) {
					err = fault.Wrap(fault.Internal, "give root the capabilities CAP_SETUID and "+
						"CAP_SETGID (CapabilityBoundingSet= of a service, --cap-add of a container)", err)
				}
				return err
			}
		}
		return nil
	}
	users := make(chan error, 1)
	go func() { users <- newMap(ctx, pid, "newuidmap", ids.UIDBase, os.Geteuid()) }()
	return errors.Join(newMap(ctx, pid, "newgidmap", ids.GIDBase, os.Getegid()), <-users)
}

func newMap(ctx context.Context, pid int, tool string, base uint32, own int) error {
	found, err := execpath.Find(tool)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, found, strconv.Itoa(pid), "0",
		strconv.FormatUint(uint64(base), 10), strconv.Itoa(IDCount), strconv.Itoa(CallerID),
		strconv.Itoa(own), "1")
	if out, err := cmd.CombinedOutput(); err != nil {
		hint := "look at /etc/subuid and /etc/subgid, and that " + tool +
			" is setuid root or has its file capability (sudo apt-get install --reinstall uidmap)"
		if set, _ := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); set == 1 {
			hint = "without root nsbuild needs " + tool + ", which gains no privilege under " +
				"no_new_privs (NoNewPrivileges= of a service, --security-opt of a container)"
		}
		return fault.New(fault.Internal, hint, "%s: %w: %s", tool, err, bytes.TrimSpace(out))
	}
	return nil
}
