package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"

	"nsbuild/internal/fault"
	"nsbuild/internal/pump"
	"nsbuild/internal/sandbox/wire"
)

// Jail is one open jail of a holder.
type Jail struct {
	h     *link
	id    int
	plain bool
	notes []string
}

// NewJail opens a jail. The previous jail of the holder must have been closed.
func (h *Holder) NewJail(ctx context.Context, spec Spec) (*Jail, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	if (spec.Root.Dir == "") == (len(spec.Root.Lowers) == 0) {
		return nil, errors.New("opening a jail: its root must be either a directory or layers")
	}
	if spec.Hostname == "" {
		spec.Hostname = "nsbuild"
	}
	if spec.Network == "" {
		spec.Network = NetworkNone
	}
	spec.Personality32 = spec.Personality32 || h.personality32
	if err := resolvePaths(&spec); err != nil {
		return nil, fmt.Errorf("opening a jail: %w", err)
	}
	notes, trees, err := h.mapTrees(&spec)
	defer wire.CloseFiles(trees)
	if err != nil {
		return nil, fmt.Errorf("opening a jail: %w", err)
	}
	answer, _, err := h.call(&wire.Message{Op: wire.OpJail, Spec: &spec}, trees...)
	if err != nil {
		return nil, h.explainJail(&spec, fmt.Errorf("opening a jail: %w", err))
	}
	h.mu.Lock()
	notes = append(append(h.notes, notes...), answer.Notes...)
	h.notes = nil
	h.mu.Unlock()
	j := &Jail{h: h.link, id: answer.Jail, plain: answer.Plain, notes: notes}
	if spec.Network == NetworkPrivate {
		if err := h.connect(ctx, j); err != nil {
			return nil, err
		}
	}
	return j, nil
}

// resolvePaths makes the host's paths in a specification absolute, without links: PID 1 looks them
// up elsewhere, and later. The caller's own lists stay as they are.
func resolvePaths(spec *Spec) (err error) {
	if spec.Root.Dir != "" {
		if spec.Root.Dir, err = resolve(spec.Root.Dir); err == nil {
			err = CheckExec(spec.Root.Dir)
		}
		if err != nil {
			return err
		}
	}
	for _, dir := range []*string{&spec.Root.Seed, &spec.Root.Upper} {
		if *dir == "" {
			continue
		}
		if *dir, err = resolve(*dir); err != nil {
			return err
		}
	}
	spec.Root.Lowers = slices.Clone(spec.Root.Lowers)
	for i := range spec.Root.Lowers {
		if l := &spec.Root.Lowers[i]; l.Path != "" {
			if l.Path, err = resolve(l.Path); err != nil {
				return err
			}
		}
	}
	spec.Mounts = slices.Clone(spec.Mounts)
	for i := range spec.Mounts {
		m := &spec.Mounts[i]
		if (m.Type == "bind" || m.Type == "rbind") && !m.NoLinks {
			if m.Source, err = resolve(m.Source); err != nil {
				return fmt.Errorf("mounting on %s: %w", m.Target, err)
			}
		}
		if m.Overlay != nil {
			if m.Overlay, err = prepareOverlay(*m.Overlay); err != nil {
				return fmt.Errorf("mounting on %s: %w", m.Target, err)
			}
		}
	}
	return nil
}

// ID names the jail among those of its holder; see Lower.Jail.
func (j *Jail) ID() int { return j.id }

// Plain tells whether a file's device number is that of its mount, as in a plain directory.
func (j *Jail) Plain() bool { return j.plain }

// Notes are what the jail had to do without, one line each, for the log.
func (j *Jail) Notes() []string { return j.notes }

// Run runs a command and waits for it. A command that could not be started is an error (with
// errors.Is, fs.ErrNotExist and fs.ErrPermission tell 127 from 126); one that failed is a Status.
func (j *Jail) Run(ctx context.Context, c Command) (Status, error) {
	p, err := j.Start(c)
	if err != nil {
		return Status{}, err
	}
	return p.Wait(ctx)
}

// RunTo runs a command as Run does and copies its standard output and standard error to a writer
// each; they may be the same. It returns when the command has ended and its output was read; what
// its leftover processes say later is lost.
func (j *Jail) RunTo(ctx context.Context, c Command, stdout, stderr io.Writer) (Status, error) {
	var pumps []*pump.Pump
	begin := func(to io.Writer) (*os.File, error) {
		p, err := pump.Start(to)
		if err != nil {
			return nil, err
		}
		pumps = append(pumps, p)
		return p.W, nil
	}
	var err error
	if c.Stdout, err = begin(stdout); err == nil {
		c.Stderr = c.Stdout
		if stderr != stdout {
			c.Stderr, err = begin(stderr)
		}
	}
	var p *Process
	if err == nil {
		p, err = j.Start(c)
	}
	for _, said := range pumps {
		said.W.Close()
	}
	var status Status
	if err == nil {
		status, err = p.Wait(ctx)
	}
	for _, said := range pumps {
		err = errors.Join(err, said.Finish())
	}
	return status, err
}

// Process is a running command.
type Process struct {
	h      *link
	handle int
	status <-chan ending
	paused <-chan struct{}
}

