package hooks

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nsbuild/internal/e2e"
	"nsbuild/internal/testenv"
)

// TestLongStatePath runs commands on the host that enter the jail, with a state directory whose
// path is longer than the address of a socket can be.
func TestLongStatePath(t *testing.T) {
	e2e.ExcerptWorld(t) // has the base made
	testenv.HostState(t)
	w := e2e.NewWorld(t)
	long := filepath.Join(w.State, strings.Repeat("a long name/", 12))
	e2e.Check(t, os.MkdirAll(long, 0o700))
	w.State = long
	dsc := w.HookSource(t, false)
	w.ExcerptBase(t)
	w.Must(t, "build", "-q", "-d", "bookworm", "--pre-build-commands=echo by-host | %e tee /opt/x",
		"--chroot-setup-commands=cat /opt/x",
		"--post-build-commands=%SBUILD_CHROOT_EXEC cat /opt/x", dsc)
	if log := w.LogOf(t, "hooked"); strings.Count(log, "\nby-host\n") != 3 {
		t.Error(log)
	}
	w.Must(t, "remove", "--all")
}
