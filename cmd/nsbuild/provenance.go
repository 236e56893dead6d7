package main

import (
	"context"
	"fmt"

	"github.com/spf13/pflag"

	"nsbuild/internal/buildlog"
	"nsbuild/internal/compared"
	"nsbuild/internal/fault"
	"nsbuild/internal/provenance"
	"nsbuild/internal/rebuild"
	"nsbuild/internal/result"
)

// provenanceOptions are the flags of who states how something was built.
type provenanceOptions struct {
	key     string
	builder string
	signer  *provenance.Key // nil: nobody signs
}

func (o *provenanceOptions) addFlags(f *pflag.FlagSet, file *string) {
	f.StringVar(file, "provenance", "", "write to `FILE` how it was built and from what, as an "+
		"in-toto statement with SLSA provenance")
	f.StringVar(&o.key, "provenance-key", "", "sign that with the private key in `FILE` (PEM; "+
		"Ed25519 or ECDSA)")
	f.StringVar(&o.builder, "builder-id", provenance.Local, "say there that the builder `URI` "+
		"has built it")
}

// complete reads the key, before anything is built, where something is to be stated.
func (o *provenanceOptions) complete(set *pflag.FlagSet, file string) (err error) {
	g := given{set}
	if file == "" {
		if o.key != "" && g.rank("provenance-key") <= rankFlag {
			return fault.New(fault.Usage, "name the file of the statement, too: --provenance FILE",
				"--provenance-key without --provenance")
		}
		return nil
	}
	if err := provenance.CheckBuilder(o.builder); err != nil {
		return err
	}
	if o.key != "" {
		o.signer, err = provenance.ReadPrivate(o.key)
	}
	return err
}

func (o *provenanceOptions) maker() provenance.Maker {
	return provenance.Maker{Builder: o.builder, Program: program()}
}

// write states how builds were made that have succeeded. Of those that have not nothing is stated.
func (o *provenanceOptions) write(file string, results []*result.Result) error {
	var all []*provenance.Statement
	for _, r := range results {
		if r.Outcome.Status != string(buildlog.Successful) {
			continue
		}
		s, err := o.maker().Of(r)
		if err != nil {
			return cannotState(file, r, err)
		}
		all = append(all, s)
	}
	if len(all) == 0 {
		return nil
	}
	return provenance.Write(context.Background(), file, all, o.signer)
}

func cannotState(file string, r *result.Result, err error) error {
	return fault.Wrap(fault.Internal, "", fmt.Errorf("writing the provenance %s: of %s %s: %w",
		file, r.Source.Name, r.Source.Version, err))
}

// writeRebuild states how it was rebuilt, and that the same came out of it, where it did.
func (o *provenanceOptions) writeRebuild(ctx context.Context, file string,
	report *rebuild.Report) error {
	if report.Build == nil || report.Verdict != compared.Identical &&
		report.Verdict != compared.Differs {
		return nil
	}
	b := provenance.Rebuild{Buildinfo: report.Buildinfo, Verdict: string(report.Verdict),
		Result: report.Build.Result}
	for _, f := range report.Files {
		if f.State == compared.StateSame {
			b.Same = append(b.Same, f.Name)
		}
	}
	all, err := o.maker().OfRebuild(b, report.Verdict == compared.Identical)
	if err != nil {
		return cannotState(file, report.Build.Result, err)
	}
	return provenance.Write(ctx, file, all, o.signer)
}
