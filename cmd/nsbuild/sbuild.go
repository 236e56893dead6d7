package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strings"

	"github.com/spf13/cobra"

	"nsbuild/internal/buildlog"
	"nsbuild/internal/compat/sbuild"
	"nsbuild/internal/console"
	"nsbuild/internal/fault"
	"nsbuild/internal/sbuildrc"
)

// runSbuild is run for sbuild's command line. Exit statuses are sbuild's: 1 for a wrong command
// line or configuration, and when a signal ends it. On standard output is the log alone.
func runSbuild(args []string, stdin io.Reader, stdout, stderr *os.File) int {
	a := &app{stdout: stderr, stderr: stderr}
	ctx, release, stop := withSignals(context.Background(), func(err error) int {
		err = errors.Join(err, a.result.write(err))
		fmt.Fprintf(stderr, "E: %v\n", err)
		return 1
	})
	defer stop()
	a.releaseSignals = release
	err := a.sbuild(ctx, args, stdin, stdout)
	err = a.finish(errors.Join(err, a.close(ctx)), nil)
	if err == nil {
		return 0
	}
	for line := range strings.Lines(strings.TrimRight(err.Error(), "\n")) {
		fmt.Fprintf(stderr, "E: %s\n", buildlog.VisibleString(strings.TrimRight(line, "\n")))
	}
	if hint := fault.HintOf(err); hint != "" {
		fmt.Fprintf(stderr, "I: %s\n", hint)
	}
	if kind := fault.KindOf(err); kind == fault.Usage || kind == fault.Interrupted {
		return 1
	}
	return exitStatus(err)
}

func (a *app) sbuild(ctx context.Context, args []string, stdin io.Reader, stdout *os.File) error {
	home := os.Getenv("HOME")
	if home == "" {
		me, err := user.Current()
		if err != nil {
			return fmt.Errorf("finding the home directory: %w", err)
		}
		home = me.HomeDir
		if err := os.Setenv("HOME", home); err != nil { // bases are found from there, too
			return err
		}
	}
	s := sbuild.New(os.Environ(), home, a.stderr)
	if err := s.ReadConfig(sbuildrc.Files(os.Getenv, home)); err != nil {
		return err
	}
	sources, err := s.Parse(args)
	if err != nil {
		return err
	}
	a.quiet = s.Quiet()
	switch {
	case s.Help:
		fmt.Fprint(stdout, s.Usage())
		return nil
	case s.Version:
		fmt.Fprintf(stdout, "sbuild (nsbuild %s)\n", release())
		return nil
	}
	source := "."
	switch len(sources) {
	case 0:
	case 1:
		source = sources[0]
	default:
		return fault.New(fault.Usage, "“nsbuild build” takes several",
			"Only one build is permitted")
	}
	command, err := s.Translate(source, console.IsTerminal(os.Stdin) && console.IsTerminal(stdout))
	if err != nil {
		return err
	}
	s.Tell(command)
	// else progress and log share the terminal
	if !console.IsTerminal(stdout) || !console.IsTerminal(a.stderr) {
		a.logTo = stdout
	}
	root := newRoot(a)
	root.SetArgs(command)
	root.SetIn(stdin)
	root.SetOut(a.stderr)
	root.SetErr(a.stderr)
	if build, _, err := root.Find([]string{"build"}); err == nil {
		build.PreRunE = needsDistribution
	}
	return root.ExecuteContext(ctx)
}

// needsDistribution holds builds back that sbuild would not begin either. A source directory's
// changelog names one.
func needsDistribution(c *cobra.Command, args []string) error {
	if c.Flags().Lookup("dist").Value.String() != "" {
		return nil
	}
	if isDir(args[0]) {
		return nil
	}
	return fault.New(fault.Usage, "give --dist, or set $distribution in ~/.sbuildrc",
		"No distribution defined")
}

func isDir(name string) bool {
	st, err := os.Stat(name)
	return err == nil && st.IsDir()
}
