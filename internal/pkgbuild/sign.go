package pkgbuild

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
	"nsbuild/internal/output"
	"nsbuild/internal/regular"
)

// stageSign is no stage of sbuild's, which leaves signing to its user.
const stageSign = "sign"

// signing is the stage that comes after all others, and after what may still make the build fail:
// what failed is not signed.
func (b *builder) signing() []stage {
	if !b.o.Sign {
		return nil
	}
	return []stage{{name: stageSign, fails: stageSign, run: (*attempt).sign}}
}

// checkSigner makes sure that the results can be signed, before hours are spent on them.
func (b *builder) checkSigner(ctx context.Context) error {
	if !b.o.Sign {
		return nil
	}
	for _, tool := range [][2]string{{"debsign", "devscripts"}, {"gpg", "gnupg"}} {
		if _, err := exec.LookPath(tool[0]); err != nil {
			return fault.New(fault.Usage,
				"apt install "+tool[1]+", or build without --sign and --keyid",
				"the results cannot be signed: there is no %s", tool[0])
		}
	}
	settings, err := debsignSettings(ctx)
	if err != nil {
		return err
	}
	if settings.program != "" {
		return nil // of the user's own, who knows what it signs with
	}
	return checkKey(ctx, cmp.Or(b.o.KeyID, settings.key, b.o.Uploader, b.o.Maintainer,
		settings.maintainer, b.changedBy()))
}

// changedBy is who the .changes will say that has made the package, as far as that is known:
// debsign signs with that one's key.
func (b *builder) changedBy() string {
	switch {
	case b.o.ownVersion() && b.o.BinNMUChangelog == "":
		return DefaultMaintainer()
	case !b.o.ownVersion() && b.in.Tree != nil:
		return b.in.Tree.Changelog.Maintainer
	}
	return ""
}

// debsignConfig is what debsign's configuration says.
type debsignConfig struct{ key, maintainer, program string }

// debsignSettings reads the configuration of debsign, which is a script for the shell.
func debsignSettings(ctx context.Context) (c debsignConfig, err error) {
	const script = `unset DEBSIGN_KEYID DEBSIGN_MAINT DEBSIGN_PROGRAM
		for f in /etc/devscripts.conf ~/.devscripts; do [ ! -r $f ] || . $f; done >&2
		printf '%s\n%s\n%s\n' "$DEBSIGN_KEYID" "$DEBSIGN_MAINT" "$DEBSIGN_PROGRAM"`
	said, err := tell(exec.CommandContext(ctx, "sh", "-c", script))
	if err != nil {
		return c, fault.Wrap(fault.Usage, "mend /etc/devscripts.conf or ~/.devscripts",
			fmt.Errorf("the configuration of debsign: %w", err))
	}
	lines := append(strings.Split(said, "\n"), "", "", "")
	return debsignConfig{lines[0], lines[1], lines[2]}, nil
}

// shortKey is an id of a key that debsign refuses, as anybody can make a key that has it.
var shortKey = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(0x)?[a-zA-Z0-9]{8}$`)
})

// checkKey asks gpg whether there is a secret key of this name; "" is any.
func checkKey(ctx context.Context, name string) error {
	const hint = "gpg --list-secret-keys shows those that there are; choose one with --keyid"
	if shortKey().MatchString(name) {
		return fault.New(fault.Usage, hint,
			"the results cannot be signed: debsign refuses %s, a short key ID", name)
	}
	argv := []string{"--batch", "--with-colons", "--list-secret-keys"}
	if name != "" {
		argv = append(argv, "--", name)
	}
	keys, err := tell(exec.CommandContext(ctx, "gpg", argv...))
	if err != nil {
		return fault.New(fault.Usage, hint, "the results cannot be signed as %q: %w",
			cmp.Or(name, "anybody"), err)
	}
	why := "there is no secret key"
	for line := range strings.Lines(keys) {
		fields := strings.Split(line, ":")
		if fields[0] != "sec" || len(fields) < 2 {
			continue
		}
		bad, is := map[string]string{"e": "the key has expired", "r": "the key is revoked",
			"d": "the key is disabled", "i": "the key is not valid"}[fields[1]]
		if !is {
			return nil
		}
		why = bad
	}
	return fault.New(fault.Usage, hint, "the results cannot be signed as %q: gpg: %s",
		cmp.Or(name, "anybody"), why)
}

// tell runs a command and returns what it prints. Its error has the last line of what it complained
// of.
func tell(c *exec.Cmd) (string, error) {
	out, complaints := output.Capture{Limit: 1 << 20}, bytes.Buffer{}
	c.Stdout, c.Stderr = &out, &complaints
	err := c.Run()
	if lines := strings.Split(strings.TrimSpace(complaints.String()), "\n"); err != nil &&
		lines[len(lines)-1] != "" {
		return "", errors.New(lines[len(lines)-1])
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", c.Args[0], err)
	}
	return out.String()
}

// sign has debsign sign the results, on the host and as the caller: no key comes near the jail. It
// signs the .dsc and the .buildinfo, and corrects their hashes in the .changes. It does so beside
// the results, which are replaced when all are signed.
func (at *attempt) sign(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp(at.output, ".nsbuild-")
	if err != nil {
		return noPlace(at.output, reason(err))
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	var signed []string
	for _, file := range at.found.files {
		if slices.Contains([]string{".dsc", ".buildinfo", ".changes"}, filepath.Ext(file)) {
			signed = append(signed, filepath.Base(file))
			if err := copyFile(filepath.Join(dir, filepath.Base(file)), file); err != nil {
				return noPlace(at.output, reason(err))
			}
		}
	}
	if err := at.debsign(ctx, dir, signed); err != nil {
		return err
	}
	done, err := at.env.publishing(ctx)
	if err != nil {
		return err
	}
	for _, name := range signed {
		if e := os.Rename(filepath.Join(dir, name), filepath.Join(at.output, name)); e != nil {
			err = errors.Join(err, fmt.Errorf("storing %s: %w", name, reason(e)))
		}
	}
	for _, name := range signed {
		if filepath.Ext(name) == ".changes" && err == nil {
			err = at.noteSigned(filepath.Join(at.output, name))
		}
	}
	return errors.Join(err, done())
}

// debsign signs what the .changes among the files of a directory list, and them.
func (at *attempt) debsign(ctx context.Context, dir string, files []string) error {
	// Once: what a second .changes lists as well would otherwise not be any more what the first
	// says of it.
	again := "--re-sign"
	for _, file := range files {
		if filepath.Ext(file) != ".changes" {
			continue
		}
		args := at.o.identities()
		if at.o.KeyID != "" {
			args = []string{"-k" + at.o.KeyID}
		}
		c := exec.CommandContext(ctx, "debsign", append(args, again, file)...)
		again = "--no-re-sign"
		out := at.log.Stream()
		c.Dir, c.Stdin, c.Stdout, c.Stderr = dir, os.Stdin, out, out
		err := c.Run()
		out.Flush()
		if err != nil {
			return fault.Wrap(fault.Internal, "the log has what debsign said; the results are "+
				"there, unsigned: debsign "+filepath.Join(at.output, file),
				fmt.Errorf("debsign %s: %w", file, err))
		}
	}
	return nil
}

// copyFile makes a copy of a small file.
func copyFile(to, from string) (err error) {
	in, err := regular.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
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
