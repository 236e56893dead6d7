package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"nsbuild/internal/fakedebian"
	"nsbuild/internal/testenv"
)

// program is the file that nsbuild is run from.
func program(t *testing.T) string {
	t.Helper()
	file, err := exec.LookPath("nsbuild")
	check(t, err)
	return file
}

// TestForbiddenNamespaces runs where the kernel gives no further user namespace.
func TestForbiddenNamespaces(t *testing.T) {
	testenv.RequireUserns(t)
	w := newWorld(t)
	testenv.HostState(t)
	c := exec.Command("sh", "-c",
		`echo 0 >/proc/sys/user/max_user_namespaces && exec "$0" create bookworm`,
		program(t))
	c.Dir, c.Env = w.dir, w.environment()
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
	refusal{status: 1, says: []string{"user namespace"}, hint: "sysctl"}.check(t, out)
	w.nothingLeft(t)
}

// finish runs a command that was made otherwise than by world.command.
func finish(t *testing.T, c *exec.Cmd) outcome {
	t.Helper()
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return outcome{status: c.ProcessState.ExitCode(), stderr: string(out)}
}

// asNobody runs nsbuild as a user without subordinate ids.
func asNobody(t *testing.T, path string) outcome {
	t.Helper()
	const nobodysID = 54321
	dir, err := os.MkdirTemp("/var/tmp", "nsb-other-") // where others can get at it
	check(t, err)
	t.Cleanup(func() { check(t, os.RemoveAll(dir)) })
	data, err := os.ReadFile(program(t))
	check(t, err)
	file := filepath.Join(dir, "nsbuild")
	check(t, os.WriteFile(file, data, 0o755))
	check(t, os.Chown(dir, nobodysID, nobodysID))
	check(t, os.Chmod(dir, 0o755))
	c := exec.Command(file, "create", "bookworm")
	c.Dir, c.Env = dir, []string{"PATH=" + path, "HOME=" + dir}
	c.SysProcAttr = &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: nobodysID, Gid: nobodysID}}
	return finish(t, c)
}

// TestNoSubordinateIDs runs as a user to whom nobody gave any.
func TestNoSubordinateIDs(t *testing.T) {
	testenv.RequireRoot(t)
	testenv.RequireTool(t, "newuidmap")
	testenv.HostState(t)
	refusal{status: 1, says: []string{"54321 has no 65536 subordinate ids in /etc/sub"},
		hint: "usermod --add-subuids"}.check(t, asNobody(t, os.Getenv("PATH")))
}

// TestNoNewuidmap runs where the tools that map ids are not installed: they are found in the usual
// directories, too, when PATH lacks those.
func TestNoNewuidmap(t *testing.T) {
	testenv.RequireRoot(t)
	testenv.HostState(t)
	for _, tool := range []string{"newuidmap", "newgidmap"} {
		if file, err := testenv.FindTool(tool); err == nil {
			check(t, syscall.Mount(os.DevNull, file, "", syscall.MS_BIND, ""))
			t.Cleanup(func() { check(t, syscall.Unmount(file, 0)) })
		}
	}
	want := refusal{status: 1, says: []string{"newuidmap is not installed"},
		hint: "apt-get install uidmap"}
	want.check(t, asNobody(t, os.Getenv("PATH")))
}

// tinyDisk mounts a file system of few bytes for the length of a test.
func tinyDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	check(t, syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=755,size="+size))
	t.Cleanup(func() { check(t, syscall.Unmount(dir, 0)) })
	return dir
}

// resize gives such a file system another size.
func resize(t *testing.T, dir, size string) {
	t.Helper()
	check(t, syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size="+size))
}

// fill leaves a file system no room but for so many bytes.
func fill(t *testing.T, dir string, room uint64) {
	t.Helper()
	var st syscall.Statfs_t
	check(t, syscall.Statfs(dir, &st))
	resize(t, dir, strconv.FormatUint((st.Blocks-st.Bfree)*uint64(st.Bsize)+room, 10))
}

// TestFullDisk runs out of space in each directory that nsbuild writes to.
func TestFullDisk(t *testing.T) {
	testenv.RequireRoot(t)
	w := realWorld(t)
	testenv.HostState(t)
	t.Run("state", func(t *testing.T) {
		full := *w
		full.state = tinyDisk(t, "20m")
		refusal{status: 1, says: []string{"no space left on device"}, hint: "free"}.check(t,
			full.run(t, "create", "bookworm"))
		full.nothingLeft(t)
	})
	t.Run("cache", func(t *testing.T) {
		full := *newWorld(t)
		full.cache = tinyDisk(t, "5m")
		refusal{status: 1, says: []string{"no space left"}, hint: "free some space"}.check(t,
			full.run(t, "create", "bookworm"))
		full.nothingLeft(t)
		// With room again, what was written before is of use or gone.
		resize(t, full.cache, "4g")
		full.must(t, "create", "bookworm")
		fill(t, full.cache, 2<<20) // for the packages, not for the layer
		o := full.run(t, "build", "-d", "bookworm", full.seen(t))
		want := seenLine.FindStringSubmatch(
			read(t, filepath.Join(full.dir, "seen_1.0_amd64.build")))
		if o.status != 2 || want == nil ||
			!strings.Contains(o.stderr,
				"the build dependencies cannot be kept for the next build: ") {
			t.Fatalf("over a full cache: %s", o)
		}
		resize(t, full.cache, "4g")
		for _, again := range []string{"with room again", "from the layer"} {
			if got, log := full.sees(t, full.seen(t)); got != want[1] {
				t.Errorf("%s, another root is seen: %s", again, log)
			}
		}
	})
	t.Run("run directory", func(t *testing.T) {
		full := *w
		full.state = tinyDisk(t, "64k,nr_inodes=3")
		refusal{status: 1, says: []string{"no space left on device"},
			hint: "free some space"}.check(t,
			full.run(t, "session", "begin", "--root", t.TempDir()))
		full.nothingLeft(t)
	})
	t.Run("output", func(t *testing.T) {
		full := *w
		full.dir = t.TempDir()
		out := tinyDisk(t, "100k")
		dsc := full.writeSource(t, fakedebian.Source{Name: "large", Version: "1.0",
			Rules: "#!/usr/bin/make -f\nclean build:\nbinary:\n\tmkdir -p debian/made/DEBIAN " +
				"debian/made/usr/share/large\n\thead -c 2000000 /dev/urandom " +
				">debian/made/usr/share/large/data\n" +
				"\tdpkg-gencontrol -plarge -Pdebian/made\n\tdpkg-deb --root-owner-group --build " +
				"debian/made ..\n"})
		o := full.run(t, "build", "-d", "bookworm", "-o", out, dsc)
		if o.status != 3 || !strings.Contains(o.stderr, "cannot be stored in "+out) ||
			!strings.Contains(o.stderr, "hint: free some space there") {
			t.Error(o)
		}
		entries, err := os.ReadDir(out)
		check(t, err)
		for _, e := range entries {
			if !strings.HasSuffix(e.Name(), ".build") {
				t.Errorf("left: %s", e.Name())
			}
		}
	})
}
