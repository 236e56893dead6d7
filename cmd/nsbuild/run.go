package main

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"nsbuild/internal/build"
	"nsbuild/internal/sandbox"
)

func newRun(a *app) *cobra.Command {
	var o build.RunOptions
	c := &cobra.Command{
		Use:   "run BASE [-- COMMAND...]",
		Short: "Run a command in a throwaway layer over a base",
		Long: `run runs a command as root of a sandbox over a base. What it changes is thrown away; what it leaves running is ended.
Without a command it runs a shell. Standard input, output and error are the command's own.

The exit status is the command's, 128+N when signal N ended it, 126 when it is not executable, 127 when there is none.
`,
		Example: "  nsbuild run trixie -- cat /etc/debian_version\n  nsbuild run bookworm -- sort < in > out",
		Args:    rangeArgs(1, -1, "which base?"),
		RunE: func(c *cobra.Command, args []string) error {
			o.Base, o.Argv = args[0], args[1:]
			if len(o.Argv) > 0 && o.Argv[0] == "--" {
				o.Argv = o.Argv[1:]
			}
			return a.run(c.Context(), o)
		},
	}
	f := c.Flags()
	f.SetInterspersed(false)
	f.BoolVar(&o.Network, "network", false, "share the host's network")
	f.StringVar(&o.Dir, "chdir", "/", "directory to run it in")
	return c
}

func newShell(a *app) *cobra.Command {
	var o build.RunOptions
	c := &cobra.Command{
		Use:   "shell BASE",
		Short: "Open a root shell in a throwaway layer over a base",
		Long:  "shell is run without a command.\n",
		Args:  rangeArgs(1, 1, "which base?"),
		RunE: func(c *cobra.Command, args []string) error {
			o.Base = args[0]
			return a.run(c.Context(), o)
		},
	}
	c.Flags().BoolVar(&o.Network, "network", false, "share the host's network")
	return c
}

func (a *app) run(ctx context.Context, o build.RunOptions) error {
	env, err := a.open(ctx)
	if err != nil {
		return err
	}
	o.Stdin, o.Stdout, o.Stderr = os.Stdin, a.stdout, a.stderr
	status, err := env.Run(ctx, o)
	var failed *sandbox.Error
	switch {
	case errors.As(err, &failed) && failed.Op == "exec" && errors.Is(err, fs.ErrNotExist):
		a.printError(err)
		return commandStatus(127)
	case errors.As(err, &failed) && failed.Op == "exec":
		a.printError(err)
		return commandStatus(126)
	case err != nil:
		return err
	}
	if code := status.ExitCode(); code != 0 {
		return commandStatus(code)
	}
	return nil
}
