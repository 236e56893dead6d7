// Command nsbuild builds Debian packages in throwaway sandboxes.
//
// Most verbs have a file of their own. What they do is left to other rooms: builds to
// internal/pkgbuild, bases to internal/bases, commands of people to internal/session. Here are the
// command line, the signals, the exit statuses and what the user is told.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"nsbuild/internal/bootstrap/unpack"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/caller"
	"nsbuild/internal/compat/sbuild"
	"nsbuild/internal/compat/schroot"
	"nsbuild/internal/copies"
	"nsbuild/internal/fault"
	"nsbuild/internal/image"
	"nsbuild/internal/proctree"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/session"
	"nsbuild/internal/treediff"
)

// version is the release, or what it will be.
const version = "0.1.0"

func main() {
	ownParts()
	if err := caller.Adopt(); err != nil {
		os.Exit(refuseCaller(os.Args, err))
	}
	if filepath.Base(os.Args[0]) == schroot.Name {
		os.Exit(runSchroot(os.Args[1:], os.Stdout, os.Stderr))
	}
	if filepath.Base(os.Args[0]) == sbuild.Name {
		os.Exit(runSbuild(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// refuseCaller tells why nsbuild cannot run in this process, and returns the status of its verb.
func refuseCaller(args []string, err error) int {
	a := &app{stdout: os.Stdout, stderr: os.Stderr}
	a.printError(err)
	switch filepath.Base(args[0]) {
	case schroot.Name, sbuild.Name:
		return exitStatus(err)
	}
	verb, _, unknown := newRoot(a).Find(args[1:])
	if unknown != nil {
		return exitStatus(err)
	}
	return statusOf(verb, err)
}

// ownParts does the work of a re-executed process, in which it does not return: argv[0] says what
// that is.
func ownParts() {
	sandbox.Main(map[string]sandbox.Applet{unpack.Name: unpack.Main, image.Name: image.Main,
		copies.Applet: copies.Main, treediff.Applet: treediff.Main,
		proctree.Applet: proctree.Main})
	if os.Args[0] == session.SupervisorName {
		os.Exit(session.Supervise(beforeSession))
	}
}

// run is the program without its process.
func run(args []string, stdin io.Reader, stdout, stderr *os.File) int {
	a := &app{stdout: stdout, stderr: stderr}
	ctx, release, stop := withSignals(context.Background(), func(err error) int {
		err = errors.Join(err, a.result.write(err))
		fmt.Fprintf(stderr, "\nnsbuild: %v\n", err)
		return exitStatus(err)
	})
	defer stop()
	a.releaseSignals = release
	root := newRoot(a)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	c, err := root.ExecuteContextC(ctx)
	err = a.finish(errors.Join(err, a.close(ctx)), args)
	status := statusOf(c, err)
	if err = untold(err); err != nil && !errors.As(err, new(commandStatus)) {
		a.printError(err)
	}
	return status
}

// explainDirectory says what getwd(3) does not: that the directory which nsbuild was called in has
// been deleted. Verbs that need none work there.
func explainDirectory(err error) error {
	var call *os.SyscallError
	if !errors.As(err, &call) || call.Syscall != "getwd" {
		return err
	}
	const hint = "call nsbuild in a directory that is there, or give absolute paths"
	return fault.New(fault.KindOf(err), hint, "the current directory is gone: %w", err)
}

// heeded leaves out SIGHUP where the caller has it ignored: that is what nohup(1) is for. Signals
// that are sent to end a program are heeded all the same: runners and scripts start jobs with
// SIGINT ignored, and send it later.
func heeded(signals ...os.Signal) []os.Signal {
	return slices.DeleteFunc(signals, func(s os.Signal) bool {
		return s == syscall.SIGHUP && signal.Ignored(s)
	})
}

// endTime is how long everything may take to end in order, once a signal has asked for that.
const endTime = 1900 * time.Millisecond

// withSignals ends the context at the first signal that asks for it. A second one is left to end
// the process at once; the kernel then ends the sandbox. release is for verbs that deal with
// signals themselves.
//
// What does not heed the context in time (a read that hangs, a file of gigabytes) is not waited
// for: the process ends with the status that end gives. That is as if it had been killed: the next
// command deletes what is left.
func withSignals(ctx context.Context, end func(error) int) (_ context.Context, release,
	stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, heeded(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)...)
	done := make(chan struct{})
	go func() {
		s, ok := (<-signals).(syscall.Signal)
		if !ok {
			return
		}
		signal.Stop(signals)
		cause := &fault.Error{Kind: fault.Interrupted, Err: fault.Stopped{Signal: s}}
		cancel(cause)
		select {
		case <-time.After(endTime):
			os.Exit(end(cause))
		case <-done:
		}
	}()
	release = func() { signal.Stop(signals) }
	return ctx, release, func() {
		release()
		cancel(nil)
		close(done)
	}
}

// newRoot is the command without a verb.
func newRoot(a *app) *cobra.Command {
	root := group(&cobra.Command{
		Use:   "nsbuild",
		Short: "Build Debian packages in throwaway sandboxes, without root",
		Long: `nsbuild builds Debian packages. Each build has a sandbox of its own, which ends with
everything in it. It needs no root, no daemon and no configuration.

A base is the root directory of a suite (such as trixie or sid) with what every build needs. nsbuild
makes it when a build first needs it, and keeps it up to date.
`,
		Example: `  nsbuild build hello             fetch the source, make the base, build it
  nsbuild build hello_2.10-3.dsc  build a source package
  nsbuild build .                 build the source directory that you are in
  nsbuild shell trixie            look around in a throwaway system
  nsbuild doctor                  say what this machine lacks`,
		SilenceErrors: true, SilenceUsage: true,
		Version: release(),
		PersistentPreRunE: func(c *cobra.Command, _ []string) (err error) {
			switch c.Name() {
			case "man", "help", "completion", cobra.ShellCompRequestCmd,
				cobra.ShellCompNoDescRequestCmd:
				return nil // they work, whatever the configuration says
			}
			if a.configuration, err = configure(c.Root()); err != nil {
				return err
			}
			return a.checkFlags()
		},
	})
	root.SetVersionTemplate("nsbuild {{.Version}}\n")
	root.SetFlagErrorFunc(mistakenOption)
	a.addFlags(root.PersistentFlags())
	root.SetHelpFunc(func(c *cobra.Command, _ []string) {
		if err := writeHelp(a.stdout, c, helpWidth(a.stdout)); err != nil {
			a.printError(fmt.Errorf("writing the help: %w", err))
		}
	})
	root.AddGroup(verbGroups()...)
	build := newBuild(a)
	root.AddCommand(inGroup(groupBuild, build, newBatch(a, build),
		newRdeps(a, build), newRepro(a, build),
		newRebuild(a), newCompare(a), newReport(a), newVerify(a))...)
	root.AddCommand(inGroup(groupKept, newKept(a), newEnter(a), newDiff(a), newCopy(a),
		newRetry(a), newForget(a))...)
	root.AddCommand(inGroup(groupInside, newRun(a), newShell(a), newSession(a))...)
	root.AddCommand(inGroup(groupBases, newCreate(a), newUpdate(a), newList(a), newInfo(a),
		newRemove(a), newExport(a), newImport(a))...)
	root.AddCommand(inGroup(groupUpkeep, newDoctor(a), newCache(a), newConfig(a))...)
	root.AddCommand(inGroup(groupPackage, newMan(a), newInJail(a))...)
	root.SetCompletionCommandGroupID(groupPackage)
	root.SetHelpCommandGroupID(groupPackage)
	return root
}

// exactArgs is cobra.ExactArgs with an error of ours.
func rangeArgs(least, most int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) < least || most >= 0 && len(args) > most {
			return fault.New(fault.Usage, c.CommandPath()+" --help", "%s: %s", c.Name(), what)
		}
		return nil
	}
}

// printError tells the user what went wrong and what to do.
func (a *app) printError(err error) {
	err = explainDirectory(err)
	if a.env != nil && a.env.Work != nil {
		err = a.env.Work.Hide(err) // a directory of ours tells nobody anything
	}
	if a.events != nil {
		a.errorJSON("", err)
	}
	fmt.Fprint(a.stderr, errorText("", err))
}

// errorText is an error with its hint, as a person is told it: what a package has printed may be in
// both.
func errorText(of string, err error) string {
	text := "nsbuild: " + of + strings.TrimRight(err.Error(), "\n") + "\n"
	if hint := fault.HintOf(err); hint != "" {
		text += "hint: " + hint + "\n"
	}
	return string(buildlog.Visible([]byte(text)))
}
