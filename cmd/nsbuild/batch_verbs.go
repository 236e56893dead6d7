package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"nsbuild/internal/batch"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/console"
	"nsbuild/internal/fault"
)

func newBatchResume(a *app) *cobra.Command {
	var most int
	c := &cobra.Command{
		Use:   "resume [NAME]",
		Short: "Go on with a batch",
		Long: `resume goes on with a batch that was stopped or killed, with the options that it
was begun with. What was running is begun again; what has ended is not. Without NAME it is the
newest batch.
`,
		Example: "  nsbuild batch resume\n  nsbuild batch resume gcc-14",
		Args:    rangeArgs(0, 1, "one batch at a time"),
		RunE: func(c *cobra.Command, args []string) error {
			store, name, err := a.findBatch(args)
			if err != nil {
				return err
			}
			b, err := store.Open(name)
			if err != nil {
				return err
			}
			return a.resumeBatch(c, b, most)
		},
	}
	addMaxFailures(c.Flags(), &most)
	return c
}

// findBatch is the batch that is named, or the newest.
func (a *app) findBatch(args []string) (*batch.Store, string, error) {
	store, _, err := a.batches()
	if err != nil || len(args) > 0 {
		return store, strings.Join(args[:min(1, len(args))], ""), err
	}
	names, err := store.Names()
	if err == nil && len(names) == 0 {
		err = fault.New(fault.Usage, "nsbuild batch SOURCE... begins one", "there is no batch")
	}
	if err != nil {
		return nil, "", err
	}
	return store, names[0], nil
}

func newBatchList(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the batches",
		Long:    "list shows the batches there are, the newest first.\n",
		Example: "  nsbuild batch list",
		Args:    rangeArgs(0, 0, "it takes no argument"),
		RunE: func(*cobra.Command, []string) error {
			store, _, err := a.batches()
			if err != nil {
				return err
			}
			return listBatches(a.stdout, store)
		},
	}
}

func listBatches(out io.Writer, store *batch.Store) error {
	names, err := store.Names()
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "name\tbegun\tsources\tended\tfailed\tstate")
	for _, name := range names {
		b, err := store.Read(name)
		if err != nil {
			fmt.Fprintf(w, "%s\t\t\t\t\t%s\n", name, buildlog.VisibleString(err.Error()))
			continue
		}
		held, err := store.Held(name)
		if err != nil {
			return err
		}
		c := b.Count()
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%s\n", name, b.Created.Local().Format(time.DateTime),
			c.Total, c.Ended(), c.Failed+c.GivenBack, batchState(b, held))
	}
	return w.Flush()
}

// batchState is a word for how far a batch is.
func batchState(b *batch.Batch, held bool) string {
	switch {
	case held:
		return "running"
	case b.Count().Over():
		return "ended"
	case b.Cancelled:
		return "cancelled"
	}
	return "stopped"
}

func newBatchStatus(a *app) *cobra.Command {
	var asJSON, watch bool
	c := &cobra.Command{
		Use:   "status [NAME]",
		Short: "Show how far a batch is",
		Long: `status shows how far a batch is: what runs, what failed and in which stage, and
how long the rest takes, about. Without NAME it is the newest batch.
`,
		Example: "  nsbuild batch status\n  nsbuild batch status gcc-14 --json",
		Args:    rangeArgs(0, 1, "one batch at a time"),
		RunE: func(c *cobra.Command, args []string) error {
			store, name, err := a.findBatch(args)
			if err != nil {
				return err
			}
			if watch {
				return a.watchBatch(c.Context(), store, name)
			}
			return showBatch(a.stdout, store, name, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "write it as a JSON document, for programs "+
		"(docs/many.md)")
	c.Flags().BoolVar(&watch, "watch", false, "show it each second, until the batch has ended")
	return c
}

// watchBatch shows a batch until nobody works on it any more.
func (a *app) watchBatch(ctx context.Context, store *batch.Store, name string) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		held, err := store.Held(name)
		if err != nil {
			return err
		}
		if console.IsTerminal(a.stdout) {
			fmt.Fprint(a.stdout, "\x1b[H\x1b[2J")
		}
		if err := showBatch(a.stdout, store, name, false); err != nil || !held {
			return err
		}
		select {
		case <-ctx.Done():
			return fault.Interruption(ctx, context.Cause(ctx))
		case <-tick.C:
		}
	}
}

func showBatch(out io.Writer, store *batch.Store, name string, asJSON bool) error {
	b, err := store.Read(name)
	if err != nil {
		return err
	}
	held, err := store.Held(name)
	if err != nil {
		return err
	}
	if asJSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(b.Document(batchState(b, held)))
	}
	c := b.Count()
	running := 1
	if held {
		running = max(1, c.Running)
	}
	fmt.Fprintf(out, "batch %s, %s: %s of %d\n", name, batchState(b, held),
		strings.Join(countsText(c, b.Left(running, now())), ", "), c.Total)
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	for i := range b.Items {
		if it := &b.Items[i]; it.Phase == batch.Running && held {
			fmt.Fprintf(w, "running\t%s\t%v\n", it.Spec, now().Sub(it.Began).Round(time.Second))
		}
	}
	if b.Change != nil {
		if err := w.Flush(); err != nil {
			return err
		}
		_, err := io.WriteString(out, effectsText(b))
		return err
	}
	writeFailures(w, b)
	return w.Flush()
}

