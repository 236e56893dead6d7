package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// lab is where the contestants work.
type lab struct {
	settings
	dir  string // everything below it is ours
	kept bool   // the directory stays, with what was prepared
	user string // runs sbuild
	// mounted are directories with mounts in them: chroots by package, and others.
	mounted map[string]string
	mirror  string // URL of the local one
	server  *http.Server
	warmed  bool // the ten packages were built once
}

// openLab makes the directory, installs the peers and builds nsbuild.
func openLab(ctx context.Context, s settings) (_ *lab, err error) {
	l := &lab{settings: s, dir: s.lab, kept: s.lab != "", mounted: map[string]string{}}
	if l.kept {
		if l.dir, err = filepath.Abs(l.dir); err == nil {
			err = os.MkdirAll(l.dir, 0o755)
		}
	} else {
		l.dir, err = os.MkdirTemp(s.work, "bench.")
	}
	if err == nil {
		err = os.Chmod(l.dir, 0o755)
	}
	if err == nil {
		err = l.prepare(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("preparing: %w", err), l.clean())
	}
	return l, nil
}

func (l *lab) prepare(ctx context.Context) error {
	missing := slices.DeleteFunc(peers(l.settings), func(name string) bool {
		out, err := exec.CommandContext(ctx, "dpkg-query", "--showformat=${db:Status-Status}",
			"--show", name).Output()
		return err == nil && string(out) == "installed"
	})
	if len(missing) > 0 {
		l.say("installing %s", strings.Join(missing, ", "))
		if err := l.do(ctx, "apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300",
			"update"); err != nil {
			return err
		}
		if err := l.do(ctx,
			append([]string{"apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", "install",
				"--no-install-recommends"}, missing...)...); err != nil {
			return err
		}
	}
	if l.nsbuild == "" {
		l.nsbuild = l.path("nsbuild")
		l.say("building nsbuild")
		build := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-trimpath", "-o",
			l.nsbuild, "./cmd/nsbuild")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		return l.finish(build)
	}
	var err error
	l.nsbuild, err = filepath.Abs(l.nsbuild)
	return err
}

// clean removes what the lab made, but what is to be kept. Trees of shifted ids are root's to
// remove.
func (l *lab) clean() error {
	var errs []error
	if l.server != nil {
		errs = append(errs, l.server.Close())
	}
	for _, dir := range l.mounted {
		// Not all of them are mounted when something failed: what matters is that the removal below
		// finds nothing of the host.
		_ = exec.Command("umount", "-R", dir).Run()
	}
	if l.user != "" {
		errs = append(errs, exec.Command("userdel", l.user).Run())
	}
	if !l.kept && l.dir != "" {
		errs = append(errs, os.RemoveAll(l.dir))
	}
	return errors.Join(errs...)
}

func (l *lab) path(elem ...string) string {
	return filepath.Join(append([]string{l.dir}, elem...)...)
}

// command is one that the lab runs in its directory, with an environment that holds nothing of the
// caller's but what programs need.
func (l *lab) command(ctx context.Context, argv ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = l.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive",
		"NSBUILD_STATE="+l.path("state"), "NSBUILD_CACHE="+l.path("cache"))
	if temp, ok := l.mounted[disk]; ok {
		cmd.Env = append(cmd.Env, "TMPDIR="+temp)
	}
	// A tool that starts others gets a chance to end them.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// do runs a command; what it printed is shown when it fails.
func (l *lab) do(ctx context.Context, argv ...string) error {
	return l.finish(l.command(ctx, argv...))
}

func (l *lab) finish(cmd *exec.Cmd) error {
	var out tail
	cmd.Stdout, cmd.Stderr = &out, &out
	if l.verbose {
		w := io.MultiWriter(os.Stderr, &out)
		cmd.Stdout, cmd.Stderr = w, w
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out.last())
	}
	return nil
}

// timed runs a command and returns how long it took.
func (l *lab) timed(ctx context.Context, argv ...string) (time.Duration, error) {
	cmd := l.command(ctx, argv...)
	began := time.Now()
	err := l.finish(cmd)
	return time.Since(began), err
}

// tail keeps the end of what is written to it.
type tail struct{ b []byte }

func (t *tail) Write(b []byte) (int, error) {
	t.b = append(t.b, b...)
	if over := len(t.b) - 1<<16; over > 0 {
		t.b = slices.Delete(t.b, 0, over)
	}
	return len(b), nil
}

func (t *tail) last() string {
	lines := strings.Split(strings.TrimSpace(string(t.b)), "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}

func (l *lab) say(format string, args ...any) { fmt.Fprintf(os.Stderr, "… "+format+"\n", args...) }

// empty removes directories of the lab.
func (l *lab) empty(names ...string) error {
	var errs []error
	for _, name := range names {
		errs = append(errs, os.RemoveAll(l.path(name)))
	}
	return errors.Join(errs...)
}

// fresh makes empty directories of the lab, that everybody may write to.
func (l *lab) fresh(names ...string) error {
	if err := l.empty(names...); err != nil {
		return err
	}
	for _, name := range names {
		if err := os.Mkdir(l.path(name), 0o755); err != nil {
			return err
		}
		if err := os.Chmod(l.path(name), 0o1777); err != nil {
			return err
		}
	}
	return nil
}

// has tells whether something is in the lab, from this run or from one whose lab was kept.
func (l *lab) has(name string) bool {
	_, err := os.Stat(l.path(name))
	return err == nil
}

// makeFile has a file made under another name first: one that is there is whole.
func (l *lab) makeFile(name string, do func(temp string) error) error {
	if l.has(name) {
		return nil
	}
	temp := l.path("new-" + name)
	if err := os.RemoveAll(temp); err != nil {
		return err
	}
	if err := do(temp); err != nil {
		return err
	}
	return os.Rename(temp, l.path(name))
}
