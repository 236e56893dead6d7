package hosts

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"nsbuild/internal/e2e"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/testenv"
)

// TestForbiddenNamespaces runs where the kernel gives no further user namespace.
func TestForbiddenNamespaces(t *testing.T) {
	testenv.RequireUserns(t)
	w := e2e.NewWorld(t)
	testenv.HostState(t)
	c := exec.Command("sh", "-c",
		`echo 0 >/proc/sys/user/max_user_namespaces && exec "$0" create bookworm`,
		e2e.Program(t))
	c.Dir, c.Env = w.Dir, w.Environment()
	uid, gid, count := os.Getuid(), os.Getgid(), 1
	if uid == 0 {
		count = 1<<31 - 1 // with all that nsbuild takes any of, as on a host
	}
	const capSysResource = 24 // to write the sysctl of the new namespace
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER,
		AmbientCaps: []uintptr{capSysResource},
		UidMappings: []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: count}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: count}}}
	out := finish(t, c)
	e2e.Refusal{Status: 1, Says: []string{"user namespace"}, Hint: "sysctl"}.Check(t, out)
	w.NothingLeft(t)
}

// finish runs a command that was made otherwise than by world.command.
func finish(t *testing.T, c *exec.Cmd) e2e.Outcome {
	t.Helper()
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return e2e.Outcome{Status: c.ProcessState.ExitCode(), Stderr: string(out)}
}

// nobodysID is a uid that no user has.
const nobodysID = 54321

// asOther runs nsbuild as a user without subordinate ids.
func asOther(t *testing.T, uid uint32, program, path string) e2e.Outcome {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "nsb-other-") // where others can get at it
	e2e.Check(t, err)
	t.Cleanup(func() { e2e.Check(t, os.RemoveAll(dir)) })
	data, err := os.ReadFile(program)
	e2e.Check(t, err)
	file := filepath.Join(dir, "nsbuild")
	e2e.Check(t, os.WriteFile(file, data, 0o755))
	e2e.Check(t, os.Chown(dir, int(uid), int(uid)))
	e2e.Check(t, os.Chmod(dir, 0o755))
	c := exec.Command(file, "create", "bookworm")
	c.Dir, c.Env = dir, []string{"PATH=" + path, "HOME=" + dir}
	c.SysProcAttr = &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	return finish(t, c)
}

// TestNoSubordinateIDs runs as a user to whom nobody gave any, and as one who has no name either.
func TestNoSubordinateIDs(t *testing.T) {
	testenv.RequireRoot(t)
	testenv.RequireTool(t, "newuidmap")
	program := e2e.Program(t)
	testenv.HostState(t)
	const gamesID = 5 // in each Debian (base-passwd)
	e2e.Refusal{Status: 1, Says: []string{"games has no 65536 subordinate ids in /etc/sub"},
		Hint: "usermod --add-subuids"}.Check(t, asOther(t, gamesID, program, os.Getenv("PATH")))
	e2e.Refusal{Status: 1, Says: []string{"the user has no name", "unknown userid 54321"},
		Hint: "useradd --uid 54321"}.Check(t, asOther(t, nobodysID, program, os.Getenv("PATH")))
}

// TestNoNewuidmap runs where the tools that map ids are not installed: they are found in the usual
// directories, too, when PATH lacks those.
func TestNoNewuidmap(t *testing.T) {
	testenv.RequireRoot(t)
	program := e2e.Program(t)
	testenv.HostState(t)
	for _, tool := range []string{"newuidmap", "newgidmap"} {
		if file, err := testenv.FindTool(tool); err == nil {
			e2e.Check(t, syscall.Mount(os.DevNull, file, "", syscall.MS_BIND, ""))
			t.Cleanup(func() { e2e.Check(t, syscall.Unmount(file, 0)) })
		}
	}
	want := e2e.Refusal{Status: 1, Says: []string{"newuidmap is not installed"},
		Hint: "apt-get install uidmap"}
	want.Check(t, asOther(t, nobodysID, program, os.Getenv("PATH")))
}

