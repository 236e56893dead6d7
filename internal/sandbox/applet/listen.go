package applet

import (
	"net"
	"os"

	"nsbuild/internal/sandbox/reexec"
	"nsbuild/internal/sandbox/wire"
)

// listenMain opens the port and hands it out.
func listenMain([]string) int {
	c, err := wire.New(os.NewFile(3, "control"))
	if err == nil {
		f, failed := listenHere()
		var files []*os.File
		if failed == nil {
			files = []*os.File{f}
		}
		err = c.Send(&wire.Message{Err: wire.ToWire(failed)}, files...)
	}
	if err != nil {
		return reexec.Complain(err)
	}
	return 0
}

func listenHere() (*os.File, error) {
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	return l.File()
}
