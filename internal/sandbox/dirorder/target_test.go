package dirorder

import (
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFilesOfThreads finds the descriptors of a thread where the kernel knows processes alone.
func TestFilesOfThreads(t *testing.T) {
	const unknown = 1 << 30 // to the kernel, as pidfdThread is to an older one
	failed := make(chan error)
	var on func(own bool)
	on = func(own bool) {
		runtime.LockOSThread() // until it ends
		if unix.Gettid() == os.Getpid() {
			go on(own)
			<-t.Context().Done() // another thread has it
			return
		}
		if own {
			if err := unix.Unshare(unix.CLONE_FILES); err != nil {
				t.Error(err)
			}
		}
		fd, err := openFiles(unix.Gettid(), unknown)
		if err == nil {
			err = unix.Close(fd)
		}
		failed <- err
	}
	try := func(own bool) error {
		go on(own)
		return <-failed
	}
	if err := try(false); err != nil {
		t.Error(err)
	}
	if err := try(true); err == nil {
		t.Error("the descriptors of a thread are taken for those of its process")
	}
	if _, err := openFiles(1<<22+1, unknown); err == nil {
		t.Error("there is a thread of a number that none has")
	}
}

// TestTargetIsChecked opens nothing of a thread whose call is not there any more, and leaves what
// the kernel makes up to who asks.
func TestTargetIsChecked(t *testing.T) {
	open := func(name string, valid error) error {
		dir, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer dir.Close()
		target, err := openTarget(uint32(os.Getpid()), uint64(dir.Fd()),
			func() error { return valid })
		if err == nil {
			target.close()
		}
		return err
	}
	if err := open("/", nil); err != nil {
		t.Error(err)
	}
	if err := open("/", unix.ENOENT); err == nil {
		t.Error("a call that is gone is answered")
	}
	if err := open("/proc", nil); err == nil {
		t.Error("/proc is read in the place of who asks")
	}
}

// TestTargetGoesBack reads again what nobody has got.
func TestTargetGoesBack(t *testing.T) {
	dir, err := os.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	target := &target{dir: int(dir.Fd()), old: -1}
	buffer := make([]byte, 4096)
	target.back() // nothing was remembered
	if !target.remember() {
		t.Fatal("the place is not known")
	}
	first, err := unix.Getdents(target.dir, buffer)
	target.back()
	second, again := unix.Getdents(target.dir, buffer)
	if err != nil || again != nil || first != second || first == 0 {
		t.Errorf("%d bytes, then %d: %v, %v", first, second, err, again)
	}
}
