package sandbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// controlFD is the socket that a re-executed process inherits.
const controlFD = 3

// pid1 is the state of PID 1.
type pid1 struct {
	caps []uintptr
	self *self
	null *os.File
	// emulators is the binfmt_misc that has them; it ends with us.
	emulators *os.File

	scratch string // where upper directories are made
	kind    Scratch
	xino    bool            // overlays number their files themselves, see xino
	found   map[string]bool // by file system; see overlays
	host    *os.File
	group   string // the control group of what runs in jails, or ""
	limits  Limits // that it does not hold

	hidden *int // the uid under which a jail with the caller's ids does not reach us; see hideFrom

	jails []*openJail // by id-1; closed ones keep their upper directory
	open  *openJail

	turn sync.Mutex // of requests: one is served at a time

	mu       sync.Mutex // of the tables that the reaper shares
	commands map[int]command
	pids     map[command]int
	leaders  map[int]bool // pids of commands that are session leaders of ours, see spawnSession
	// reaped while a request to the helper was under way: its answer may name them
	orphans map[int]*Status
	stopped map[int]bool // so were these stopped
	asking  bool
	helpers map[int]bool // pids of those that live
	// lostHelpers are those that have ended, for whoever asks one next.
	lostHelpers map[int]Status
	streams     map[int]*streams     // by pid; of commands that have them by way of us
	draining    map[command]*streams // of those that have ended, until all is passed on
}

// command is one that was started over a connection.
type command struct {
	from   *client
	handle int // by which the client knows it
}

// openJail is a jail as PID 1 knows it.
type openJail struct {
	id     int
	root   *os.File // the mounted root, O_PATH
	target string   // where the root is mounted in H
	upper  string   // "" for a Root.Dir; the whole tree on ScratchCopy
	helper *conn
	pid    int      // of the helper
	pts    *os.File // its devpts, O_PATH
	spec   *Spec
	plain  bool  // files have the device of their mount; see Jail.Plain
	online *conn // a second helper, in the caller's network namespace; nil until a command needs it
	netPID int   // of the second helper
	spared []int // of processes beside the jail; see connected
}

func initMain() int {
	unix.Umask(jailUmask) // before the first directory is made
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(syscall.SIGKILL), 0, 0, 0); err != nil {
		fmt.Fprintln(os.Stderr, "nsbuild-init:", err)
		return 1
	}
	c, err := controlSocket()
	if err != nil {
		fmt.Fprintln(os.Stderr, "nsbuild-init:", err)
		return 1
	}
	p := &pid1{
		commands: map[int]command{}, pids: map[command]int{}, leaders: map[int]bool{},
		orphans: map[int]*Status{},
		stopped: map[int]bool{},
		helpers: map[int]bool{}, lostHelpers: map[int]Status{},
		streams: map[int]*streams{}, draining: map[command]*streams{},
	}
	// A broken pipe is the end of the caller, as an end of file is, met while writing.
	if err := p.serve(&client{conn: c}); err != nil && !errors.Is(err, io.EOF) &&
		!errors.Is(err, syscall.EPIPE) {
		fmt.Fprintln(os.Stderr, "nsbuild-init:", err)
		return 1
	}
	return 0 // whatever still runs dies with us
}

// controlSocket takes over the inherited socket. What else was inherited open (shells and CI
// runners leave descriptors) must not reach the commands.
func controlSocket() (*conn, error) {
	if err := unix.CloseRange(controlFD, ^uint(0)>>1, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return nil, sysErr("close_range", "", err)
	}
	return newConn(os.NewFile(controlFD, "control"))
}

func (p *pid1) serve(caller *client) error {
	// Terminal signals are the caller's business; it tells us what to pass on.
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGTSTP,
		syscall.SIGTTIN, syscall.SIGTTOU, syscall.SIGPIPE)
	// Beyond the caller's limit a relay's write fails, which is then said; commands have the
	// default.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGXFSZ)
	m, files, err := caller.conn.recv()
	if err != nil {
		return err
	}
	closeFiles(files)
	err = p.setup(m)
	if sendErr := caller.conn.send(
		&message{Op: opSetup, ID: m.ID, Err: toWire(err), Scratch: p.kind,
			Found: p.found}); err != nil || sendErr != nil {
		return sendErr // the caller reports err
	}
	go p.reap()
	return p.serveRequests(caller)
}

// serveRequests serves a client until it is gone.
func (p *pid1) serveRequests(c *client) error {
	for {
		m, files, err := c.conn.recv()
		if err != nil {
			return err
		}
		if err := p.serveRequest(c, m, files); err != nil {
			return err
		}
	}
}

