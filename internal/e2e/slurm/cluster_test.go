package slurm

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"nsbuild/internal/e2e"
	"nsbuild/internal/testenv"
)

// cluster is a Slurm of two nodes with one processor each, which whoever tests runs.
type cluster struct {
	dir, conf string
	nodes     map[string]*exec.Cmd
}

// configuration is slurm.conf. There is no accounting, and nothing that needs root.
const configuration = `ClusterName=test
SlurmctldHost=%[1]s(127.0.0.1)
SlurmctldPort=%[4]d
AuthType=auth/munge
AuthInfo=socket=%[2]s/munge.socket
SlurmUser=%[3]s
SlurmdUser=%[3]s
StateSaveLocation=%[2]s/state
SlurmdSpoolDir=%[2]s/%%n
SlurmctldPidFile=%[2]s/controller.pid
SlurmdPidFile=%[2]s/%%n.pid
SlurmctldLogFile=%[2]s/controller.log
SlurmdLogFile=%[2]s/%%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=sched_min_interval=200000,bf_interval=1
ReturnToService=2
KillWait=2
NodeName=n1 NodeHostname=%[1]s NodeAddr=127.0.0.1 Port=%[5]d CPUs=1 RealMemory=1500
NodeName=n2 NodeHostname=%[1]s NodeAddr=127.0.0.1 Port=%[6]d CPUs=1 RealMemory=1500
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=60 State=UP
`

// start has a Slurm run for the length of the test.
func start(t *testing.T, w *e2e.World) *cluster {
	t.Helper()
	c := &cluster{dir: filepath.Join(w.Dir, "s"), nodes: map[string]*exec.Cmd{}}
	c.conf = filepath.Join(c.dir, "slurm.conf")
	for _, dir := range []string{"", "state", "n1", "n2"} {
		e2e.Check(t, os.Mkdir(filepath.Join(c.dir, dir), 0o755))
	}
	name, err := os.Hostname()
	e2e.Check(t, err)
	me, err := user.Current()
	e2e.Check(t, err)
	ports := freePorts(t, 3)
	e2e.Check(t, os.WriteFile(c.conf, fmt.Appendf(nil, configuration, name, c.dir, me.Username,
		ports[0], ports[1], ports[2]), 0o644))
	w.Env = append(w.Env, "SLURM_CONF="+c.conf)
	t.Setenv("SLURM_CONF", c.conf)
	key := filepath.Join(c.dir, "munge.key")
	e2e.Check(t, os.WriteFile(key, []byte(strings.Repeat("no secret ", 10)), 0o400))
	munge := []string{"munged", "--foreground", "--force", "--key-file=" + key}
	for _, file := range []string{"socket", "pid", "log", "seed"} {
		option := map[string]string{"pid": "pid-file", "log": "log-file", "seed": "seed-file"}[file]
		if option == "" {
			option = file
		}
		munge = append(munge, "--"+option+"="+filepath.Join(c.dir, "munge."+file))
	}
	c.daemon(t, munge...)
	testenv.Eventually(t, "munged has a socket", func() bool {
		_, err := os.Stat(filepath.Join(c.dir, "munge.socket"))
		return err == nil
	})
	c.daemon(t, "slurmctld", "-D", "-c")
	for _, node := range []string{"n1", "n2"} {
		c.nodes[node] = c.daemon(t, "slurmd", "-D", "-N", node)
	}
	testenv.Eventually(t, "both nodes are idle", func() bool {
		out, err := exec.Command("sinfo", "--noheader", "--format=%D %t").Output()
		return err == nil && strings.TrimSpace(string(out)) == "2 idle"
	})
	return c
}

// freePorts are ports that nobody uses now.
func freePorts(t *testing.T, n int) (ports []int) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		e2e.Check(t, err)
		defer l.Close()
		a, ok := l.Addr().(*net.TCPAddr)
		if !ok {
			t.Fatal(l.Addr())
		}
		ports = append(ports, a.Port)
	}
	return ports
}

// daemon runs a program until the end of the test.
func (c *cluster) daemon(t *testing.T, command ...string) *exec.Cmd {
	t.Helper()
	file, err := testenv.FindTool(command[0])
	e2e.Check(t, err)
	d := exec.Command(file, command[1:]...)
	log, err := os.Create(filepath.Join(c.dir, command[0]+".out"))
	e2e.Check(t, err)
	defer log.Close()
	d.Stdout, d.Stderr = log, log
	e2e.Check(t, d.Start())
	t.Cleanup(func() {
		_ = d.Process.Signal(syscall.SIGTERM) // the test may have killed it
		_ = d.Wait()
		if t.Failed() {
			for _, name := range []string{command[0] + ".out", "controller.log"} {
				text, err := os.ReadFile(filepath.Join(c.dir, name))
				t.Logf("%s: %v\n%s", name, err, text[max(0, len(text)-3000):])
			}
		}
	})
	return d
}

// jobs are the numbers, the states, the nodes and the tries of the jobs there are.
func (c *cluster) jobs(t *testing.T) (all [][]string) {
	t.Helper()
	out, err := exec.Command("squeue", "--noheader", "--states=all", "--sort=i",
		"--format=%i|%T|%N|%k").Output()
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(out)) {
		all = append(all, strings.Split(strings.TrimSpace(line), "|"))
	}
	return all
}

// job is the last job of a source.
func (c *cluster) job(t *testing.T, source string) (id, state, node string) {
	t.Helper()
	for _, j := range c.jobs(t) {
		if len(j) == 4 && strings.Contains(j[3], source) {
			id, state, node = j[0], j[1], j[2]
		}
	}
	return id, state, node
}

// loses has a node go, with what runs on it, and the controller know of it.
func (c *cluster) loses(t *testing.T, node, job string) {
	t.Helper()
	e2e.Check(t, c.nodes[node].Process.Kill())
	step := "slurmstepd: [" + job + "."
	var kill []int
	for _, pid := range processes(t) {
		if strings.HasPrefix(commandOf(pid), step) {
			kill = append(kill, pid)
		}
	}
	for i := 0; i < len(kill); i++ { // and what these have begun
		for _, pid := range processes(t) {
			if parent(pid) == kill[i] && !slices.Contains(kill, pid) {
				kill = append(kill, pid)
			}
		}
	}
	if len(kill) < 2 {
		t.Fatalf("of the job %s there are the processes %v", job, kill)
	}
	for _, pid := range kill {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Error(err)
		}
	}
	scontrol(t, "update", "nodename="+node, "state=down", "reason=gone")
	testenv.Eventually(t, "the job is queued again", func() bool {
		for _, j := range c.jobs(t) {
			if j[0] == job {
				return j[1] == "PENDING"
			}
		}
		return false
	})
	// Slurm lets two minutes pass
	scontrol(t, "update", "jobid="+job, "starttime=now")
}

func scontrol(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("scontrol", args...).CombinedOutput(); err != nil {
		t.Fatalf("scontrol %q: %v\n%s", args, err, out)
	}
}

// processes are the numbers of all processes.
func processes(t *testing.T) (all []int) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	e2e.Check(t, err)
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			all = append(all, pid)
		}
	}
	return all
}

// commandOf is the command line of a process; "": it is gone.
func commandOf(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return ""
	}
	return string(text)
}

// parent is the process that has begun another; 0: it is gone.
func parent(pid int) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "PPid:"); ok {
			n, err := strconv.Atoi(strings.TrimSpace(value))
			if err != nil {
				return 0
			}
			return n
		}
	}
	return 0
}
