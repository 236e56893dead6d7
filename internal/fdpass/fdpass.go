// Package fdpass sends open files over unix sockets and receives them (SCM_RIGHTS in unix(7)).
//
// Descriptors travel with the first byte of what is written. What is said beside them, and who may
// say it, is left to the protocols.
package fdpass

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"syscall"
)

// fdSize is what one descriptor takes in a control message, in bytes.
const fdSize = 4

// Write writes all of p, and passes files with it. They stay the caller's to close.
func Write(c *net.UnixConn, p []byte, files ...*os.File) error {
	var rights []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = int(f.Fd())
		}
		rights = syscall.UnixRights(fds...)
	}
	n, _, err := c.WriteMsgUnix(p, rights, nil)
	runtime.KeepAlive(files)
	if err != nil {
		return err
	}
	_, err = c.Write(p[n:])
	return err
}

// Read reads up to len(p) bytes and the files that were passed with them, which are the caller's to
// close. They do not outlive an exec. More files than most are an error, and so is one that was
// lost because this process has too many open; then there are none.
func Read(c *net.UnixConn, p []byte, most int) (n int, files []*os.File, err error) {
	control := make([]byte, syscall.CmsgSpace(most*fdSize))
	n, size, flags, _, err := c.ReadMsgUnix(p, control) // close-on-exec by MSG_CMSG_CLOEXEC
	if err != nil {
		return n, nil, err
	}
	files, err = parse(control[:size])
	switch {
	case err != nil:
	case flags&syscall.MSG_CTRUNC != 0:
		err = errors.New("descriptors were lost: too many open files")
	case len(files) > most: // there was room for them because of the alignment
		err = fmt.Errorf("%d descriptors are more than %d", len(files), most)
	case n == 0:
		err = io.EOF
	}
	if err != nil {
		closeAll(files)
		return n, nil, err
	}
	return n, files, nil
}

func parse(control []byte) ([]*os.File, error) {
	messages, err := syscall.ParseSocketControlMessage(control)
	if err != nil {
		return nil, err
	}
	var files []*os.File
	for i := range messages {
		fds, err := syscall.ParseUnixRights(&messages[i])
		if err != nil {
			return files, err
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "passed"))
		}
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close() // nothing was written to it here
	}
}
