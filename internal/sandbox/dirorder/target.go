package dirorder

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"nsbuild/internal/sandbox/syserr"
)

// target is who asks. What is open here is its own, and no later process's with its number.
type target struct {
	memory int   // /proc/PID/mem
	dir    int   // the same open directory as its own descriptor
	old    int64 // where that stood, after remember; -1
}

// openTarget opens what a thread and its descriptor are. The thread is there as long as valid says
// that its call is.
func openTarget(tid uint32, descriptor uint64, valid func() error) (_ *target, err error) {
	t := &target{memory: -1, dir: -1, old: -1}
	defer func() {
		if err != nil {
			t.close()
		}
	}()
	file := fmt.Sprintf("/proc/%d/mem", tid)
	if t.memory, err = unix.Open(file, unix.O_WRONLY|unix.O_CLOEXEC, 0); err != nil {
		return nil, syserr.Wrap("open", file, err)
	}
	files, err := openFiles(int(tid), pidfdThread)
	if err != nil {
		return nil, err
	}
	defer unix.Close(files)
	if err := valid(); err != nil {
		return nil, err
	}
	if t.dir, err = unix.PidfdGetfd(files, int(int32(descriptor)), 0); err != nil {
		return nil, syserr.Wrap("pidfd_getfd", "", err)
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(t.dir, &st); err != nil {
		return nil, syserr.Wrap("fstatfs", "", err)
	}
	switch int64(st.Type) { //nolint:unconvert // int32 on 32-bit machines
	case unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.CGROUP2_SUPER_MAGIC, unix.DEVPTS_SUPER_MAGIC:
		return nil, errors.New("what it shows is the kernel's, and depends on who asks")
	}
	return t, nil
}

// pidfdThread is the flag of pidfd_open(2) for a thread (Linux 6.9).
const pidfdThread = unix.O_EXCL

// openFiles opens a process by one of its threads, for its descriptors. Before Linux 6.9 that can
// be done by its first thread alone, which need not have the same descriptors.
func openFiles(tid, flag int) (int, error) {
	fd, err := unix.PidfdOpen(tid, flag)
	if err == nil || !errors.Is(err, unix.EINVAL) {
		return fd, syserr.Wrap("pidfd_open", "", err)
	}
	first, err := firstThread(tid)
	if err != nil {
		return -1, err
	}
	const files = 2 // KCMP_FILES in kcmp(2)
	differ, _, errno := unix.Syscall6(unix.SYS_KCMP, uintptr(tid), uintptr(first), files, 0, 0, 0)
	if errno != 0 {
		return -1, syserr.Wrap("kcmp", "", errno)
	}
	if differ != 0 {
		return -1, errors.New("the thread has descriptors of its own")
	}
	fd, err = unix.PidfdOpen(first, 0)
	return fd, syserr.Wrap("pidfd_open", "", err)
}

// firstThread is the number of a thread's process.
func firstThread(tid int) (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", tid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if number, ok := strings.CutPrefix(line, "Tgid:"); ok {
			return strconv.Atoi(strings.TrimSpace(number))
		}
	}
	return 0, fmt.Errorf("/proc/%d/status does not say its process", tid)
}

// remember notes where the directory is read, so that back can go there.
func (t *target) remember() bool {
	old, err := unix.Seek(t.dir, 0, unix.SEEK_CUR)
	if err == nil {
		t.old = old
	}
	return err == nil
}

// back undoes a reading whose result nobody has got. Where that fails it is as if others had read.
func (t *target) back() {
	if t.old >= 0 {
		_, _ = unix.Seek(t.dir, t.old, unix.SEEK_SET)
	}
}

// write writes into the memory of who asks.
func (t *target) write(data []byte, at uint64) bool {
	for len(data) > 0 {
		n, err := unix.Pwrite(t.memory, data, int64(at))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n <= 0 {
			return false
		}
		data, at = data[n:], at+uint64(n)
	}
	return true
}

func (t *target) close() {
	for _, fd := range []int{t.memory, t.dir} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}