// Start starts a command. Its descriptors are duplicated: the caller closes its own.
func (j *Jail) Start(c Command) (*Process, error) {
	if len(c.Argv) == 0 && c.Applet == "" {
		return nil, errors.New("starting a command: it has no name")
	}
	if err := refuseDirectories(&c); err != nil {
		return nil, err
	}
	handle, status, err := j.h.start(wire.OpExec, c)
	if err != nil {
		return nil, err
	}
	j.h.mu.Lock()
	defer j.h.mu.Unlock()
	return &Process{j.h, handle, status, j.h.pauses[handle]}, nil
}

// refuseDirectories looks at what a command is to be given: ".." of a host's directory leads to the
// host's tree, and a jail can look into the descriptors of its processes.
func refuseDirectories(c *Command) error {
	names := []string{"standard input", "standard output", "standard error"}
	for i, f := range append([]*os.File{c.Stdin, c.Stdout, c.Stderr}, c.Files...) {
		if f == nil {
			continue
		}
		st, err := f.Stat()
		if err != nil {
			return fmt.Errorf("starting a command: %w", err)
		}
		if st.IsDir() {
			name := "a descriptor"
			if i < len(names) {
				name = names[i]
			}
			return fault.New(fault.Usage, "redirect it from a file, or from /dev/null",
				"%s is a directory: a command could leave the jail through it", name)
		}
	}
	return nil
}

// Wait waits for the command's end. When ctx ends first its process group is killed.
func (p *Process) Wait(ctx context.Context) (Status, error) {
	return p.h.wait(ctx, p.handle, p.status)
}

// Paused is told when a command on a terminal was stopped, by Ctrl-Z or by a signal. SIGCONT lets
// it go on.
func (p *Process) Paused() <-chan struct{} { return p.paused }

// Signal sends a signal to the command's process group.
func (p *Process) Signal(sig syscall.Signal) error {
	_, _, err := p.h.call(&wire.Message{Op: wire.OpSignal, Handle: p.handle, Signal: int(sig)})
	return err
}

// Open opens a regular file or a directory beneath the jail's root for reading. path is relative to
// the root; no symbolic link on the way is followed.
func (j *Jail) Open(path string) (*os.File, error) {
	return j.file(&wire.Message{Op: wire.OpOpen, Jail: j.id, Path: path})
}

// Create makes a new file beneath the jail's root, owned by a jail id, and opens it for writing. It
// refuses to follow symbolic links and to overwrite.
func (j *Jail) Create(path string, mode os.FileMode, uid, gid int) (*os.File, error) {
	return j.file(
		&wire.Message{Op: wire.OpCreate, Jail: j.id, Path: path, Mode: uint32(mode.Perm()),
			UID: uid, GID: gid})
}

// Mkdir makes a directory beneath the jail's root, with its missing parents (those belong to jail
// root, mode 0755).
func (j *Jail) Mkdir(path string, mode os.FileMode, uid, gid int) error {
	_, _, err := j.h.call(
		&wire.Message{Op: wire.OpMkdir, Jail: j.id, Path: path, Mode: uint32(mode.Perm()),
			UID: uid, GID: gid})
	return err
}

// Symlink makes a symbolic link beneath the jail's root, owned by jail root. target is taken as it
// is.
func (j *Jail) Symlink(target, path string) error {
	_, _, err := j.h.call(&wire.Message{Op: wire.OpLink, Jail: j.id, Path: path, Target: target})
	return err
}

func (j *Jail) file(m *wire.Message) (*os.File, error) {
	_, files, err := j.h.call(m)
	if err != nil {
		return nil, err
	}
	if len(files) != 1 {
		wire.CloseFiles(files)
		return nil, fmt.Errorf("%s %s: %d descriptors came back instead of one", m.Op, m.Path,
			len(files))
	}
	return files[0], nil
}

// Strays lists what runs in the jail besides the commands that were started and have not ended:
// what Stop would kill. For a caller that closes the holder next, for which the kernel kills all at
// once.
func (j *Jail) Strays() ([]Stray, error) {
	answer, _, err := j.h.call(&wire.Message{Op: wire.OpStrays, Jail: j.id})
	if err != nil {
		return nil, fmt.Errorf("listing a jail's processes: %w", err)
	}
	return answer.Strays, nil
}

// Stop ends the jail's processes: it lists what still runs, and kills it. Open goes on working, on
// files that nobody can change any more. A second call lists nothing.
func (j *Jail) Stop() ([]Stray, error) {
	answer, _, err := j.h.call(&wire.Message{Op: wire.OpStop, Jail: j.id})
	if err != nil {
		return nil, fmt.Errorf("stopping a jail: %w", err)
	}
	return answer.Strays, nil
}

// Sweep ends what the jail's commands have left running, and lists it; the jail goes on. A command
// that has not ended yet is spared, but not what it has started.
func (j *Jail) Sweep() ([]Stray, error) {
	answer, _, err := j.h.call(&wire.Message{Op: wire.OpSweep, Jail: j.id})
	if err != nil {
		return nil, fmt.Errorf("ending what was left running: %w", err)
	}
	return answer.Strays, nil
}

// Close stops the jail and unmounts its root. The upper directory stays, frozen, as a possible
// lower of the next jail.
func (j *Jail) Close() ([]Stray, error) {
	strays, err := j.Stop()
	if err != nil {
		return nil, err
	}
	if _, _, err := j.h.call(&wire.Message{Op: wire.OpClose, Jail: j.id}); err != nil {
		return nil, fmt.Errorf("closing a jail: %w", err)
	}
	return strays, nil
}
