package pkgbuild

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
)

// stageSign is no stage of sbuild's, which leaves signing to its user.
const stageSign = "sign"

// checkSigner makes sure that the results can be signed, before hours are spent on them.
func (k *Kind) checkSigner() error {
	if !k.Sign {
		return nil
	}
	for tool, pkg := range map[string]string{"debsign": "devscripts", "gpg": "gnupg"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fault.New(fault.Usage,
				"apt install "+pkg+", or build without --sign and --keyid",
				"the results cannot be signed: there is no %s", tool)
		}
	}
	return nil
}

// sign has debsign sign the results, on the host and as the caller: no key comes near the jail. It
// signs the .dsc and the .buildinfo, and corrects their hashes in the .changes.
func (at *attempt) sign(ctx context.Context) error {
	// Once: what a second .changes lists as well would otherwise not be any more what the first
	// says of it.
	again := "--re-sign"
	for _, file := range at.found.files {
		if filepath.Ext(file) != ".changes" {
			continue
		}
		var args []string
		if at.o.KeyID != "" {
			args = append(args, "-k"+at.o.KeyID)
		} else {
			args = append(args, at.o.identities()...)
		}
		c := exec.CommandContext(ctx, "debsign", append(args, again, file)...)
		again = "--no-re-sign"
		out := at.log.Stream()
		c.Stdin, c.Stdout, c.Stderr = os.Stdin, out, out
		err := c.Run()
		out.Flush()
		if err != nil {
			return fault.Wrap(fault.Internal,
				"the log has what debsign said; the results are there, unsigned: debsign "+file,
				fmt.Errorf("debsign %s: %w", filepath.Base(file), err))
		}
		if err := at.noteSigned(file); err != nil {
			return err
		}
	}
	return nil
}

// noteSigned records the hashes that a .changes and what it lists have now.
func (at *attempt) noteSigned(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	changes, err := dsc.ParseChanges(file, f, nil)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	for i := range at.found.artefacts {
		a := &at.found.artefacts[i]
		if f, ok := changes.Listed(a.Name); ok {
			a.Size, a.SHA256 = f.Size, f.SHA256
		} else if a.Path == file {
			if a.Hashed, err = hashed(file); err != nil {
				return err
			}
		}
	}
	return nil
}