// tinyDisk mounts a file system of few bytes for the length of a test.
func tinyDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	e2e.Check(t, syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=755,size="+size))
	t.Cleanup(func() { e2e.Check(t, syscall.Unmount(dir, 0)) })
	return dir
}

// resize gives such a file system another size.
func resize(t *testing.T, dir, size string) {
	t.Helper()
	e2e.Check(t, syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size="+size))
}

// fill leaves a file system no room but for so many bytes.
func fill(t *testing.T, dir string, room uint64) {
	t.Helper()
	var st syscall.Statfs_t
	e2e.Check(t, syscall.Statfs(dir, &st))
	resize(t, dir, strconv.FormatUint((st.Blocks-st.Bfree)*uint64(st.Bsize)+room, 10))
}

// TestFullDisk runs out of space in each directory that nsbuild writes to.
func TestFullDisk(t *testing.T) {
	testenv.RequireRoot(t)
	w := e2e.RealWorld(t)
	testenv.HostState(t)
	t.Run("state", func(t *testing.T) {
		full := *w
		full.State = tinyDisk(t, "20m")
		e2e.Refusal{Status: 1, Says: []string{"no space left on device"}, Hint: "free"}.Check(t,
			full.Run(t, "create", "bookworm"))
		full.NothingLeft(t)
	})
	t.Run("cache", func(t *testing.T) {
		full := *e2e.NewWorld(t)
		full.Cache = tinyDisk(t, "5m")
		e2e.Refusal{Status: 1, Says: []string{"no space left"}, Hint: "free some space"}.Check(t,
			full.Run(t, "create", "bookworm"))
		full.NothingLeft(t)
		// With room again, what was written before is of use or gone.
		resize(t, full.Cache, "4g")
		full.Must(t, "create", "--variant=essential", "bookworm")
		full.State = w.State       // whose base has what builds need
		fill(t, full.Cache, 2<<20) // for the packages, not for the layer
		o := full.Run(t, "build", "-d", "bookworm", full.Seen(t))
		want := e2e.WhatIsSeen(e2e.Read(t, filepath.Join(full.Dir, "seen_1.0_amd64.build")))
		if o.Status != 2 || want == "" ||
			!strings.Contains(o.Stderr,
				"the build dependencies cannot be kept for the next build: ") {
			t.Fatalf("over a full cache: %s", o)
		}
		resize(t, full.Cache, "4g")
		for _, again := range []string{"with room again", "from the layer"} {
			if got, log := full.Sees(t, full.Seen(t)); got != want {
				t.Errorf("%s, another root is seen: %s", again, log)
			}
		}
	})
	t.Run("run directory", func(t *testing.T) {
		full := *w
		full.State = tinyDisk(t, "64k,nr_inodes=3")
		e2e.Refusal{Status: 1, Says: []string{"no space left on device"},
			Hint: "free some space"}.Check(t,
			full.Run(t, "session", "begin", "--root", t.TempDir()))
		full.NothingLeft(t)
	})
	t.Run("output", func(t *testing.T) {
		full := *w
		full.Dir = t.TempDir()
		out := tinyDisk(t, "100k")
		dsc := full.WriteSource(t, fakedebian.Source{Name: "large", Version: "1.0",
			Rules: "#!/usr/bin/make -f\nclean build:\nbinary:\n\tmkdir -p debian/made/DEBIAN " +
				"debian/made/usr/share/large\n\thead -c 2000000 /dev/urandom " +
				">debian/made/usr/share/large/data\n" +
				"\tdpkg-gencontrol -plarge -Pdebian/made\n\tdpkg-deb --root-owner-group --build " +
				"debian/made ..\n"})
		o := full.Run(t, "build", "-d", "bookworm", "-o", out, dsc)
		if o.Status != 3 || !strings.Contains(o.Stderr, "cannot be stored in "+out) ||
			!strings.Contains(o.Stderr, "hint: free some space there") {
			t.Error(o)
		}
		entries, err := os.ReadDir(out)
		e2e.Check(t, err)
		for _, e := range entries {
			if !strings.HasSuffix(e.Name(), ".build") {
				t.Errorf("left: %s", e.Name())
			}
		}
	})
}
