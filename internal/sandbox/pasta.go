package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"time"

	"nsbuild/internal/fault"
	"nsbuild/internal/sandbox/execpath"
	"nsbuild/internal/sandbox/wire"
)

// pastaPatience is far more than it needs.
const pastaPatience = 20 * time.Second

const tunDevice = "/dev/net/tun"

// FindPasta looks for the program that connects a private network, or says how it is installed.
func FindPasta() (string, error) {
	if found, err := execpath.Find("pasta"); err == nil {
		return resolve(found)
	}
	return "", fault.New(fault.Internal, "sudo apt-get install passt",
		"a private network needs the program pasta, which is not installed")
}

// connect starts pasta(1) beside the jail, in H: it ends with everything else, and what it opens to
// the world are the caller's own sockets. It returns when the jail is connected.
func (h *Holder) connect(ctx context.Context, j *Jail) error {
	pasta, err := FindPasta()
	if err != nil {
		return err
	}
	tun, err := os.OpenFile(tunDevice, os.O_RDWR, 0)
	if err != nil {
		hint := "sudo modprobe tun"
		if errors.Is(err, fs.ErrPermission) {
			hint = "sudo chmod 666 " + tunDevice + "   (as udev has it)"
		}
		return fault.Wrap(fault.Internal, hint, fmt.Errorf("a private network needs a device: %w",
			err))
	}
	tun.Close()
	ctx, cancel := context.WithTimeoutCause(ctx, pastaPatience,
		errors.New("pasta did not become ready"))
	defer cancel()
	if err := h.Applet(ctx, wire.AppletPasta, []string{pasta, strconv.Itoa(j.id)}); err != nil {
		return fmt.Errorf("connecting the jail to the network: %w", err)
	}
	if _, _, err := h.call(&wire.Message{Op: wire.OpOnline, Jail: j.id}); err != nil {
		return fmt.Errorf("connecting the jail to the network: %w", err)
	}
	return nil
}
