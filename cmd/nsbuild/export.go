package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"nsbuild/internal/atomicfile"
	"nsbuild/internal/bases"
	"nsbuild/internal/fault"
	"nsbuild/internal/image"
)

func newExport(a *app) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "export BASE",
		Short: "Write a base as a tar archive",
		Long: `export writes the root directory of a base as a tar archive, with owners as the
sandbox sees them, modes, times, extended attributes (file capabilities among them) and hard links.
The same generation always gives the same bytes.

Without --output the archive goes to standard output, uncompressed. The name of FILE says how it is
compressed: .tar, .tar.gz, .tar.xz or .tar.zst.
`,
		Example: "  nsbuild export -o bookworm.tar.zst bookworm\n  nsbuild export bookworm | " +
			"podman import - mine:bookworm",
		Args: rangeArgs(1, 1, "which base?"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.export(c.Context(), args[0], output)
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "-", "write to `FILE`; - is standard output")
	return c
}

func (a *app) export(ctx context.Context, name, output string) error {
	format := image.Tar
	if output == "-" {
		if term.IsTerminal(int(a.stdout.Fd())) {
			return usage("nsbuild export -o "+name+".tar.zst "+name,
				"export: standard output is a terminal, which is no place for an archive")
		}
	} else {
		var err error
		if format, err = image.FormatOf(output); err != nil {
			return err
		}
	}
	env, err := a.openLocal(ctx)
	if err != nil {
		return err
	}
	if output == "-" {
		return env.Bases().Export(ctx, name, a.stdout, format)
	}
	return writeAside(output, func(w io.Writer) error {
		return env.Bases().Export(ctx, name, w, format)
	})
}

// writeAside writes a file under another name first: there is the whole file, or what was there
// before.
func writeAside(name string, write func(io.Writer) error) error {
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		return usage("nsbuild export BASE >"+name,
			"%s is not a regular file, and would be replaced by one", name)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := atomicfile.Create(name, atomicfile.Options{Perm: 0o666, Sync: true})
	if err != nil {
		return fault.Wrap(fault.Usage, "choose another place", err)
	}
	return f.Finish(write(f))
}

// importOptions are the flags of import, and of create --from.
type importOptions struct {
	bases.ImportOptions
	from string
}

func newImport(a *app) *cobra.Command {
	var o importOptions
	c := &cobra.Command{
		Use:   "import NAME {FILE | DIR | -}",
		Short: "Make a base of a tree that was made elsewhere",
		Long: `import makes a base of the root directory of a Debian system. It takes

    a tar archive      of mmdebstrap, sbuild, schroot or nsbuild export, also
                       compressed by gzip, bzip2, xz or zstd
    a directory        of debootstrap, say
    a container image  an OCI archive, or what docker save and podman save write
    -                  one of the archives, on standard input

The suite is found in the tree. nsbuild keeps the base up to date as if it had made it. Two things
are added where they are missing: the user that builds, and the policy that keeps packages from
starting daemons. Device nodes are left out.
`,
		Example: "  nsbuild import mine bookworm-amd64-sbuild.tar.zst\n  podman save --format " +
			"oci-archive debian:bookworm | nsbuild import slim -",
		Args: rangeArgs(2, 2, "give a name for the base, and what it is to be made of"),
		RunE: func(c *cobra.Command, args []string) error {
			o.Name, o.from = args[0], args[1]
			return a.importBase(c.Context(), &o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.Suite, "suite", "", "the tree is of this `SUITE` (default: what the tree says)")
	f.StringVar(&o.Mirror, "mirror", "",
		"update it from the archive at `URL|DIR` (default: the suite's)")
	f.StringVar(&o.Keyring, "keyring", "",
		"the keys in `FILE` may sign the archive (default: the suite's own)")
	f.BoolVar(&o.Replace, "replace", false, "replace the base when it exists")
	return c
}

func (a *app) importBase(ctx context.Context, o *importOptions) (err error) {
	o.From = os.Stdin
	switch {
	case o.from != "-":
		if o.From, err = os.Open(o.from); err != nil {
			return fault.Wrap(fault.Usage,
				"give a tar archive, a directory, or - for standard input", err)
		}
		defer o.From.Close()
	case term.IsTerminal(int(os.Stdin.Fd())):
		return usage("nsbuild import "+o.Name+" - <FILE", "import: standard input is a terminal")
	}
	if o.Keyring != "" {
		if o.Keyring, err = filepath.Abs(o.Keyring); err != nil {
			return err
		}
		if _, err := os.Stat(o.Keyring); err != nil { // it is not read before there is an update
			return fault.Wrap(fault.Usage, "", fmt.Errorf("the keyring: %w", err))
		}
	}
	env, err := a.open(ctx)
	if err != nil {
		return err
	}
	g, err := env.Bases().Import(ctx, o.ImportOptions)
	if err != nil {
		return fmt.Errorf("importing %s: %w", o.from, err)
	}
	env.Log.Infof("base %s (generation %d) is ready: %s, %s, %s", g.Name, g.Number,
		g.Manifest.Suite, g.Manifest.Arch, fault.Count(len(g.Manifest.Packages), "package",
			"packages"))
	return g.Close()
}
