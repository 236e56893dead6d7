package main

import (
	"errors"
	"os/exec"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"nsbuild/internal/testenv"
)

// TestScripts runs the command line against what needs no base.
func TestScripts(t *testing.T) {
	testenv.RequireUserns(t)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("NSBUILD_STATE", e.WorkDir+"/state")
			e.Setenv("NSBUILD_CACHE", e.WorkDir+"/cache")
			e.Setenv("NSBUILD_CONFIG", "") // not that of who runs the tests
			return nil
		},
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"status": wantStatus},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// wantStatus is the script command "status N COMMAND...": it runs a command that must end with just that exit status.
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