// writeFailures has a line for each source that is not built, and why.
func writeFailures(w io.Writer, b *batch.Batch) {
	for i := range b.Items {
		it := &b.Items[i]
		if it.Last == nil || it.Last.Good() {
			continue
		}
		status := it.Last.Status
		if it.Phase != batch.Finished {
			status += ", to be tried again"
		}
		why, _, _ := strings.Cut(it.Last.Error, "\n")
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", status, it.Spec, it.Last.Stage,
			buildlog.VisibleString(why))
	}
}

// batchSummary is what stands at the end of a batch's command.
func batchSummary(b *batch.Batch, output string) string {
	var text strings.Builder
	c := b.Count()
	fmt.Fprintf(&text, "batch %s: %s of %d; results and logs: %s\n", b.Name,
		strings.Join(countsText(c, 0), ", "), c.Total, output)
	w := tabwriter.NewWriter(&text, 0, 8, 2, ' ', 0)
	writeFailures(w, b)
	_ = w.Flush() // into memory
	return text.String()
}

func newBatchRetry(a *app) *cobra.Command {
	var failed, givenBack bool
	var most int
	c := &cobra.Command{
		Use:   "retry [NAME [SOURCE...]]",
		Short: "Try again what a batch has not built",
		Long: `retry builds again what a batch has not built: all of it, or only what has failed
or was given back, or the SOURCEs. Without NAME it is the newest batch.
`,
		Example: "  nsbuild batch retry\n  nsbuild batch retry gcc-14 hello tree",
		RunE: func(c *cobra.Command, args []string) error {
			store, name, err := a.findBatch(args)
			if err != nil {
				return err
			}
			b, err := store.Open(name)
			if err != nil {
				return err
			}
			if err := tryAgain(b, args[min(1, len(args)):], failed, givenBack); err != nil {
				return errors.Join(err, b.Close())
			}
			return a.resumeBatch(c, b, most)
		},
	}
	f := c.Flags()
	f.BoolVar(&failed, "failed", false, "only what has failed")
	f.BoolVar(&givenBack, "given-back", false, "only what could not be begun")
	addMaxFailures(f, &most)
	return c
}

// tryAgain has what is named, or what was not built, be built again.
func tryAgain(b *batch.Batch, specs []string, failed, givenBack bool) error {
	named := map[string]bool{}
	for _, s := range specs {
		named[s] = true
	}
	for _, it := range b.Items {
		delete(named, it.Spec)
	}
	for s := range named {
		return fault.New(fault.Usage, "nsbuild batch status "+b.Name+" --json lists them",
			"the batch %s has no source %s", b.Name, s)
	}
	for _, s := range specs {
		named[s] = true
	}
	_, err := b.Again(func(it *batch.Item) bool {
		switch back := it.Last.Status == batch.GivenBack; {
		case len(specs) > 0:
			return named[it.Spec]
		case it.Last.Good():
			return false
		case failed != givenBack:
			return back == givenBack
		}
		return true
	})
	return err
}

func newBatchCancel(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "cancel [NAME]",
		Short: "Stop a batch for good",
		Long: `cancel stops a batch, wherever it runs on this machine, and what it builds. What
is built stays. nsbuild batch retry takes it up again. Without NAME it is the newest batch.
`,
		Example: "  nsbuild batch cancel gcc-14",
		Args:    rangeArgs(0, 1, "one batch at a time"),
		RunE: func(c *cobra.Command, args []string) error {
			store, name, err := a.findBatch(args)
			if err != nil {
				return err
			}
			return cancelBatch(c.Context(), store, name)
		},
	}
}

// cancelBatch stops the process that works on a batch, and notes that nobody else is to.
func cancelBatch(ctx context.Context, store *batch.Store, name string) error {
	ctx, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	told := false
	for {
		held, err := store.Held(name)
		if err != nil {
			return err
		}
		if !held {
			break
		}
		if !told {
			b, err := store.Read(name)
			if err != nil {
				return err
			}
			if err := syscall.Kill(b.PID, syscall.SIGTERM); err != nil {
				return fault.New(fault.Internal, "stop it there", "the process %d, which works on "+
					"the batch %s, cannot be stopped: %w", b.PID, name, err)
			}
			told = true
		}
		select {
		case <-ctx.Done():
			return fault.New(fault.Internal, "nsbuild batch status "+name, "the process that works "+
				"on the batch %s does not end", name)
		case <-tick.C:
		}
	}
	b, err := store.Open(name)
	if err != nil {
		return err
	}
	err = b.Cancel()
	if err == nil {
		err = cancelEngine(ctx, b)
	}
	return errors.Join(err, b.Close())
}

func newBatchRemove(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "remove NAME...",
		Short:   "Forget batches",
		Long:    "remove deletes the journals of batches. What they have built stays.\n",
		Example: "  nsbuild batch remove gcc-14",
		Args:    rangeArgs(1, -1, "which batch?"),
		RunE: func(_ *cobra.Command, args []string) error {
			store, _, err := a.batches()
			if err != nil {
				return err
			}
			for _, name := range args {
				if err := store.Remove(name); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// now is the time, for those that compare it with a journal's.
func now() time.Time { return time.Now().UTC() }
