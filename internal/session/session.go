// Package session runs the commands of people in jails: over a base or a directory of the host, as
// a user of the jail, on a terminal of the jail's own or with the caller's pipes.
//
// Bases are internal/base's, mounts and processes internal/sandbox's, the caller's terminal
// internal/console's; flags and exit statuses are cmd/nsbuild's. What belongs to building packages
// is internal/pkgbuild's.
package session

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"

	"nsbuild/internal/base"
	"nsbuild/internal/budget"
	"nsbuild/internal/console"
	"nsbuild/internal/fault"
	"nsbuild/internal/fstab"
	"nsbuild/internal/jails"
	"nsbuild/internal/machine"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/strays"
)

// Options say what command to run, where, and how. Exactly one of Base and Root is set.
type Options struct {
	Base     string
	Root     string // a host directory
	Overlay  bool   // throw away what is written to Root
	ReadOnly bool
	Force    bool // use a Root that is dangerous

	Argv     []string // none: a login shell
	User     string   // name or number in the jail; root when empty
	Group    string
	Groups   []string // nil: those that the jail's /etc/group says
	Dir      string
	Env      []string // KEY=VALUE, over the defaults
	PID1     bool     // the command is PID 1 of a PID namespace of its own
	Hostname string

	Fstab   string
	Mounts  []fstab.Mount
	Network sandbox.Network

	// Files are shown in a throwaway root that has the directories for them.
	Files []File

	HostUsers bool // the jail gets those users and groups of the host that it has not

	Limits sandbox.Limits

	Timeout   time.Duration // 0: none
	KillAfter time.Duration // after the first signal that asks the command to end; 0: never
	Strays    strays.Policy
	Verbose   bool // list also what strays.Kill ends

	Stdin, Stdout, Stderr *os.File `json:"-"`
	// Signals are passed on to the command.
	Signals <-chan os.Signal `json:"-"`

	// Begun is the sandbox's PID 1, started beforehand; Run starts one when it is nil.
	Begun *sandbox.Beginning `json:"-"`

	Store    *base.Store `json:"-"`
	StateDir string
	IDs      func() (sandbox.IDMap, error) `json:"-"` // of a Root
	// where throwaway layers are kept when they cannot be on a tmpfs
	Fallback string
	// Under, when set, makes further layers over the base, topmost first, on which the command then
	// runs.
	Under func(context.Context, jails.Holder, *base.Generation) ([]sandbox.Lower,
		error) `json:"-"`
	Hooks Hooks `json:"-"`
	// the hooks of a session that begins, for its supervisor
	Named *Named
	// Keep, when set, is given what the command has left of its root, once it has ended and all
	// that it left running, too.
	Keep func(context.Context, Left) error `json:"-"`
	Log  logrus.FieldLogger                `json:"-"`

	attention *attention  // who heeds the signals, between the beginning of a run and its end
	early     []os.Signal // that have come before the command began

	exposed exposures // what others can reach of what the jail may change

	asked  []fstab.Mount    // of the fstab and the command line, once they are read
	arch   string           // of the base, once it is known
	base   *base.Generation // once it is in use
	lowers []sandbox.Lower  // that the root was made of
}

// Left is a root after its command, over a base that is still in use.
type Left struct {
	Base   *base.Generation
	Holder jails.Holder
	Lowers []sandbox.Lower // what the command has changed, and the layers below it, topmost first
	Status sandbox.Status
}

// Run runs a command in a jail of its own, and ends all that it left running.
func Run(ctx context.Context, o Options) (sandbox.Status, error) {
	// The jail ends with the context, and with this process.
	return o.attended(ctx, func() {}, o.run)
}

