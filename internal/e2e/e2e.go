// Package e2e runs nsbuild as its users do: the program itself, built for the tests, with a state
// and a cache of their own. The tests are in the packages below this one, one for each topic, so
// that go test runs them beside each other. This package is what they share.
//
// What a test needs of the machine, and what it may leave there, is internal/testenv's. Archives
// and sources that nobody has are internal/fakedebian's. The package is for tests alone.
package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"nsbuild/internal/sandbox"
	"nsbuild/internal/testenv"
)

// Tree is the top of nsbuild's source, seen from the packages below this one.
const Tree = "../../.."

// current is what the tests of a package share: go test gives each package a process.
var current struct {
	// dir has the program, and the state and cache of RealWorld. Only its owner may enter it, as
	// with a home directory.
	dir     string
	shared  *shared
	program sync.Once
	real    sync.Once
	excerpt sync.Once
	served  *excerpt // nil where no test has wanted it
}

// Main is TestMain of each package below this one. Tests of the package that mostly wait may be
// named: they run beside its others.
func Main(m *testing.M, waiting ...string) {
	// Jails delete, and link, what mapped ids own.
	sandbox.Main(map[string]sandbox.Applet{linkTree: linkTreeApplet})
	if len(waiting) > 0 {
		apart(waiting)
	}
	testenv.OwnMounts()
	os.Exit(withShared(m.Run))
}

// withShared makes the shared directory before the tests and deletes it after them.
func withShared(tests func() int) int {
	var err error
	if current.shared, err = openShared(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if current.dir, err = os.MkdirTemp("", "nsb-test-"); err != nil {
		fmt.Fprintln(os.Stderr, errors.Join(err, current.shared.close()))
		return 1
	}
	status := 1
	if err = os.Setenv("PATH", binaries()+":"+os.Getenv("PATH")); err == nil {
		status = tests()
	}
	if current.served != nil {
		current.served.server.Close()
	}
	if err := errors.Join(err, discard(filepath.Join(current.dir, "excerpt")),
		discard(current.dir), current.shared.close()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	return status
}

// AsUserOnly skips a test as root, who would learn nothing from it that the user does not: the
// reason says why. What depends on the kind of caller runs as both: ids, owners, signals, mounts,
// limits.
func AsUserOnly(t *testing.T, reason string) {
	t.Helper()
	if os.Getuid() == 0 {
		t.Log("as a user only: " + reason)
	}
	testenv.RequireUser(t)
}

// binaries is the first directory of PATH.
func binaries() string { return filepath.Join(current.dir, "bin") }

// Program is the file that nsbuild is run from. It is built when the first test of a package wants
// it, as the tests themselves are: with the race detector or without, with cgo or without.
func Program(t *testing.T) string {
	t.Helper()
	file := filepath.Join(binaries(), "nsbuild")
	current.program.Do(func() {
		Check(t, noteSources())
		Check(t, os.Mkdir(binaries(), 0o755))
		var args []string
		if RaceDetector {
			args = append(args, "-race")
		}
		Link(t, binaries(), os.Environ(), args...)
		for _, name := range []string{"sbuild", "schroot"} {
			Check(t, os.Symlink("nsbuild", filepath.Join(binaries(), name)))
		}
	})
	if _, err := os.Stat(file); err != nil {
		t.Fatalf("nsbuild could not be built: %v", err)
	}
	return file
}

// Link puts the program into a directory, as go builds it with an environment and arguments. Unlike
// go build, go run keeps what it has linked: one package of a run does the work.
func Link(t *testing.T, dir string, env []string, args ...string) {
	t.Helper()
	args = append([]string{"run", "-exec", "cp '--target-directory=" + dir + "'"}, args...)
	c := exec.Command("go", append(args, "nsbuild/cmd/nsbuild")...)
	c.Env = env
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", c.Args, err, out)
	}
}

// noteSources reads the directories of the program's source. go test keeps results, and runs tests
// again when what they have read has changed: what a go build has read it does not know.
func noteSources() error {
	for _, dir := range []string{"cmd", "hooks", "internal"} {
		err := filepath.WalkDir(filepath.Join(Tree, dir),
			func(path string, d fs.DirEntry, err error) error {
				if err == nil && d.IsDir() && (d.Name() == "e2e" || d.Name() == "testdata") {
					return fs.SkipDir
				}
				return err
			})
		if err != nil {
			return err
		}
	}
	return nil
}
