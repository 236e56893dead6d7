package pid1

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// WatchMain is the watcher of the shared level. It is in H, beside the process that is PID 1 at the
// full level, and waits until that is gone, however it ended. Then it kills what is left in H, as
// the kernel does with a PID namespace. Jails can neither signal nor trace it.
func WatchMain() int {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE,
		syscall.SIGTSTP)
	// The end of the file is all that ever comes.
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "nsbuild-watch:", err)
	}
	if err := killShared(); err != nil {
		fmt.Fprintln(os.Stderr, "nsbuild-watch:", err)
		return 1
	}
	return 0
}