func (p *pid1) serveRequest(c *client, m *message, files []*os.File) error {
	p.turn.Lock()
	defer p.turn.Unlock()
	answer, send, err := p.handle(c, m, files)
	closeFiles(files)
	if err != nil {
		answer = &message{Err: toWire(err)}
	}
	answer.Op, answer.ID = m.Op, m.ID
	err = c.send(answer, send...)
	closeFiles(send)
	if m.Op == opExec || m.Op == opApplet {
		p.settle(command{c, m.Handle}, answer.PID, m.Command.Terminal || m.Command.PID1)
	}
	return err
}

func (p *pid1) handle(c *client, m *message, files []*os.File) (*message, []*os.File, error) {
	if err := c.may(m, p.open); err != nil {
		return nil, nil, err
	}
	switch m.Op {
	case opJail:
		return answer(p.openJail(m.Spec, files))
	case opStrays:
		if p.open == nil || p.open.id != m.Jail || p.open.helper == nil {
			return nil, nil, errors.New("this jail is not open")
		}
		strays, err := listStrays(p.ours())
		return &message{Strays: strays}, nil, err
	case opOnline:
		return &message{}, nil, p.connected(m.Jail)
	case opStop:
		strays, err := p.stopJail(m.Jail)
		return &message{Strays: strays}, nil, err
	case opSweep:
		strays, err := p.sweepJail(m.Jail)
		return &message{Strays: strays}, nil, err
	case opClose:
		return &message{}, nil, p.closeJail(m.Jail)
	case opExec:
		pid, err := p.exec(m, files)
		return &message{PID: pid}, nil, err
	case opApplet:
		pid, err := p.applet(m.Command, files)
		return &message{PID: pid}, nil, err
	case opSignal:
		return &message{}, nil, p.signal(command{c, m.Handle}, syscall.Signal(m.Signal))
	case opShare:
		return p.share(m.Jail)
	case opUsage:
		usage, err := p.usage()
		return &message{Usage: usage}, nil, err
	case opTTY:
		if p.open == nil || p.open.id != m.Jail {
			return nil, nil, errors.New("this jail is not open")
		}
		files, err := p.open.openTerminal(m.UID)
		return &message{}, files, err
	case opOpen, opCreate, opMkdir, opLink:
		return p.fileOp(m)
	case opSpace:
		f, err := openPath(p.scratch)
		if err != nil {
			return nil, nil, err
		}
		return &message{}, []*os.File{f}, nil
	}
	return nil, nil, fmt.Errorf("PID 1 knows no request %q", m.Op)
}

func answer(m *message, err error) (*message, []*os.File, error) { return m, nil, err }