func (o *Options) run(ctx context.Context) (status sandbox.Status, err error) {
	r, err := o.open(ctx)
	if err != nil {
		return status, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	o.tellNotes(r.notes, r.holder.Spared())
	if err := o.runHooks(ctx, r.jail, hookLog{o.Log}); err != nil {
		return status, err
	}
	o.attention.deadline(o.Timeout)
	if status, err = o.runIn(ctx, r.jail); err != nil {
		return status, err
	}
	exhausted, err := r.holder.Exhausted()
	if err != nil {
		return status, err
	}
	o.tellExhausted(exhausted, status)
	if err := o.end(r.jail); err != nil || o.Keep == nil {
		return status, err
	}
	if _, err := r.jail.Close(); err != nil {
		return status, err
	}
	return status,
		o.Keep(ctx,
			Left{Base: o.base, Holder: jails.HolderOf(r.holder),
				Lowers: append([]sandbox.Lower{{Jail: r.jail.ID()}}, o.lowers...), Status: status})
}

// tellNotes tells what a jail does without, and which limits do not hold as they were asked for.
func (o *Options) tellNotes(notes, spared []string) {
	for _, n := range notes {
		o.Log.Warn(n)
	}
	for _, n := range spared {
		o.Log.WithField(fault.Shown, true).Warn(n)
	}
}

// tellExhausted names what was killed because memory ran out, if anything was.
func (o *Options) tellExhausted(e *sandbox.Exhaustion, status sandbox.Status) {
	if e == nil {
		return
	}
	if len(e.Victims) == 0 && e.Kills == 1 && status.ExitCode() == 128+int(syscall.SIGKILL) {
		e.Victims = []sandbox.Victim{{Command: "the command", Memory: status.MaxRSS}}
	}
	o.Log.Error(e)
}

// room is an open jail, with what it needs.
type room struct {
	holder  *sandbox.Holder
	jail    *sandbox.Jail
	notes   []string // for the user
	release func() error
}

func (r *room) close() error { return errors.Join(r.holder.Close(), r.release()) }

// open opens the jail.
func (o *Options) open(ctx context.Context) (_ *room, err error) {
	spec := sandbox.Spec{Hostname: o.Hostname, Network: o.Network,
		Root: sandbox.Root{ReadOnly: o.ReadOnly}}
	ids, release, err := o.chooseRoot(&spec)
	if err != nil {
		return nil, err
	}
	r := &room{release: release}
	defer func() {
		if err != nil {
			if r.holder != nil {
				err = errors.Join(err, r.holder.Close())
			}
			err = errors.Join(err, release())
		}
	}()
	if o.HostUsers {
		placeCaller(&spec)
	}
	if r.notes, err = o.mounts(&spec); err != nil {
		return nil, err
	}
	note, err := o.exposed.note()
	if err != nil {
		return nil, err
	}
	if note != "" {
		r.notes = append([]string{note}, r.notes...)
	}
	note, err = o.showResolver(&spec)
	if err != nil {
		return nil, err
	}
	if note != "" {
		r.notes = append(r.notes, note)
	}
	if err := o.showFiles(&spec); err != nil {
		return nil, err
	}
	machineHas, err := budget.Read()
	if err != nil {
		return nil, err
	}
	holder := sandbox.HolderSpec{
		IDs: ids, Limits: o.Limits, FallbackDir: o.Fallback,
		Memory:      filepath.Join(o.StateDir, "kernel.json"),
		ScratchSize: machineHas.Limit / 2, // as of a machine without a limit the kernel gives half
	}
	holder.Inodes32 = o.Root != "" && narrow(o.Root)
	if o.arch != "" {
		if err := machine.Prepare(&holder, o.arch); err != nil {
			return nil, err
		}
	}
	if o.Begun == nil {
		if o.Begun, err = sandbox.Begin(); err != nil {
			return nil, err
		}
	}
	if r.holder, err = o.Begun.Start(ctx, holder); err != nil {
		return nil, err
	}
	if o.Under != nil && o.base != nil {
		layers, err := o.Under(ctx, jails.HolderOf(r.holder), o.base)
		if err != nil {
			return nil, err
		}
		spec.Root.Lowers = append(layers, spec.Root.Lowers...)
	}
	if o.Hooks.any() {
		caches, err := o.Hooks.Mounts(ctx, jails.HolderOf(r.holder))
		if err != nil {
			return nil, err
		}
		spec.Mounts = append(spec.Mounts, caches...)
	}
	spec.KeepNames, o.lowers = o.Keep != nil, spec.Root.Lowers
	if r.jail, err = r.holder.NewJail(ctx, spec); err != nil {
		return nil, o.explain(err)
	}
	r.notes = append(r.notes, r.jail.Notes()...)
	if o.HostUsers {
		if err := addHostUsers(ctx, r.jail); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// runIn runs the command in an open jail.
func (o *Options) runIn(ctx context.Context, jail *sandbox.Jail) (sandbox.Status, error) {
	command, err := o.command(jail)
	if err != nil {
		return sandbox.Status{}, err
	}
	return o.Attach(ctx, jail, command)
}

// explain adds what to do to an error of the kernel's.
func (o *Options) explain(err error) error {
	var failed *sandbox.Error
	if errors.As(err, &failed) {
		for _, m := range o.asked {
			if path.Clean(m.Target) == failed.Path {
				err = place(o.Fstab, m, err)
				break
			}
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fault.Wrap(fault.Internal,
			"make the directory, or mount with x-mount.mkdir, or use --overlay", err)
	}
	return err
}

// chooseRoot fills in the root, and returns the ids of its files and what ends its use.
func (o *Options) chooseRoot(spec *sandbox.Spec) (sandbox.IDMap, func() error, error) {
	if o.Root != "" {
		ids, err := o.IDs()
		if err != nil {
			return ids, nil, err
		}
		note, err := o.hostTree(spec, ids)
		if err != nil {
			return ids, nil, err
		}
		o.Log.Debug(note)
		if spec.Hostname == "" {
			spec.Hostname = hostnameOf(filepath.Base(spec.Root.Dir))
		}
		return ids, func() error { return nil }, nil
	}
	g, err := o.Store.Use(o.Base)
	if err != nil {
		return sandbox.IDMap{}, nil, err
	}
	o.arch, o.base = g.Manifest.Arch, g
	spec.Root.Lowers = []sandbox.Lower{{Path: g.Tree()}}
	if spec.Hostname == "" {
		spec.Hostname = hostnameOf(g.Name)
	}
	return g.Manifest.IDs, g.Close, nil
}

// hostnameOf makes a host name of another name: the kernel takes 64 bytes, programs want letters,
// digits and '-' (hostname(7)).
func hostnameOf(name string) string {
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, name)
	clean = strings.Trim(clean[:min(len(clean), 63)], "-")
	if clean == "" {
		return "nsbuild"
	}
	return clean
}

// command makes the command as the jail's files have it.
func (o *Options) command(jail *sandbox.Jail) (sandbox.Command, error) {
	a, err := lookup(jail, o.User, o.Group, o.Groups)
	if err != nil {
		return sandbox.Command{}, err
	}
	c := sandbox.Command{
		Argv: o.Argv, Dir: o.Dir, UID: a.uid, GID: a.gid, Groups: a.groups, Stdin: o.Stdin,
		Stdout: o.Stdout, Stderr: o.Stderr,
		Terminal: console.IsTerminal(o.Stdin) && console.IsTerminal(o.Stdout), PID1: o.PID1,
	}
	if len(c.Argv) == 0 {
		c.Argv = []string{a.shell, "-l"}
		if c.Dir == "" {
			c.Dir = homeDir(jail, a.home)
		}
	}
	c.Env = o.environment(&a, c.Terminal)
	if hasFakeroot(jail) {
		c.Env = merge([]string{"FAKEROOTDONTTRYCHOWN=1"}, c.Env)
	}
	return c, nil
}

// homeDir is the home, or "/" where there is none.
func homeDir(jail *sandbox.Jail, home string) string {
	f, err := jail.Open(home)
	if err != nil {
		return "/" // as login(1) does
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.IsDir() {
		return "/"
	}
	return home
}

// environment is what login(1) would give; nothing of the caller's but the kind of its terminal,
// and its proxies where it is the caller's network.
func (o *Options) environment(a *account, terminal bool) []string {
	path := "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"
	if a.uid == 0 {
		path = sandbox.DefaultPath
	}
	name := o.Base
	if name == "" {
		name = filepath.Base(o.Root)
	}
	env := []string{
		"PATH=" + path, "HOME=" + a.home, "SHELL=" + a.shell, "USER=" + a.name, "LOGNAME=" + a.name,
		"LANG=C.UTF-8",
		"debian_chroot=" + name, // Debian's prompts show it
	}
	for _, key := range []string{"TERM", "COLORTERM", "NO_COLOR"} {
		if value := os.Getenv(key); value != "" && terminal {
			env = append(env, key+"="+value)
		}
	}
	if o.Network == sandbox.NetworkHost {
		env = append(env, proxies(os.Getenv)...)
	}
	return merge(env, o.Env)
}

// merge replaces and adds variables.
func merge(env, more []string) []string {
	for _, e := range more {
		key, _, _ := strings.Cut(e, "=")
		replaced := false
		for i := range env {
			if strings.HasPrefix(env[i], key+"=") {
				env[i], replaced = e, true
			}
		}
		if !replaced {
			env = append(env, e)
		}
	}
	return env
}

// end deals with what still runs. The kernel ends it with the holder.
func (o *Options) end(jail *sandbox.Jail) error {
	left, err := jail.Strays()
	if err != nil || len(left) == 0 {
		return err
	}
	say := o.Log.Debugf
	if o.Verbose {
		say = o.Log.Infof
	}
	if o.Strays.Shown() {
		say = o.Log.Warnf
	}
	for _, s := range left {
		say("%s", Describe(s))
	}
	if o.Strays == strays.Fail {
		return fault.New(fault.Internal, "--strays=kill ends them without a word",
			"the command left %s running", fault.Count(len(left), "process", "processes"))
	}
	return nil
}

// start starts the command. Signals are for it from now on, unless it does not begin.
func (o *Options) start(jail *sandbox.Jail, c sandbox.Command) (p *sandbox.Process, err error) {
	if o.attention == nil {
		return jail.Start(c)
	}
	defer o.attention.begun()
	o.early = o.attention.leave()
	started := make(chan struct{})
	go func() {
		p, err = jail.Start(c)
		close(started)
	}()
	var late <-chan time.Time
	var asked syscall.Signal
	for {
		select {
		case <-started:
			if err != nil {
				o.attention.heed()
			}
			return p, err
		case s := <-o.Signals:
			o.early = append(o.early, s)
			if sig, ok := s.(syscall.Signal); ok && asksForEnd(s) && asked == 0 {
				asked, late = sig, time.After(grace)
			}
		case <-late:
			o.attention.stop(asked)
		}
	}
}
