package main

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/pflag"

	"nsbuild/internal/aptrepo"
	"nsbuild/internal/pkgbuild"
)

// repositoryOptions say where a batch publishes what it builds.
type repositoryOptions struct {
	dir, key string
	open     *aptrepo.Repo // nil: nowhere
}

func (o *repositoryOptions) addFlags(f *pflag.FlagSet) {
	f.StringVar(&o.dir, "repository", "", "publish what is built in `DIR`, as a flat repository "+
		"for apt")
	f.StringVar(&o.key, "repository-key", "", "have gpg sign the repository with this `KEY`")
}

// begin finds out whether anything can be published, before something is built.
func (o *repositoryOptions) begin(ctx context.Context) (err error) {
	if o.dir == "" && o.key != "" {
		return usage("--repository DIR", "--repository-key: of which repository?")
	}
	if o.dir == "" || o.open != nil {
		return nil
	}
	o.open, err = aptrepo.Open(ctx, o.dir, o.key)
	return err
}

// publisher is what a batch publishes with; nil: it does not.
func (o *repositoryOptions) publisher() func(context.Context, []string) error {
	if o.open == nil {
		return nil
	}
	return func(ctx context.Context, files []string) error {
		_, err := o.open.Add(ctx, files)
		return err
	}
}

// ownFirst has what lies in a batch's repository be taken before the same version of the archive.
const ownFirst = "release o=nsbuild,l=nsbuild-batch 990"

// use has builds see what earlier batches have published.
func (o *repositoryOptions) use(r *pkgbuild.Request) {
	if o.open == nil || o.open.Empty() {
		return
	}
	r.Repositories = append(slices.Clone(r.Repositories), o.open.Line())
	r.Pins = append(slices.Clone(r.Pins), ownFirst)
}

// tell says how apt takes the repository.
func (o *repositoryOptions) tell(out io.Writer) {
	if o.open == nil || o.open.Empty() {
		return
	}
	fmt.Fprintf(out, "repository, for sources.list: %s\n", o.open.Line())
}
