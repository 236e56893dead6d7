// Package copies makes copies of packages that are unpacked more quickly. Packages are compressed
// for the mirror's sake, and xz takes longer to unpack than everything else that is done with them.
// So a copy is kept beside each, made by a process of its own while a command waits for other
// things. docs/adr/0011-copies.md tells why so.
//
// What a copy is like, and where it lies, is left to internal/archive.
package copies

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"nsbuild/internal/archive"
	"nsbuild/internal/archive/pool"
	"nsbuild/internal/budget"
	"nsbuild/internal/rawjson"
	"nsbuild/internal/sandbox"
)

// Applet is the name of the process that makes copies, and Main its function.
const Applet = "copies"

// job is what the process is told, as JSON on its standard input. It works until it is done or
// its input ends, which is when nsbuild does, however.
type job struct {
	CacheDir string
	Form     pool.CopyForm
	Digests  []string // these first
	All      bool     // then whatever else has no copy
}

// roomLeft is how much of a disk copies leave free, in bytes.
const roomLeft = 1 << 30

// Main makes copies, on processor time that nobody else wants.
func Main([]string) int {
	// Packages are unpacked in a few large buffers: they cost nothing to look through, and those
	// left over would be most of the process.
	debug.SetGCPercent(25)
	if err := makeCopies(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func makeCopies(in io.Reader) error {
	if err := stepBack(); err != nil {
		return err
	}
	var j job
	if err := rawjson.NewDecoder(in).Decode(&j); err != nil {
		return fmt.Errorf("reading what to copy: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, in) // its end is what counts
		cancel()
	}()
	client, err := archive.NewClient(archive.Options{CacheDir: j.CacheDir, Offline: true})
	if err != nil {
		return err
	}
	defer client.Close()
	if err := copyEach(ctx, client, j.CacheDir, j.Digests, j.Form); err != nil || !j.All {
		return err
	}
	rest, err := client.Copies.AllMissing(j.Form)
	if err != nil {
		return err
	}
	return copyEach(ctx, client, j.CacheDir, rest, j.Form)
}

// copyEach makes copies until there is no more time or no more room.
func copyEach(ctx context.Context, client *archive.Client, cacheDir string, digests []string,
	form pool.CopyForm) error {
	for _, digest := range digests {
		free, err := budget.FreeSpace(cacheDir)
		if err != nil || free < roomLeft {
			return err
		}
		err = client.Copies.Make(ctx, digest, form)
		switch {
		case errors.Is(err, context.Canceled):
			return nil
		case errors.Is(err, os.ErrNotExist): // deleted meanwhile; nothing to do
		case err != nil:
			return err
		}
	}
	return nil
}

// stepBack gives this process the priority of one that may use only what is left. Where the kernel
// groups processes by session (sched(7), autogroup), a session of its own is part of that, with a
// low weight; else half a processor would go to it.
func stepBack() error {
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, 19); err != nil {
		return fmt.Errorf("setting the priority: %w", err)
	}
	// Each thread has its own. Those that the runtime starts later take over their maker's.
	for seen := map[string]bool{}; ; {
		before := len(seen)
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		for _, t := range threads {
			if seen[t.Name()] {
				continue
			}
			seen[t.Name()] = true
			tid, err := strconv.Atoi(t.Name())
			if err == nil {
				err = unix.SchedSetAttr(tid,
					&unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE,
						Nice: 19}, 0)
			}
			if err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("setting the priority: %w", err)
			}
		}
		if len(seen) == before {
			break
		}
	}
	err := os.WriteFile("/proc/self/autogroup", []byte("19"), 0)
	// not compiled in, or switched off
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.EIO) {
		err = nil
	}
	return err
}

// copying is a process that makes copies.
type copying struct {
	cmd  *exec.Cmd
	in   io.Closer
	said bytes.Buffer
	done chan error
}

// Maker makes copies for the builds of one command: one process at a time is enough.
type Maker struct {
	CacheDir string
	Grown    *atomic.Bool // set when copies may have been added to the cache
	busy     atomic.Bool
}

// Start makes copies beside what else is done, until stop is called or nsbuild ends. That none can
// be made harms nothing but speed.
func (m *Maker) Start(log logrus.FieldLogger, digests []string, form pool.CopyForm) (
	stop func()) {
	if len(digests) == 0 || !m.busy.CompareAndSwap(false, true) {
		return func() {}
	}
	digests = digests[:min(len(digests), copyOrder)]
	c, err := run(job{CacheDir: m.CacheDir, Form: form, Digests: digests,
		All: form == pool.CopyZstd})
	if err != nil {
		m.busy.Store(false)
		log.Debugf("making copies of packages: %v", err)
		return func() {}
	}
	m.Grown.Store(true)
	return func() {
		defer m.busy.Store(false)
		if err := c.stop(); err != nil {
			log.Debugf("making copies of packages: %v: %s", err,
				strings.TrimSpace(c.said.String()))
		}
	}
}

// Beside makes copies beside one build.
type Beside struct {
	Maker *Maker
	Log   logrus.FieldLogger
	stop  func()
}

// Start begins to make copies, and ends what makes others.
func (b *Beside) Start(digests []string, form pool.CopyForm) {
	b.Stop()
	b.stop = b.Maker.Start(b.Log, digests, form)
}

// Stop ends the making of copies.
func (b *Beside) Stop() {
	if b.stop != nil {
		b.stop()
	}
	b.stop = nil
}

func run(j job) (*copying, error) {
	text, err := rawjson.Marshal(j)
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	c := &copying{cmd: sandbox.HostApplet(Applet), in: w, done: make(chan error, 1)}
	c.cmd.Env = []string{"GOMAXPROCS=1", "GOGC=50", "GOMEMLIMIT=20MiB"}
	c.cmd.Stdin, c.cmd.Stderr = r, &c.said
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = c.cmd.Start()
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	go func() { c.done <- c.cmd.Wait() }()
	if _, err := w.Write(append(text, '\n')); err != nil {
		return nil, errors.Join(err, c.stop())
	}
	return c, nil
}

// copyOrder is how many packages are named: all of them must fit into the pipe at once, for the
// process reads when it gets time. The others are among the rest.
const copyOrder = 500

// copyGrace is how long the end of a process is waited for that may run only when nobody else wants
// to.
const copyGrace = 200 * time.Millisecond

// stop ends the process. Half a copy is its own to delete; where it gets no time for that, the next
// run does.
func (c *copying) stop() error {
	err := c.in.Close()
	select {
	case ended := <-c.done:
		return errors.Join(err, ended)
	case <-time.After(copyGrace):
	}
	if killErr := c.cmd.Process.Kill(); killErr != nil && !errors.Is(killErr, os.ErrProcessDone) {
		return errors.Join(err, killErr)
	}
	var killed *exec.ExitError
	if ended := <-c.done; !errors.As(ended, &killed) {
		err = errors.Join(err, ended)
	}
	return err
}

// All makes all copies that are missing, now.
func All(ctx context.Context, client *archive.Client) (made int, err error) {
	digests, err := client.Copies.AllMissing(pool.CopyZstd)
	if err != nil {
		return 0, err
	}
	machine, err := budget.Read()
	if err != nil {
		return 0, err
	}
	var done atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(machine.Processors)
	for _, digest := range digests {
		group.Go(func() error {
			err := client.Copies.Make(ctx, digest, pool.CopyZstd)
			if errors.Is(err, os.ErrNotExist) {
				return nil
			}
			if err == nil {
				done.Add(1)
			}
			return err
		})
	}
	err = group.Wait()
	return int(done.Load()), err
}
