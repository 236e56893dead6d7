package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nsbuild/internal/testenv"
)

// TestLongStatePath runs commands on the host that enter the jail, with a state directory whose
// path is longer than the address of a socket can be.
func TestLongStatePath(t *testing.T) {
	shared := realWorld(t)
	testenv.HostState(t)
	w := newWorld(t)
	w.cache = shared.cache
	long := filepath.Join(w.state, strings.Repeat("a long name/", 12))
	check(t, os.MkdirAll(long, 0o700))
	w.state = long
	dsc := w.hookSource(t, false)
	w.must(t, "create", "bookworm")
	w.must(t, "build", "-q", "-d", "bookworm", "--pre-build-commands=echo by-host | %e tee /opt/x",
		"--chroot-setup-commands=cat /opt/x",
		"--post-build-commands=%SBUILD_CHROOT_EXEC cat /opt/x", dsc)
	if log := w.logOf(t, "hooked"); strings.Count(log, "\nby-host\n") != 3 {
		t.Error(log)
	}
	w.must(t, "remove", "--all")
}
