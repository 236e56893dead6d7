package pkgbuild

import (
	"context"
	"os"
	"path"

	"nsbuild/internal/buildroot"
	"nsbuild/internal/console"
	"nsbuild/internal/sandbox"
)

// Streams are those of a shell that a request asks for in place of the build.
type Streams struct{ Stdin, Stdout, Stderr *os.File }

// InsteadOfBuild has a request end where the build would begin, in a shell: nothing is built, and
// nothing is left behind. dir is a directory of which nothing is wanted.
func (r *Request) InsteadOfBuild(s Streams, dir string) {
	r.Shell = &s
	r.Places = Places{Output: dir, NoLog: true, Verbose: r.Verbose}
	r.Keep, r.Checks, r.ShellOnFailure = KeepNever, Checks{}, false
	r.Sign, r.KeyID = false, ""
}

// openShell runs a shell as the user that builds, in the unpacked source, with the environment of
// the build.
func (at *attempt) openShell(ctx context.Context) error {
	options, err := at.withJobs(at.options)
	if err != nil {
		return err
	}
	at.options = options
	c := at.worker().Command(path.Join(buildroot.Dir, at.in.DSC.DirName()), "/bin/bash")
	c.Env = append(c.Env, "debian_chroot="+at.in.DSC.DirName())
	s := at.o.Shell
	var status sandbox.Status
	if at.o.Terminal != nil && console.IsTerminal(s.Stdin) {
		c.Argv = append(c.Argv, "-i")
		status, err = at.onTerminal(ctx, c, nil)
	} else {
		defer at.env.Progress.Pause()()
		c.Stdin, c.Stdout, c.Stderr = s.Stdin, s.Stdout, s.Stderr
		status, err = at.root.open.Run(ctx, c)
	}
	at.outcome.Shell = status
	return err
}
