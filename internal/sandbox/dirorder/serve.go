package dirorder

import (
	"errors"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"nsbuild/internal/sandbox/syserr"
)

// notification is what the kernel tells of a call: struct seccomp_notif.
type notification struct {
	id     uint64
	pid    uint32 // the thread, as our PID namespace numbers it
	_      uint32
	number int32
	arch   uint32
	_      uint64
	args   [6]uint64
}

// response is what is to become of it: struct seccomp_notif_resp.
type response struct {
	id    uint64
	value int64
	errno int32 // negative
	flags uint32
}

// goOn has the program make its call itself.
func (r *response) goOn() { *r = response{flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE} }

// server answers the calls of one filter.
type server struct {
	listener int
	native   uint32
	again    bool // a call may be made anew after its answer; see waitsKillable
	permuter
	buffer, out []byte
}

// Serve answers, with an order that follows from the seed. It has no end of its own: PID 1 ends it
// with the processes of the jail.
func Serve(listener *os.File, seed uint64) error {
	// Nobody else has the file: without this its descriptor is closed when memory is swept, and the
	// kernel answers ENOSYS to all that read directories from then on.
	defer runtime.KeepAlive(listener)
	s := &server{listener: int(listener.Fd()), native: native(runtime.GOARCH),
		again: !waitsKillable(), permuter: permuter{seed: seed}}
	// Who asks and who answers take turns on one processor (Linux 6.6); without, it takes longer.
	_ = unix.IoctlSetInt(s.listener, unix.SECCOMP_IOCTL_NOTIF_SET_FLAGS,
		unix.SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP)
	in, out, err := sizes()
	if err != nil {
		return err
	}
	asked, answered := make([]uint64, in), make([]uint64, out)
	for {
		clear(asked)
		n := (*notification)(unsafe.Pointer(&asked[0]))
		err := s.ioctl(unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(n))
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.ENOENT) { // who asked is gone
			continue
		}
		if err != nil {
			return err
		}
		clear(answered)
		if err := s.serve(n, (*response)(unsafe.Pointer(&answered[0]))); err != nil {
			return err
		}
	}
}

// sizes are those of the kernel's structures, which may be larger than ours, in words.
func sizes() (in, out int, err error) {
	var s struct{ notification, response, data uint16 }
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_NOTIF_SIZES, 0,
		uintptr(unsafe.Pointer(&s)))
	if errno != 0 {
		return 0, 0, syserr.Wrap("seccomp", "the sizes of notifications", errno)
	}
	const word = 8
	return max(int(s.notification), int(unsafe.Sizeof(notification{})))/word + 1,
		max(int(s.response), int(unsafe.Sizeof(response{})))/word + 1, nil
}

func (s *server) ioctl(request uintptr, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(s.listener), request,
		uintptr(arg)); errno != 0 {
		return syserr.Wrap("ioctl", "the listener", errno)
	}
	return nil
}

// serve answers one call.
func (s *server) serve(n *notification, r *response) error {
	r.goOn()
	t, err := openTarget(n.pid, n.args[0], func() error {
		return s.ioctl(unix.SECCOMP_IOCTL_NOTIF_ID_VALID, unsafe.Pointer(&n.id))
	})
	if err == nil {
		defer t.close()
		s.read(t, n, r)
	}
	r.id = n.id
	err = s.ioctl(unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(r))
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINTR) {
		// It was killed, or makes its call anew.
		if t != nil {
			t.back()
		}
		return nil
	}
	return err
}

// maxBuffer bounds what is read at a time. Programs that ask for more are used to get less.
const maxBuffer = 1 << 20

// read reads in the place of who asks.
func (s *server) read(t *target, n *notification, r *response) {
	number, nameAt := uintptr(unix.SYS_GETDENTS64), nameOf64
	other := n.arch != s.native
	if !other && uintptr(n.number) != number {
		number, nameAt = uintptr(n.number), nameOfOld
	}
	if (other || s.again) && !t.remember() {
		return
	}
	size := int(min(uint32(n.args[2]), maxBuffer))
	if len(s.buffer) <= size {
		s.buffer = make([]byte, size+1)
	}
	got, _, errno := unix.Syscall(number, uintptr(t.dir), uintptr(unsafe.Pointer(&s.buffer[0])),
		uintptr(size))
	if errno != 0 {
		r.flags, r.errno = 0, -int32(errno)
		return
	}
	var err error
	s.out, err = s.permute(s.out[:0], s.buffer[:got], nameAt)
	if err != nil || other && !s.small() {
		t.back() // the kernel numbers places otherwise for programs of 32 bits
		return
	}
	r.flags = 0
	if t.write(s.out, n.args[1]) {
		r.value = int64(got)
	} else {
		r.errno = -int32(unix.EFAULT)
	}
}