// applet starts one of our own applets in H.
func (p *pid1) applet(c *Command, files []*os.File) (int, error) {
	if c.Applet == appletSaveLayer {
		upper, err := p.frozen(c.Argv[0])
		if err != nil {
			return 0, err
		}
		c.Argv[0] = upper
	}
	if c.Applet == appletSaveRoot && len(c.Argv) > 2 {
		if err := p.places(c.Argv[2:]); err != nil {
			return 0, err
		}
	}
	if c.Applet == appletPasta {
		if p.open == nil || strconv.Itoa(p.open.id) != c.Argv[1] {
			return 0, errors.New("this jail is not open")
		}
		c.Argv[1] = strconv.Itoa(p.open.pid)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	pid, err := p.self.forkExec(appletName, append([]string{c.Applet}, c.Argv...),
		descriptors(files), &syscall.ProcAttr{
			Dir: "/",
			Env: c.Env,
			Sys: &syscall.SysProcAttr{AmbientCaps: p.caps, Setsid: true},
		})
	if err != nil {
		return 0, sysErr("starting", c.Applet, err)
	}
	p.asking = true // settle ends it
	return pid, nil
}

// frozen is the upper directory of a closed jail.
func (p *pid1) frozen(id string) (string, error) {
	n, err := strconv.Atoi(id)
	if err != nil || n < 1 || n > len(p.jails) || p.jails[n-1].upper == "" ||
		p.open == p.jails[n-1] {
		return "", fmt.Errorf("jail %s has no frozen layer", id)
	}
	return p.jails[n-1].upper, nil
}

// exec has the helper start a command in the jail.
func (p *pid1) exec(m *message, files []*os.File) (int, error) {
	if p.open == nil || p.open.helper == nil {
		return 0, errors.New("no jail is open")
	}
	files, err := p.open.withoutKeys(files, p.null)
	if err != nil {
		return 0, err
	}
	p.mu.Lock()
	p.asking = true
	p.mu.Unlock()
	var pid int
	files, between, done, err := p.open.standBetween(files)
	if err == nil {
		pid, err = p.askHelper(m, files)
		done()
		if err != nil && between != nil {
			err = errors.Join(err, between.wait())
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.asking = false
		clear(p.orphans)
		clear(p.stopped)
	} else if between != nil {
		p.streams[pid] = between
	}
	return pid, err
}

func (p *pid1) askHelper(m *message, files []*os.File) (int, error) {
	helper, err := p.helperFor(m.Command)
	if err != nil {
		return 0, err
	}
	pid := p.open.pid
	if helper == p.open.online {
		pid = p.open.netPID
	}
	request := &message{Op: opExec, Command: m.Command}
	got, extra, err := ask(helper, helperPatience, func() bool { return heldInside(pid) }, request,
		files...)
	closeFiles(extra)
	if err != nil {
		return 0, p.helperLost(pid, helper, err)
	}
	if got.Err != nil {
		return 0, got.Err.error()
	}
	if err := p.mayBeStarted(got.PID); err != nil {
		return 0, err
	}
	return got.PID, nil
}

// settle ties a started pid to its command, after the client has been told of it, so that its end
// is reported after its beginning.
func (p *pid1) settle(c command, pid int, leader bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asking = false
	if pid != 0 {
		if status := p.orphans[pid]; status != nil {
			p.report(pid, c, status)
		} else {
			p.commands[pid], p.pids[c] = c, pid
			if leader {
				p.leaders[pid] = true
			}
			if p.stopped[pid] {
				p.paused(pid)
			}
		}
	}
	clear(p.orphans)
	clear(p.stopped)
}

// reap waits for every child, adopted ones too, for ever.
func (p *pid1) reap() {
	runtime.LockOSThread()
	children := make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)
	for {
		var ws syscall.WaitStatus
		var ru syscall.Rusage
		p.mu.Lock() // a child must be in the tables before it is reaped
		pid, err := syscall.Wait4(-1, &ws, syscall.WNOHANG|syscall.WUNTRACED, &ru)
		if err == nil && pid > 0 {
			if ws.Stopped() {
				p.paused(pid)
			} else {
				p.reaped(pid, statusOf(ws, &ru))
			}
			p.mu.Unlock()
			continue
		}
		p.mu.Unlock()
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		<-children
	}
}

// reaped is called with mu held.
func (p *pid1) reaped(pid int, status Status) {
	delete(p.leaders, pid)
	if p.helpers[pid] {
		delete(p.helpers, pid)
		p.lostHelpers[pid] = status
	}
	if c, ok := p.commands[pid]; ok {
		delete(p.commands, pid)
		delete(p.pids, c)
		p.report(pid, c, &status)
		return
	}
	if p.asking {
		p.orphans[pid] = &status
		return
	}
	p.abandon(pid) // of a guest that is gone
}

// paused tells the client that a command was stopped. It is called with mu held.
func (p *pid1) paused(pid int) {
	if p.helpers[pid] {
		_ = syscall.Kill(pid, syscall.SIGCONT) // jail root can stop it; nobody is to wait for it
		return
	}
	if c, ok := p.commands[pid]; ok {
		c.from.tell(&message{Op: opPause, Handle: c.handle})
	} else if p.asking {
		p.stopped[pid] = true
	}
}

// signal sends to the process group of a command: each is a session of its own.
func (p *pid1) signal(c command, sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	pid, ok := p.pids[c]
	if p.hurry(c, pid, sig) {
		return nil
	}
	if !ok {
		return &Error{Op: "kill", Errno: syscall.ESRCH}
	}
	return sysErr("kill", strconv.Itoa(pid), syscall.Kill(-pid, sig))
}

// openJail mounts a jail's root and starts its helper.
func (p *pid1) openJail(spec *Spec, trees []*os.File) (_ *message, err error) {
	if p.open != nil {
		return nil, errors.New("a jail is open already")
	}
	j := &openJail{id: len(p.jails) + 1, spec: spec}
	j.target = jailTarget(j.id)
	if err := os.Mkdir(j.target, 0o755); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			j.release()
			err = errors.Join(err, killAll(), ignoreInvalid(unmountTree(j.target)))
		}
	}()
	if err := p.mountRoot(j, &spec.Root, trees); err != nil {
		return nil, err
	}
	if j.root, err = openPath(j.target); err != nil {
		return nil, err
	}
	for _, m := range holderMounts(spec) {
		if spec.Caller != nil && spec.Caller.UID == 0 {
			m.Owner = callerID
		}
		if err := applyMount(j.root, p.host, m, trees); err != nil {
			return nil, err
		}
	}
	if err := p.hideFrom(spec.Caller); err != nil {
		return nil, err
	}
	notes, err := p.startHelper(j, spec)
	if err != nil {
		return nil, err
	}
	p.jails = append(p.jails, j)
	p.open = j
	return &message{Jail: j.id, Notes: notes, Plain: j.plain || spec.Root.Dir != ""}, nil
}

