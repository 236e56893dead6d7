package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/spf13/cobra"

	"nsbuild/internal/buildlog"
	"nsbuild/internal/fault"
	"nsbuild/internal/provenance"
)

// verifyOptions are the flags of verify.
type verifyOptions struct {
	key      string
	unsigned bool
}

func newVerify(a *app) *cobra.Command {
	var o verifyOptions
	c := &cobra.Command{
		Use:   "verify FILE [ARTEFACT...]",
		Short: "Check what states how something was built",
		Long: `verify checks a file that the --provenance of nsbuild build or nsbuild rebuild has written:
that the owner of --key has signed every statement in it, that each is of a kind that nsbuild makes,
and that the artefacts are what the statements say, by SHA-256 and SHA-512.

ARTEFACT is a file that was built. Without one, all that the statements name must lie beside FILE.
A statement that is not signed is refused, unless --unsigned believes it.
`,
		Example: "  nsbuild verify hello.jsonl --key builder.pub\n" +
			"  nsbuild verify hello.jsonl --key builder.pub hello_2.10-3_amd64.deb",
		Args: rangeArgs(1, -1, "which file?"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.verify(c.Context(), &o, args[0], args[1:])
		},
	}
	c.Flags().StringVar(&o.key, "key", "", "take statements of the owner of the public key in "+
		"`FILE` (PEM; Ed25519 or ECDSA)")
	c.Flags().BoolVar(&o.unsigned, "unsigned", false, "believe statements that nobody has signed")
	return c
}

func (a *app) verify(ctx context.Context, o *verifyOptions, file string, artefacts []string) error {
	var key *provenance.Key
	var err error
	switch {
	case o.key != "" && o.unsigned:
		return usage("leave out one of them", "verify: --key and --unsigned contradict each other")
	case o.key == "" && !o.unsigned:
		return usage("nsbuild verify --key PUBLIC-KEY "+file, "verify: signed by whom?")
	case o.key != "":
		if key, err = provenance.ReadPublic(o.key); err != nil {
			return err
		}
	}
	all, err := provenance.Read(ctx, file, key)
	if errors.Is(err, fs.ErrNotExist) {
		return fault.Wrap(fault.Internal, "name a file that --provenance has written", err)
	}
	if err != nil {
		return err
	}
	compared, err := provenance.Compare(all, artefacts, filepath.Dir(file))
	if err != nil {
		return err
	}
	show := func(format string, args ...any) {
		fmt.Fprintln(a.stdout, buildlog.VisibleString(fmt.Sprintf(format, args...)))
	}
	if key != nil {
		show("%s: signed by %s", file, key.ID)
	} else {
		show("%s: not signed", file)
	}
	for _, v := range all {
		show("%s %s by %s", map[string]string{provenance.BuildType: "build of",
			provenance.RebuildType: "rebuild of",
			provenance.EqualsType:  "the same again:"}[v.Kind], v.Source, v.Builder)
	}
	wrong := 0
	for _, c := range compared {
		show("%s: %s", c.Name, c.State)
		if c.State != provenance.Same {
			wrong++
		}
	}
	if wrong > 0 {
		return fault.New(fault.Differs, "", "%s not as stated",
			fault.Count(wrong, "artefact is", "artefacts are"))
	}
	return nil
}
