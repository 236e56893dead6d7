package hook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"sync"
	"time"

	"nsbuild/internal/jails"
	"nsbuild/internal/sandbox"
)

// Places in the jail. pbuilder's hooks know theirs.
const (
	ownDir      = "/run/nsbuild-hooks"
	filesDir    = ownDir + "/files"
	stateDir    = ownDir + "/state"
	cacheDir    = ownDir + "/cache"
	logFile     = ownDir + "/log"
	envFile     = ownDir + "/env"
	pbuilderDir = "/tmp/hooks"
)

// CacheDir is where a jail shows what a hook keeps from one build to the next.
func CacheDir(name string) string { return path.Join(cacheDir, name) }

// where is the directory's place in the jail.
func (d *dir) where() string {
	if d.pbuilder {
		return pbuilderDir
	}
	return path.Join(filesDir, d.name)
}

// state is a directory that lasts as long as the jail's root, for hooks of later stages.
func (d *dir) state() string { return path.Join(stateDir, d.name) }

// Runner runs the hooks of one stage in an open jail.
type Runner struct {
	Set     *Set
	Jail    jails.Jail
	Out     io.Writer // what hooks print
	Log     Logger
	Context Context
	// Install installs packages that hooks want, by their relations. nil: it cannot be done here.
	Install func(ctx context.Context, relations string) error
	// Terminal runs a command on the caller's terminal. nil: there is none.
	Terminal func(ctx context.Context, c sandbox.Command) (sandbox.Status, error)
	// Source is the log so far, for hooks that want it.
	Source func() (io.ReadCloser, error)
}

// Logger takes lines about hooks.
type Logger interface {
	Subsection(title string)
	Info(format string, args ...any)
	Warning(format string, args ...any)
}

// Run is how one hook ended.
type Run struct {
	Hook    *Hook
	Begin   time.Time
	Seconds float64
	Status  sandbox.Status
	Network bool
	Strays  []sandbox.Stray
	Err     error // what else went wrong: it could not be started, or took too long
}

// Outcome is "success", or why not.
func (r *Run) Outcome() string {
	switch {
	case r.Err != nil:
		return r.Err.Error()
	case !r.Status.Success():
		return r.Status.String()
	}
	return "success"
}

// errTimeout is the cause of a hook's end that takes longer than it may.
var errTimeout = errors.New("it took too long")

// Run runs the hooks of a stage, one after the other, up to the first that fails. What they leave
// running is ended and named. It returns what ran, and the lines that before-build hooks have
// written for the environment of the build.
func (r *Runner) Run(ctx context.Context, stage Stage) (ran []Run, env []string, err error) {
	hooks := r.Set.At(stage)
	if len(hooks) == 0 {
		return nil, nil, nil
	}
	r.Log.Subsection(stage.Title())
	if r.Set.Network {
		r.Log.Info("Hooks have the host's network (--hook-network); the build has none.")
	}
	if err := r.place(ctx, hooks); err != nil {
		return nil, nil, err
	}
	for _, h := range hooks {
		run := r.one(ctx, h)
		ran = append(ran, run)
		if ctx.Err() != nil {
			return ran, nil, context.Cause(ctx)
		}
		for _, s := range run.Strays {
			r.Log.Warning("hook %s left a process, which was ended: %s", h.Name, s.Command)
		}
		if run.Err != nil || !run.Status.Success() {
			if h.command != "" {
				return ran, nil, fmt.Errorf("command %q failed: %s", h.command, run.Outcome())
			}
			return ran, nil, fmt.Errorf("hook %s failed: %s", h.Name, run.Outcome())
		}
		r.Log.Info("Finished running '%s'.", h.Name)
	}
	if stage == BeforeBuild {
		if env, err = r.environment(); err != nil {
			return ran, nil, err
		}
	}
	return ran, env, r.clean(ctx)
}

// one runs one hook to its end, and then ends what it left.
func (r *Runner) one(ctx context.Context, h *Hook) Run {
	run := Run{Hook: h, Begin: time.Now(), Network: r.Set.Network}
	run.Status, run.Err = r.start(ctx, h, &run)
	strays, err := r.Jail.Sweep()
	run.Strays = strays
	run.Err = errors.Join(run.Err, err)
	run.Seconds = time.Since(run.Begin).Seconds()
	return run
}

