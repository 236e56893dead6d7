package sandbox

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"nsbuild/internal/testenv"
)

// TestPID1AndCallersIDs attacks PID 1 as the caller, whose own ids are in the jail: as its root (an
// own root), or at their own numbers (a bind that may be written).
func TestPID1AndCallersIDs(t *testing.T) {
	testenv.RequireTool(t, "prlimit", "taskset", "renice", "choom", "perl")
	own := max(os.Getuid(), 1000) // jail root's id is root's in any case
	for _, c := range []struct {
		caller Caller
		as     int
	}{{Caller{}, 0}, {Caller{UID: own, GID: own}, own}, {Caller{UID: own, GID: own}, 0}} {
		caller := c.caller
		t.Run(fmt.Sprint("as ", c.as, " where the caller is ", caller.UID), func(t *testing.T) {
			h := startHolder(t)
			j, err := h.NewJail(context.Background(), Spec{
				Root: Root{Lowers: []Lower{{Path: testRoot(t, h)}}}, Mounts: programs(),
				Caller: &caller, KeepNames: true,
			})
			if err != nil {
				t.Fatal(err)
			}
			as := func(script string) (string, Status) {
				return run(t, j, Command{
					Argv: []string{"/bin/sh", "-c", script},
					Env:  []string{"PATH=" + DefaultPath},
					UID:  c.as, GID: c.as,
				})
			}
			out, st := as(`perl -e 'for my $n (1..64) { print "$n " if kill $n, 1 }'`)
			if out != "" || !st.Success() {
				t.Errorf("signals that PID 1 can be sent: %s%v", out, st)
			}
			for _, attack := range []string{
				"prlimit --pid 1 --nofile=16:16", "prlimit --pid 1", "taskset -p 1 1",
				"renice 19 1", "renice 19 -g 1",
				"choom -p 1 -n 1000", "echo 1000 >/proc/1/oom_score_adj", "echo x >/proc/1/comm",
				"readlink /proc/1/exe",
				"ls /proc/1/fd", "ls /proc/1/root/", "cat /proc/1/environ", "cat /proc/1/maps",
				"chrt -i -p 0 1", "ionice -c3 -p 1",
			} {
				if out, st := as(attack); st.Success() && !strings.Contains(out, "denied") {
					t.Errorf("%s succeeded: %s", attack, out)
				}
			}
			if out, st := as("echo alive"); out != "alive\n" || !st.Success() {
				t.Errorf("after the attacks: %q %v", out, st)
			}
			// PID 1 still has its ways, and the jail can be followed by one of its kind alone.
			if err := j.Mkdir("/srv/new/dir", 0o755, 0, 0); err != nil {
				t.Error(err)
			}
			if _, err := j.Close(); err != nil {
				t.Error(err)
			}
			again := Spec{Root: Root{Lowers: []Lower{{Path: testRoot(t, startHolder(t))}}},
				Mounts: programs()}
			if _, err := h.NewJail(context.Background(), again); err == nil {
				t.Error("a jail was opened that has PID 1's id")
			}
		})
	}
}
