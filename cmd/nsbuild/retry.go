package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"nsbuild/internal/pkgbuild"
)

// retryOptions are the flags of retry.
type retryOptions struct {
	from, source, output string
	thenClean            bool
}

func newRetry(a *app) *cobra.Command {
	var o retryOptions
	c := &cobra.Command{
		Use:   "retry [ID] [flags] [-- OPTION...]",
		Short: "Go on with a kept build",
		Long: `retry goes on with a kept build, from the stage that failed, in a copy of what the build
had written. For the stage build that is dpkg-buildpackage -nc: what was compiled stays. The OPTIONs
are dpkg-buildpackage's, too.

With --source, what differs in DIR from the source that was built comes in first, by content; what
does not differ keeps its time.

Results, log and exit status are as of nsbuild build. A retry is not from a clean tree: its log and
result say so, and nothing is signed. Where results go, and what else is configured for nsbuild
build, holds for retry. A retry that fails is kept, too.
`,
		Example: "  nsbuild retry hello-7c1e\n  nsbuild retry --source . --then-clean",
		RunE: func(c *cobra.Command, args []string) error {
			id, opts := "", args
			switch dash := c.ArgsLenAtDash(); {
			case dash > 1 || dash < 0 && len(args) > 1:
				return usage("nsbuild retry [ID] -- OPTION...", "retry: %q is one argument too many",
					args[1])
			case dash == 0:
			case len(args) > 0:
				id, opts = args[0], args[1:]
			}
			return a.retry(c.Context(), id, opts, o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.from, "from", "", "begin with this `STAGE` (default: the one that failed)")
	f.StringVar(&o.source, "source", "", "bring in first what differs in the source directory `DIR`")
	f.StringVarP(&o.output, "output", "o", "",
		"put the results into `DIR` (default: where those of the kept build were to go)")
	f.BoolVar(&o.thenClean, "then-clean", false,
		"when it succeeds, build it from a clean tree, too")
	a.addJSON(f)
	return c
}

func (a *app) retry(ctx context.Context, id string, opts []string, o retryOptions) (err error) {
	configured := &a.buildFlags.Request
	if err := a.buildFlags.keep.complete(&configured.Keeping); err != nil {
		return err
	}
	r := *configured
	r.Verbose, r.Output, r.Said = a.verbose, o.output, pkgbuild.Said{}
	env, err := a.open(ctx)
	if err != nil {
		return err
	}
	if id, err = findKept(env, id); err != nil {
		return err
	}
	_, root, err := useKept(env, id)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	rebuilt := pkgbuild.OfRebuild(root)
	if rebuilt && o.thenClean {
		return usage("nsbuild rebuild X.buildinfo",
			"--then-clean: %s is of a rebuild, and a clean one begins with the .buildinfo", root.ID)
	}
	t := pkgbuild.Retry{Root: root, From: o.from, Source: o.source, Opts: opts}
	if _, err := a.reporting(env, 0, r, nil, func(r pkgbuild.Request) *pkgbuild.Outcome {
		outcome, _ := env.Retry(ctx, t, r) // whose error is reported
		return outcome
	}); err != nil {
		return err
	}
	if rebuilt {
		env.Log.Info("that was not from a clean tree; from one: nsbuild rebuild X.buildinfo")
		return nil
	}
	clean, err := pkgbuild.CleanRequest(root, r, o.source)
	if err != nil {
		return err
	}
	if !o.thenClean {
		env.Log.Infof("that was not from a clean tree; from one: nsbuild build -d %s %s",
			clean.Suite, clean.From)
		return nil
	}
	_, err = a.buildOne(ctx, env, 0, clean, nil)
	return err
}
