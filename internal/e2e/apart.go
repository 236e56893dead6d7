package e2e

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// apartVariable tells a process of tests that it has a part of them.
const apartVariable = "NSBUILD_TEST_APART"

// apart has some tests of a package run beside the others of it: two processes, which have the same
// program, have a part of the tests each, and this one has none. So a HostState is about the
// processes of its own tests as ever, as are the state, the cache and the mounts. It does not
// return, except in one of the two; and where the tests are chosen otherwise.
func apart(names []string) {
	if os.Getenv(apartVariable) != "" {
		return
	}
	flag.Parse()
	for _, name := range []string{"run", "skip", "list", "bench", "fuzz", "coverprofile"} {
		if f := flag.Lookup("test." + name); f != nil && f.Value.String() != "" {
			return
		}
	}
	runtime.LockOSThread() // the parent-death signal follows the thread
	pattern := "^(" + strings.Join(names, "|") + ")$"
	others := part(os.Args[1:], "-test.skip="+pattern)
	others.Stdout, others.Stderr = os.Stdout, os.Stderr
	// Of what the tests have read, go test has one file: the others read the program's source, too.
	args := slices.DeleteFunc(slices.Clone(os.Args[1:]), func(arg string) bool {
		return strings.HasPrefix(arg, "-test.testlogfile=")
	})
	ours := part(args, "-test.run="+pattern)
	var said bytes.Buffer // what is said is not mixed
	ours.Stdout, ours.Stderr = &said, &said
	err := ours.Start()
	if err == nil {
		err = errors.Join(others.Run(), ours.Wait())
	}
	_, _ = os.Stdout.Write(said.Bytes())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// part is the process of a part of the tests.
func part(args []string, which string) *exec.Cmd {
	c := exec.Command("/proc/self/exe", append(slices.Clone(args), which)...)
	c.Args[0] = os.Args[0]
	c.Env = append(os.Environ(), apartVariable+"=1")
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	c.WaitDelay = 10 * time.Second // for what a test has left that holds its output
	return c
}
