package reexec

import (
	"bufio"
	"debug/elf"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"nsbuild/internal/sandbox/beneath"
	"nsbuild/internal/sandbox/layout"
	"nsbuild/internal/sandbox/mounts"
	"nsbuild/internal/sandbox/syserr"
	"nsbuild/internal/sandbox/wire"
)

// Self is this binary as a re-executed process can start it, from any root: by descriptors of H's
// own mounts. Built without cgo it is static and needs nothing else; built with cgo (go run, go
// test and go install do so where a C compiler is installed) it comes with its dynamic loader and
// libraries, since the jail has none or other ones.
type Self struct {
	exe    *os.File
	loader *os.File // nil for a static binary
	libs   *os.File // the directory of its libraries: a detached mount, whose ".." is itself
}

// Prepare makes this binary executable by jail ids: a read-only bind where its mode permits,
// else a copy.
func Prepare(hostPath string) (*Self, error) {
	target := path.Join(layout.Exe, "nsbuild")
	file, err := os.OpenFile(target, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		return nil, err
	}
	var running, found unix.Stat_t
	if err := unix.Stat("/proc/self/exe", &running); err != nil {
		return nil, syserr.Wrap("stat", "/proc/self/exe", err)
	}
	err = unix.Stat(layout.Host+hostPath, &found)
	source := layout.Host + hostPath
	// replaced meanwhile, or private to the caller
	if err != nil || found.Dev != running.Dev || found.Ino != running.Ino ||
		found.Mode&0o005 != 0o005 {
		if err := copyInto(file, "/proc/self/exe"); err != nil {
			return nil, err
		}
		source = target
	}
	if err := file.Close(); err != nil {
		return nil, err
	}
	if err := mounts.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
		return nil, err
	}
	if err := mounts.SetAttr(unix.AT_FDCWD, target,
		unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV, false); err != nil {
		return nil, err
	}
	s := &Self{}
	if s.exe, err = openHigh(target); err != nil {
		return nil, err
	}
	interpreter, err := InterpreterOf("/proc/self/exe")
	if err != nil || interpreter == "" {
		return s, err
	}
	s.libs, err = prepareLibraries(interpreter)
	if err != nil {
		return nil, err
	}
	s.loader, err = openHigh(beneath.FDPath(s.libs) + "/" + path.Base(interpreter))
	return s, err
}

// prepareLibraries copies the loader and the libraries to a file system of their own that nothing
// can be written to any more, whoever has the id of the caller, to whom they belong.
func prepareLibraries(interpreter string) (*os.File, error) {
	if err := os.Mkdir(layout.Libraries, 0o755); err != nil {
		return nil, err
	}
	const flags = unix.MS_NOSUID | unix.MS_NODEV
	if err := mounts.Mount("tmpfs", layout.Libraries, "tmpfs", flags, "mode=755"); err != nil {
		return nil, err
	}
	if err := copyLibraries(layout.Libraries, interpreter); err != nil {
		return nil, err
	}
	// The file system, not only this mount: what a jail holds of it, it can make writable again.
	err := mounts.Mount("", layout.Libraries, "", unix.MS_REMOUNT|unix.MS_RDONLY|flags, "mode=755")
	if err != nil {
		return nil, err
	}
	return cloneLibraries()
}

// cloneLibraries returns the libraries' directory as a mount of its own that is attached nowhere
// (open_tree(2)). Processes of a jail hold it, and a jail can look into their descriptors: from a
// directory below H's root ".." would lead to the host's tree.
func cloneLibraries() (*os.File, error) {
	const flags = unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC
	fd, err := unix.OpenTree(unix.AT_FDCWD, layout.Libraries, flags)
	if err != nil {
		return nil, syserr.Wrap("open_tree", layout.Libraries, err)
	}
	tree := os.NewFile(uintptr(fd), layout.Libraries)
	defer tree.Close()
	const attr = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV
	if err := mounts.SetAttr(fd, "", attr, false); err != nil {
		return nil, err
	}
	return raise(tree)
}

// ForJail is this binary as a jail may hold it. Jail root can attach a mount that is attached
// nowhere to its own tree, and mount other libraries over those in it: so each helper has a mount
// of its own, by which nothing outside of its jail is started. It is closed by done.
func (s *Self) ForJail() (own *Self, done func(), err error) {
	if s.loader == nil {
		return s, func() {}, nil
	}
	libs, err := cloneLibraries()
	if err != nil {
		return nil, nil, err
	}
	return &Self{exe: s.exe, loader: s.loader, libs: libs}, func() { libs.Close() }, nil
}

