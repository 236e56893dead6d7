package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nsbuild/internal/bases"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/checks"
	"nsbuild/internal/compared"
	"nsbuild/internal/fault"
	"nsbuild/internal/pkgbuild"
	"nsbuild/internal/rawjson"
	"nsbuild/internal/rebuild"
	"nsbuild/internal/strays"
)

// rebuildOptions are the flags of rebuild.
type rebuildOptions struct {
	rebuild.Request
	keep   keepOptions
	limits limitOptions
	diff   bool
	json   bool
	// diffoscope tells whether it is to compare what differs
	diffoscope bool
	stated     string // file of the statements
	maker      provenanceOptions
}

func newRebuild(a *app) *cobra.Command {
	var o rebuildOptions
	c := &cobra.Command{
		Use:   "rebuild FILE.buildinfo",
		Short: "Build again what a .buildinfo describes, and compare",
		Long: `rebuild does a build again and says whether the same packages come out of it, byte by
byte. The build has just the packages that the .buildinfo names, its path, its environment and its
kind.

Source and packages are looked for in the cache, in the suite and in sid, in the repositories of
--extra-repository, and in the snapshot of --snapshot. With --offline only what is cached counts.
What is not found is named, all of it.

The packages are compared with the hashes of the .buildinfo. Where one differs, rebuild says in
what, if it has the package of the first build: from the directory of the .buildinfo, or from
--against. The signature of the .buildinfo is looked up in the host's and the user's keyrings.
`,
		Example: "  nsbuild rebuild hello_2.10-3_amd64.buildinfo\n" +
			"  nsbuild rebuild --snapshot URL " +
			"hello_2.10-3_amd64.buildinfo",
		Args: rangeArgs(1, 1, "which .buildinfo?"),
		RunE: func(c *cobra.Command, args []string) error {
			o.File = args[0]
			if err := o.maker.complete(c.Flags(), o.stated); err != nil {
				return err
			}
			return a.rebuild(c.Context(), &o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.Against, "against", "", "compare with the packages in `DIR`, or with those of "+
		"the suite (archive)")
	f.StringVar(&o.Snapshot, "snapshot", "", "look for what is missing in the snapshot at this "+
		"`URL`, such as Debian's own")
	f.StringVar(&o.Request.Source, "source", "", "build this `DSC`, or that of a directory")
	f.StringVar(&o.Lock, "lock", "", "take the hashes of packages from `FILE`, a lock or "+
		"a result (default: the lock beside the .buildinfo)")
	f.StringArrayVar(&o.Keyrings, "keyring", nil, "look for whoever signed the .buildinfo in "+
		"`FILE`, too")
	f.StringVarP(&o.Build.Suite, "dist", "d", "", "make the root as `SUITE` has it (default: by "+
		"the version of base-files)")
	f.StringVar(&o.Build.Mirror, "mirror", "", "look for packages on the mirror at this `URL`")
	f.StringArrayVar(&o.Build.Repositories, "extra-repository", nil,
		"look in this `REPOSITORY`, too: a line of a sources.list, or a file")
	f.StringArrayVar(&o.Build.RepositoryKeys, "extra-repository-key", nil,
		"`FILE` with keys that may sign it")
	f.StringVarP(&o.Build.Output, "output", "o", "", "keep what was built in `DIR`")
	f.StringVar(&o.Build.LogDir, "log-dir", "", "put the log into `DIR` (default: that of "+
		"--output, else none is kept)")
	f.StringVar(&o.Build.Scratch, "scratch", pkgbuild.ScratchAuto, "let the build write on "+
		"`PLACE`: tmpfs, disk, copy or auto")
	f.DurationVar(&o.Build.Timeout, "timeout", 0, "end a build that takes longer than `TIME`")
	f.DurationVar(&o.Build.Silence, "silence", 150*time.Minute,
		"end a build that writes nothing to its log for `TIME`; 0: never")
	f.BoolVar(&o.diff, "diff", false, "show the differing texts as unified diffs")
	f.BoolVar(&o.diffoscope, "diffoscope", false, "have diffoscope compare packages that differ, "+
		"and put its texts and pages (HTML) into the DIR of --output")
	f.BoolVar(&o.json, "json", false, "write what was found out as JSON")
	o.maker.addFlags(f, &o.stated)
	o.limits.addFlags(f, &o.Build.Limits, "the build")
	o.keep.addFlags(f, &o.Build.Keeping)
	return c
}

func (a *app) rebuild(ctx context.Context, o *rebuildOptions) (err error) {
	if o.Build.Limits.Memory, err = parseSize("--memory", o.limits.memory); err != nil {
		return err
	}
	if err := o.keep.complete(&o.Build.Keeping); err != nil {
		return err
	}
	if o.diffoscope && o.Build.Output == "" {
		return usage("add --output DIR, where its texts go, too", "--diffoscope without --output")
	}
	if err := claimFile("provenance", o.stated); err != nil {
		return err
	}
	o.Build.Verbose, o.Build.Strays = a.verbose, strays.Kill
	o.Build.NewBase = func(asked bases.Options) (bases.Options, error) { return asked, nil }
	env, err := a.open(ctx)
	if err != nil {
		return err
	}
	o.Build.Reported = func(out *pkgbuild.Outcome, err error) {
		if err != nil && !o.json {
			a.tell(env, out, err)
		}
	}
	report, err := rebuild.Run(ctx, env, o.Request)
	if o.stated != "" {
		err = errors.Join(err, o.maker.writeRebuild(ctx, o.stated, report))
	}
	defer env.Progress.Pause()()
	if o.json {
		err = errors.Join(err, a.rebuildDiffoscope(ctx, env, o, report))
		var text rebuild.Report
		text, escaped := rawjson.Legible(*report)
		text.Escaped = escaped
		if writeErr := a.printJSON(text); err == nil {
			err = writeErr
		}
		return err
	}
	if fault.KindOf(err) == fault.Usage {
		return err
	}
	var all []compared.Difference
	for _, f := range report.Files {
		all = append(all, f.Differences...)
	}
	a.tellRepeated(report.Lines(), all, o.diff)
	if err := a.rebuildDiffoscope(ctx, env, o, report); err != nil {
		return err
	}
	if report.Build != nil {
		a.tellKept(env, report.Build)
	}
	if err == nil {
		fmt.Fprintf(a.stdout, "%s %s: %s\n", report.Source, report.Version, report.Verdict)
	}
	return err
}

// rebuildDiffoscope has diffoscope compare the packages that differ, if it is to.
func (a *app) rebuildDiffoscope(ctx context.Context, env *pkgbuild.Env, o *rebuildOptions,
	report *rebuild.Report) error {
	if !o.diffoscope {
		return nil
	}
	d := pkgbuild.Diffoscope{Tool: pkgbuild.Tool{Suite: report.Suite}, Dir: o.Build.Output}
	for _, f := range report.Files {
		if f.WasFile != "" {
			d.Pairs = append(d.Pairs, checks.FilePair{Name: strings.TrimSuffix(f.Name,
				filepath.Ext(f.Name)), Was: f.WasFile, Is: f.IsFile})
		}
	}
	return a.diffoscope(ctx, env, d)
}

// tellRepeated prints what was found out about a build that was done again, or twice.
func (a *app) tellRepeated(lines []string, all []compared.Difference, diffs bool) {
	for _, l := range lines {
		fmt.Fprintln(a.stdout, l)
	}
	if !diffs {
		return
	}
	for _, d := range all {
		fmt.Fprint(a.stdout, string(buildlog.Visible([]byte(d.Diff))))
	}
}
