package pid1

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"nsbuild/internal/sandbox/procs"
)

// killAll kills everything else in the PID namespace and waits until it is gone. As PID 1 we own
// them all, nested PID namespaces included. At the shared level it is everything else in H.
func (p *pid1) killAll() error {
	if p.shared != nil {
		return killShared()
	}
	begin := time.Now()
	for pause := 50 * time.Microsecond; ; pause = min(2*pause, 5*time.Millisecond) {
		if err := syscall.Kill(-1, syscall.SIGKILL); errors.Is(err, syscall.ESRCH) {
			return nil
		}
		if time.Since(begin) > killPatience {
			return fmt.Errorf("processes of the jail are still there %v after they were killed",
				killPatience)
		}
		time.Sleep(pause) // the reaper works meanwhile
	}
}

// killPatience is how long processes may take to end that were killed. Some cannot end: they wait
// for a device.
const killPatience = time.Minute

// killSession kills the processes of a session: a command, its process groups, the jobs of its
// shell. Those that made a session of their own, as daemons do, go on.
func killSession(leader int) {
	begin := time.Now() // nobody else is served meanwhile
	for pause := 50 * time.Microsecond; time.Since(begin) < killPatience; pause = min(2*pause,
		5*time.Millisecond) {
		members, err := procs.List(func(p *procs.Process) bool { return p.Session == leader })
		if err != nil || len(members) == 0 {
			return // without a /proc there is no way to know them
		}
		for _, m := range members {
			_ = m.Kill() // what cannot be killed now is met again
		}
		time.Sleep(pause)
	}
}
