package jails

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"nsbuild/internal/e2e"
	"nsbuild/internal/testenv"
)

// TestScripts runs the command line against what needs no base.
func TestScripts(t *testing.T) {
	testenv.RequireUserns(t)
	w := e2e.NewWorld(t) // which is deleted with what mapped ids own
	testscript.Run(t, testscript.Params{
		Dir:         "testdata/script",
		WorkdirRoot: w.Dir,
		Setup: func(e *testscript.Env) error {
			e.Setenv("NSBUILD_STATE", e.WorkDir+"/state")
			e.Setenv("NSBUILD_CACHE", e.WorkDir+"/cache")
			e.Setenv("NSBUILD_CONFIG", "") // not that of who runs the tests
			// Whose files a jail can write to in a bind, and who that is in a jail over a root of
			// the caller's: as root it is people at their own numbers, else the caller as jail
			// root.
			uid, gid, inside := os.Getuid(), os.Getgid(), 0
			if uid == 0 {
				uid, gid, inside = 1000, 1000, 1000
			}
			e.Setenv("SOMEBODY", strconv.Itoa(uid))
			e.Setenv("INSIDE", strconv.Itoa(inside))
			e.Setenv("SOMEGROUP", strconv.Itoa(gid))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status": wantStatus, "jailroot": jailRoot},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// wantStatus is the script command "status N COMMAND...": it runs a command that must end with just
// that exit status.
func wantStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N COMMAND...")
	}
	err := ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	status := 0
	if errors.As(err, &exit) {
		status = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(status) != args[0] {
		ts.Fatalf("exit status %d, want %s", status, args[0])
	}
}

// jailRoot is the script command "jailroot DIR": it makes a root for jails, and DIR.fstab, with the
// mounts that show the host's programs in it.
func jailRoot(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: jailroot DIR")
	}
	ts.Check(e2e.MakeRoot(ts.MkAbs(args[0])))
}
