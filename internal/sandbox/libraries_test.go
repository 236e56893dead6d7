package sandbox

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"nsbuild/internal/sandbox/beneath"
	"nsbuild/internal/sandbox/reexec"
	"nsbuild/internal/testenv"
)

// TestLibrariesOfJail has jail root make the mount of this program's libraries writable, attach it
// to its own tree and mount other files over the libraries. What is started outside of the jail
// goes on having its own.
func TestLibrariesOfJail(t *testing.T) {
	if name, err := reexec.InterpreterOf("/proc/self/exe"); err != nil || name == "" {
		testenv.Missing(t, "cgo", "this test is a static program, which needs no libraries "+
			"(CGO_ENABLED=1 makes another)")
	}
	h := startHolder(t)
	for _, caller := range []*Caller{nil, {UID: 1000, GID: 1000}} {
		spec := Spec{Root: Root{Lowers: []Lower{{Path: testRoot(t, h)}}}, Mounts: programs(),
			Caller: caller}
		j, err := h.NewJail(context.Background(), spec)
		if err != nil {
			t.Fatal(err)
		}
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := j.Start(Command{Applet: "cover", Stdout: w}); err != nil {
			t.Fatal(err)
		}
		w.Close()
		var said strings.Builder
		buf := make([]byte, 4096)
		for !strings.Contains(said.String(), "ready") {
			n, err := r.Read(buf)
			if err != nil {
				t.Fatalf("%v after %s", err, said.String())
			}
			said.Write(buf[:n])
		}
		r.Close()
		if strings.Contains(said.String(), "wrote") {
			t.Errorf("jail root writes to the libraries:\n%s", said.String())
		}
		dir := filepath.Join(t.TempDir(), "tree")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := h.RemoveTree(context.Background(), dir); err != nil {
			t.Errorf("a process outside of the jail was started with the jail's libraries: %v", err)
		}
		if _, err := j.Close(); err != nil {
			t.Error(err)
		}
	}
}

// coverApplet attacks each directory of libraries that a process of its jail holds.
func coverApplet([]string) int {
	const junk = "/tmp/junk"
	if err := os.WriteFile(junk, []byte("no library"), 0o755); err != nil {
		fmt.Println(err)
	}
	all, err := filepath.Glob("/proc/[0-9]*/fd/*/*.so*")
	if err != nil {
		fmt.Println(err)
	}
	writable := unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}
	for _, name := range all {
		dir := filepath.Dir(name)
		fmt.Println(dir, "writable:", unix.MountSetattr(unix.AT_FDCWD, dir, 0, &writable))
		for _, name := range []string{name, dir + "/new"} {
			if f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o644); err == nil {
				fmt.Println("wrote", name)
				f.Close()
			}
		}
	}
	for _, name := range all {
		if err := attach(filepath.Dir(name)); err != nil {
			fmt.Println(err)
		}
		if err := unix.Mount(junk, name, "", unix.MS_BIND, ""); err == nil {
			fmt.Println("covered", name)
		}
	}
	fmt.Println("ready")
	select {}
}

// attach moves a mount that is attached nowhere to the tree of this process.
func attach(dir string) error {
	fd, err := beneath.OpenPath(dir)
	if err != nil {
		return err
	}
	defer fd.Close()
	to, err := os.MkdirTemp("/tmp", "held-")
	if err != nil {
		return err
	}
	return unix.MoveMount(int(fd.Fd()), "", unix.AT_FDCWD, to, unix.MOVE_MOUNT_F_EMPTY_PATH)
}