// startHelper clones the helper into J and has it finish the jail from inside.
func (p *pid1) startHelper(j *openJail, spec *Spec) ([]string, error) {
	m, files, err := p.cloneHelper(&j.helper, &j.pid,
		&message{Op: opSetup, Spec: spec, Root: j.target})
	if err != nil {
		return nil, err
	}
	if len(files) == 1 {
		j.pts = files[0]
	} else {
		closeFiles(files)
	}
	return m.Notes, m.Err.error()
}

// cloneHelper clones a helper into namespaces of its own, gives it its task and returns its answer.
// Its socket and pid are stored as soon as there are any.
func (p *pid1) cloneHelper(helper **conn, pid *int, task *message) (*message, []*os.File, error) {
	ours, theirs, err := socketpair()
	if err != nil {
		return nil, nil, err
	}
	defer theirs.Close()
	if *helper, err = newConn(ours); err != nil {
		return nil, nil, err
	}
	count, err := jailIDCount()
	if err != nil {
		return nil, nil, err
	}
	spec := task.Spec
	uids, gids := jailIDs(count, spec.Caller)
	flags := uintptr(
		syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS)
	if spec.Network != NetworkHost {
		flags |= syscall.CLONE_NEWNET
	}
	group, err := openGroup(p.group)
	if err != nil {
		return nil, nil, err
	}
	attr := &syscall.SysProcAttr{
		Cloneflags: flags, UidMappings: uids, GidMappings: gids, GidMappingsEnableSetgroups: true,
		Credential: &syscall.Credential{}, Setsid: true,
	}
	joinGroup(group, attr)
	own, done, err := p.self.forJail()
	if err != nil {
		return nil, nil, err
	}
	defer done()
	p.mu.Lock()
	err = withTaskLimit(p.limits.PIDs, func() error {
		*pid, err = own.forkExec(helperName, nil, []uintptr{p.null.Fd(), p.null.Fd(), p.null.Fd(),
			theirs.Fd()}, &syscall.ProcAttr{Dir: "/", Env: quickStart, Sys: attr})
		return err
	})
	if err == nil {
		p.helpers[*pid] = true
		delete(p.lostHelpers, *pid) // an earlier one of that number
	}
	p.mu.Unlock()
	theirs.Close() // with another end open, the helper's death would not be an end of file
	if group != nil {
		group.Close()
	}
	if err != nil {
		return nil, nil, sysErr("starting the jail's helper", "", err)
	}
	task.Limits = &p.limits
	m, files, err := ask(*helper, helperPatience, func() bool { return heldInside(*pid) }, task,
		own.files()...)
	if err != nil {
		return nil, nil, p.helperLost(*pid, *helper, err)
	}
	return m, files, nil
}

// jailIDCount is how many jail ids H has from 0 on.
func jailIDCount() (int, error) {
	extents, err := readExtents("/proc/self/uid_map")
	if err != nil {
		return 0, err
	}
	for _, e := range extents {
		if e.first == 0 {
			return int(e.count), nil
		}
	}
	return 0, errors.New("the sandbox has no ids for its jail")
}

// stopJail ends every process of the open jail. Its root stays mounted, and nothing changes in it
// any more.
func (p *pid1) stopJail(id int) ([]Stray, error) {
	j := p.open
	if j == nil || j.id != id {
		return nil, errors.New("this jail is not open")
	}
	if j.helper == nil {
		return nil, nil
	}
	strays, err := listStrays(p.ours())
	if err != nil {
		return nil, err
	}
	j.helper.close()
	j.helper = nil
	if j.online != nil {
		j.online.close()
		j.online = nil
	}
	return strays, killAll()
}

// closeJail unmounts a stopped jail.
func (p *pid1) closeJail(id int) error {
	j := p.open
	if j == nil || j.id != id || j.helper != nil {
		return errors.New("this jail is not open, or not stopped")
	}
	p.open = nil
	j.release()
	return unmountTree(j.target)
}

func (j *openJail) release() {
	for _, c := range []*conn{j.helper, j.online} {
		if c != nil {
			c.close()
		}
	}
	for _, f := range []*os.File{j.root, j.pts} {
		if f != nil {
			f.Close()
		}
	}
}

// killAll kills everything else in the PID namespace and waits until it is gone. As PID 1 we own
// them all, nested PID namespaces included.
func killAll() error {
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

// descriptors lists fds for ForkExec.
func descriptors(files []*os.File) []uintptr {
	fds := make([]uintptr, len(files))
	for i, f := range files {
		fds[i] = f.Fd()
	}
	return fds
}