func (r *Runner) start(ctx context.Context, h *Hook, run *Run) (sandbox.Status, error) {
	c := sandbox.Command{Env: r.Context.environment(h, r.Set.Network), Dir: r.Context.SourceDir}
	if r.Set.Network {
		c.Network = sandbox.NetworkHost
	}
	ask := h.Stage.Failure()
	if h.dir != nil {
		c.Argv = []string{path.Join(h.dir.where(), h.file)}
		if h.dir.pbuilder {
			c.Dir = "/"
		}
	} else {
		c.Argv = []string{"/bin/sh", "-c", r.Context.expand(h.command, false)}
		c.Dir = r.Context.BuildDir
		ask = ask || interactive(h.command)
	}
	dir, err := r.Jail.Open(c.Dir)
	if err == nil {
		err = dir.Close()
	}
	if err != nil {
		c.Dir = "/" // it is not there yet, or the build has taken it away
	}
	if ask && r.Terminal != nil {
		// A person may take her time, and needs a terminal in the jail, which has no network.
		c.Network, run.Network = "", false
		return r.Terminal(ctx, c)
	}
	if r.Set.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, r.Set.Timeout, errTimeout)
		defer cancel()
	}
	status, err := r.Jail.RunTo(ctx, c, r.Out, r.Out)
	if errors.Is(err, errTimeout) {
		err = fmt.Errorf("%w: it was ended after %v (--hook-timeout)", errTimeout, r.Set.Timeout)
	}
	var failed *sandbox.Error
	if errors.As(err, &failed) && failed.Op == "exec" && errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w (or its interpreter is not in the jail)", err)
	}
	return status, err
}

// place puts the files of hooks into the jail, afresh for each stage: what ran in between may have
// changed them.
func (r *Runner) place(ctx context.Context, hooks []*Hook) error {
	if err := r.clean(ctx); err != nil {
		return err
	}
	for _, d := range dirs(hooks) {
		if err := r.placeDir(d); err != nil {
			return fmt.Errorf("bringing the hooks of %s into the jail: %w", d.where(), err)
		}
		if d.conf.depends == "" {
			continue
		}
		if r.Install == nil {
			return fmt.Errorf(
				"hook %s needs packages (%s), which cannot be installed at this stage", d.name,
				d.conf.depends)
		}
		if err := r.Install(ctx, d.conf.depends); err != nil {
			return fmt.Errorf("installing what hook %s needs: %w", d.name, err)
		}
	}
	return nil
}

func (r *Runner) placeDir(d *dir) error {
	made := map[string]bool{}
	for _, f := range d.all {
		parent := path.Join(d.where(), path.Dir(f.name))
		if !made[parent] {
			if err := r.Jail.Mkdir(parent, 0o755, 0, 0); err != nil &&
				!errors.Is(err, fs.ErrExist) {
				return err
			}
			made[parent] = true
		}
		if err := r.placeFile(d, f, path.Join(d.where(), f.name)); err != nil {
			return err
		}
	}
	if d.pbuilder {
		return nil
	}
	if err := r.Jail.Mkdir(d.state(), 0o700, 0, 0); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if !d.conf.log || r.Source == nil {
		return nil
	}
	in, err := r.Source()
	if err != nil {
		return err
	}
	return errors.Join(r.fill(logFile, 0o644, in), in.Close())
}

func (r *Runner) placeFile(d *dir, f file, to string) error {
	in, err := d.files.Open(f.name)
	if err != nil {
		return err
	}
	mode := fs.FileMode(0o644)
	if f.exec {
		mode = 0o755
	}
	return errors.Join(r.fill(to, mode, in), in.Close())
}

func (r *Runner) fill(to string, mode fs.FileMode, in io.Reader) error {
	out, err := r.Jail.Create(to, mode, 0, 0)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// clean takes away what place brought: the root of a stage before the dependencies lies below the
// build's.
func (r *Runner) clean(ctx context.Context) error {
	status, err := r.Jail.RunTo(ctx,
		sandbox.Command{Argv: []string{"rm", "-rf", pbuilderDir, filesDir, logFile, envFile}},
		io.Discard, io.Discard)
	if err == nil && !status.Success() {
		err = fmt.Errorf("deleting the hooks in the jail: %s", status)
	}
	return err
}

// maxEnv bounds what hooks may add to the environment of a build, in bytes.
const maxEnv = 64 << 10

var variable = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=`)
})

// Forget deletes what hooks keep for later stages, where the root outlives them.
func (r *Runner) Forget(ctx context.Context) error {
	status, err := r.Jail.RunTo(ctx, sandbox.Command{Argv: []string{"rm", "-rf", stateDir}},
		io.Discard, io.Discard)
	if err == nil && !status.Success() {
		err = fmt.Errorf("deleting what hooks keep in the jail: %s", status)
	}
	return err
}

// environment reads what before-build hooks wrote to $NSBUILD_ENV: lines NAME=VALUE.
func (r *Runner) environment() ([]string, error) {
	f, err := r.Jail.Open(envFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading what hooks wrote to NSBUILD_ENV: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxEnv+1))
	if err == nil && len(text) > maxEnv {
		err = fmt.Errorf("it is longer than %d bytes", maxEnv)
	}
	var env []string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if !variable().MatchString(line) || strings.ContainsRune(line, 0) {
			err = errors.Join(err, fmt.Errorf("%q is not NAME=VALUE", line))
		}
		env = append(env, line)
	}
	if err != nil {
		return nil, fmt.Errorf("reading what hooks wrote to NSBUILD_ENV: %w", err)
	}
	return env, nil
}
