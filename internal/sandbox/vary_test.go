package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// variedJail opens a jail whose directories have another order. In /srv/many it has a directory
// with that many files.
func variedJail(t *testing.T, h *Holder, v *Vary, many int) *Jail {
	t.Helper()
	j, err := h.NewJail(context.Background(),
		Spec{Root: Root{Lowers: []Lower{{Path: testRoot(t, h)}}}, Mounts: programs(), Vary: v})
	if err != nil {
		t.Fatal(err)
	}
	if many > 0 {
		out, st := sh(t, j, fmt.Sprintf("mkdir /srv/many && cd /srv/many && "+
			"seq -f name%%g %d | xargs touch", many))
		if !st.Success() {
			t.Fatal(out, st)
		}
	}
	return j
}

// outside are the names of a directory in the order in which the kernel has them.
func outside(t *testing.T, j *Jail, path string) []string {
	t.Helper()
	dir, err := j.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestDirOrder reads a large directory in another order, as everybody.
func TestDirOrder(t *testing.T) {
	h := startHolder(t)
	j := variedJail(t, h, &Vary{Dirs: 7}, 10000)
	native := outside(t, j, "srv/many")
	sorted := slices.Sorted(slices.Values(native))
	if out, st := sh(t, j, "mkdir -m 700 /srv/own && "+
		"touch /srv/own/a /srv/own/b; cp /bin/ls /srv/ls && chmod 4755 /srv/ls"); !st.Success() {
		t.Fatal(out, st)
	}
	ls := []string{"/bin/ls", "-U", "/srv/many"}
	var first string
	for _, uid := range []int{0, 1000, 1000} {
		out, st := run(t, j, Command{Argv: ls, UID: uid, GID: uid})
		names := strings.Fields(out)
		if !st.Success() || slices.Equal(names, native) || first != "" && out != first {
			t.Errorf("uid %d: in the kernel's order, or another one than before: %v", uid, st)
		}
		first = out
		slices.Sort(names)
		if diff := cmp.Diff(sorted, names); diff != "" {
			t.Errorf("uid %d: names were lost, or are new (-want +got):\n%s", uid, diff)
		}
	}
	// A program that has another user than its starter still has it.
	out, st := run(t, j, Command{Argv: []string{"/srv/ls", "-U", "/srv/own"}, UID: 1000, GID: 1000})
	want := outside(t, j, "srv/own")
	slices.Reverse(want)
	if got := strings.Fields(out); !st.Success() || !slices.Equal(got, want) {
		t.Errorf("a setuid program reads %q, not %q: %v", got, want, st)
	}
	if strays, err := j.Close(); err != nil || len(strays) > 0 {
		t.Errorf("what answers is counted among the strays: %v, %v", strays, err)
	}
}

// TestDirOrderHostile has programs ask in every way they can, while others are killed. The last one
// is answered as the first.
func TestDirOrderHostile(t *testing.T) {
	h := startHolder(t)
	j := variedJail(t, h, &Vary{Dirs: 7}, 300)
	defer func() {
		if _, err := j.Close(); err != nil {
			t.Error(err)
		}
	}()
	if out, st := sh(t, j, "for i in 1 2 3 4 5 6 7 8; do "+
		"timeout -s KILL 0.0$i find /srv /srv /srv /srv /usr/share >/dev/null & done; wait; "+
		"ls -U /srv/many | wc -l"); out != "300\n" {
		t.Errorf("after programs that were killed: %q %v", out, st)
	}
	if out, st := run(t, j, Command{Applet: "asks", Argv: []string{"/srv/many"}, UID: 1000,
		GID: 1000}); !st.Success() || out != "" {
		t.Errorf("%v\n%s", st, out)
	}
	if strays, err := j.Sweep(); err != nil || len(strays) > 0 {
		t.Errorf("what answers was swept: %v, %v", strays, err)
	}
	if out, _ := sh(t, j, "ls -U /srv/many | wc -l"); out != "300\n" {
		t.Errorf("after it all: %q", out)
	}
}

// asksApplet reads a directory in odd ways, and says what was not answered as the kernel does.
func asksApplet(args []string) int {
	dir, err := os.Open(args[0])
	if err != nil {
		fmt.Println(err)
		return 1
	}
	buffer := make([]byte, 4<<20)
	page, err := unix.Mmap(-1, 0, 2*os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANON)
	if err == nil {
		err = unix.Munmap(page)
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	ask := func(fd int, at *byte, size int) (int, error) {
		n, _, errno := unix.Syscall(unix.SYS_GETDENTS64, uintptr(fd), uintptr(unsafe.Pointer(at)),
			uintptr(size))
		if errno != 0 {
			return 0, errno
		}
		return int(n), nil
	}
	for _, c := range []struct {
		what string
		fd   int
		at   *byte
		size int
		want error
	}{
		{"a descriptor that is closed", 99, &buffer[0], len(buffer), unix.EBADF},
		{"no descriptor", -1, &buffer[0], len(buffer), unix.EBADF},
		{"no directory", 1, &buffer[0], len(buffer), unix.ENOTDIR},
		{"a small buffer", int(dir.Fd()), &buffer[0], 3, unix.EINVAL},
		{"no buffer", int(dir.Fd()), &buffer[0], 0, unix.EINVAL},
		{"no address", int(dir.Fd()), nil, 1000, unix.EFAULT},
	} {
		if _, err := ask(c.fd, c.at, c.size); !errors.Is(err, c.want) {
			fmt.Printf("%s: %v\n", c.what, err)
		}
	}
	if n, err := ask(int(dir.Fd()), &buffer[0], len(buffer)); n <= 0 || err != nil {
		fmt.Printf("a large buffer: %d, %v\n", n, err)
	}
	// Long builds ask often, and what answers has its memory swept meanwhile.
	for range 20000 {
		if _, err := dir.Seek(0, io.SeekStart); err != nil {
			fmt.Println(err)
			return 1
		}
		if n, err := ask(int(dir.Fd()), &buffer[0], 200); n <= 0 || err != nil {
			fmt.Printf("often: %d, %v\n", n, err)
			return 1
		}
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { readOften(args[0]) })
	}
	all.Wait()
	return 0
}

// readOften reads a directory from a thread with descriptors of its own.
func readOften(name string) {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_FILES); err != nil {
		fmt.Println(err)
	}
	for range 20 {
		fd, err := unix.Open(name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			fmt.Println(err)
			return
		}
		names := map[string]bool{}
		for buffer := make([]byte, 1000); ; {
			n, err := unix.Getdents(fd, buffer)
			if err != nil || n <= 0 {
				break
			}
			_, _, some := unix.ParseDirent(buffer[:n], -1, nil)
			for _, one := range some {
				names[one] = true
			}
		}
		unix.Close(fd)
		if len(names) != 300 {
			fmt.Printf("%d names\n", len(names))
		}
	}
}

// TestOldKernel has uname(2) answer with the release of an old kernel.
func TestOldKernel(t *testing.T) {
	h := startHolder(t)
	j := variedJail(t, h, &Vary{OldKernel: true}, 0)
	if out, _ := sh(t, j, "uname -r; ls -d /usr"); !strings.HasPrefix(out, "2.6.") ||
		!strings.HasSuffix(out, "\n/usr\n") {
		t.Errorf("%q", out)
	}
}