// openHigh opens a path at a descriptor number that no list of passed files reaches, so that
// ForkExec cannot cover it.
func openHigh(name string) (*os.File, error) {
	f, err := beneath.OpenPath(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return raise(f)
}

func raise(f *os.File) (*os.File, error) {
	const firstHigh = 2 * wire.MaxFiles
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, firstHigh)
	if err != nil {
		return nil, syserr.Wrap("fcntl", f.Name(), err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// Files lists the descriptors, for passing to the helper; From is the inverse.
func (s *Self) Files() []*os.File {
	if s.loader == nil {
		return []*os.File{s.exe}
	}
	return []*os.File{s.exe, s.loader, s.libs}
}

// From takes over what Files has listed, where it was received.
func From(files []*os.File) (*Self, error) {
	for i, f := range files {
		high, err := raise(f)
		if err != nil {
			return nil, err
		}
		f.Close()
		files[i] = high
	}
	switch len(files) {
	case 1:
		return &Self{exe: files[0]}, nil
	case 3:
		return &Self{files[0], files[1], files[2]}, nil
	}
	return nil, fmt.Errorf("%d descriptors name no program", len(files))
}

// Inherited takes over what was passed as descriptors from first on.
func Inherited(first int) (*Self, error) {
	files := []*os.File{os.NewFile(uintptr(first), "self")}
	static, err := InterpreterOf(beneath.FDPath(files[0]))
	if err != nil {
		return nil, err
	}
	if static != "" {
		files = append(files, os.NewFile(uintptr(first+1), "loader"),
			os.NewFile(uintptr(first+2), "libraries"))
	}
	return From(files)
}

// ForkExec starts this binary under the name argv0, with files as its descriptors 0, 1, ….
func (s *Self) ForkExec(argv0 string, args []string, files []uintptr, attr *syscall.ProcAttr) (
	int, error) {
	attr.Files = files
	if argv0 != Limited { // which keeps its environment for the command that it becomes
		attr.Env = append(detector(), attr.Env...)
	}
	if s.loader == nil {
		return syscall.ForkExec(beneath.FDPath(s.exe), append([]string{argv0}, args...), attr)
	}
	n := len(files)
	attr.Files = append(files[:n:n], s.exe.Fd(), s.loader.Fd(), s.libs.Fd())
	inChild := func(i int) string { return "/proc/self/fd/" + strconv.Itoa(n+i) }
	// The loader's own options, see ld.so(8).
	argv := append([]string{argv0, "--argv0", argv0, "--library-path", inChild(2), inChild(0)},
		args...)
	return syscall.ForkExec(beneath.FDPath(s.loader), argv, attr)
}

// InterpreterOf is the dynamic loader that an ELF file asks for, or "".
func InterpreterOf(name string) (string, error) {
	f, err := elf.Open(name)
	if err != nil {
		return "", fmt.Errorf("reading this program: %w", err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			text, err := io.ReadAll(io.LimitReader(p.Open(), 4096))
			return strings.TrimRight(string(text), "\x00"), err
		}
	}
	return "", nil
}

// copyLibraries copies the shared objects that this process runs with, and its loader under the
// loader's own name.
func copyLibraries(dir, interpreter string) error {
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return err
	}
	defer maps.Close()
	copied := map[string]bool{}
	add := func(from, name string) error {
		if copied[name] {
			return nil
		}
		copied[name] = true
		to, err := os.OpenFile(path.Join(dir, name), os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
		if err != nil {
			return err
		}
		defer to.Close()
		return copyInto(to, from)
	}
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) == 6 && strings.Contains(path.Base(fields[5]), ".so") {
			if err := add(fields[5], path.Base(fields[5])); err != nil {
				return err
			}
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	resolved, err := onHost(interpreter)
	if err != nil {
		return err
	}
	return add(resolved, path.Base(interpreter))
}

// onHost resolves a host path, whose links are absolute to the host's root, to where H sees it.
func onHost(name string) (string, error) {
	host, err := beneath.OpenPath(layout.Host)
	if err != nil {
		return "", err
	}
	defer host.Close()
	f, err := beneath.Open(host, name, unix.O_PATH)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return os.Readlink(beneath.FDPath(f))
}

func copyInto(to *os.File, from string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.Copy(to, f); err != nil {
		return fmt.Errorf("copying %s: %w", from, err)
	}
	return to.Chmod(0o755)
}
