package gitsrc

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"nsbuild/internal/fault"
)

// pristine makes tarballs with pristine-tar. how is "" when it has nothing for this version, or is
// not there, and nothing asks for it.
func (r *Repository) pristine(ctx context.Context, conf Config, u Upstream, into string) (
	how string, err error) {
	kept, err := r.pristineFiles(ctx)
	if err != nil {
		return "", err
	}
	var wanted []string
	for _, component := range append([]string{""}, conf.Components...) {
		file, err := r.keptTarball(ctx, conf, u, component, kept)
		if err != nil {
			return "", err
		}
		if file == "" {
			if conf.PristineTar == On && !conf.PristineTarCommit {
				return "", fault.New(fault.GivenBack, "git fetch, gbp pristine-tar commit "+
					"TARBALL, or put the tarball beside the source directory",
					"gbp.conf says pristine-tar, but no pristine-tar branch has %s*",
					u.tarball(component))
			}
			return "", nil
		}
		wanted = append(wanted, file)
	}
	if len(conf.Components) > 0 { // whose trees are in no commit
		tag, err := conf.tag(u.Version)
		if err != nil {
			return "", fault.Wrap(fault.GivenBack, "correct gbp.conf", err)
		}
		if is, err := r.has(ctx, tag); err != nil || !is {
			return "", errors.Join(err, r.noTree(u, tag, "git fetch --tags"))
		}
		if _, err := r.without(ctx, tag, conf.Components); err != nil {
			return "", err
		}
	}
	for _, file := range wanted {
		err := r.checkout(ctx, conf, file, kept, into)
		if errors.Is(err, fs.ErrNotExist) {
			if conf.PristineTar == On {
				return "", fault.New(fault.GivenBack, "apt install pristine-tar",
					"gbp.conf says pristine-tar, which is not installed")
			}
			return "", nil
		}
		if err != nil {
			return "", err
		}
	}
	return "pristine-tar", nil
}

// pristineFiles are the files of the branch that pristine-tar keeps its own in, as it finds it: the
// local one, else a remote's.
func (r *Repository) pristineFiles(ctx context.Context) ([]string, error) {
	refs, err := r.git(ctx, "for-each-ref", "--format=%(refname)", "refs/heads/pristine-tar",
		"refs/remotes/*/pristine-tar")
	if err != nil {
		return nil, err
	}
	branch, _, _ := strings.Cut(refs, "\n") // heads come before remotes
	if branch == "" {
		return nil, nil
	}
	out, err := r.git(ctx, "ls-tree", "--name-only", "-z", "--full-tree", branch)
	return strings.Split(out, "\x00"), err
}

// keptTarball is the file that pristine-tar has of a component, "" for none. Of several
// compressions it is the one that gbp.conf says, else that of the last commit.
func (r *Repository) keptTarball(ctx context.Context, conf Config, u Upstream, component string,
	kept []string) (string, error) {
	var found []string
	for _, name := range kept {
		if file, ok := strings.CutSuffix(name, ".delta"); ok &&
			strings.HasPrefix(file, u.tarball(component)) {
			found = append(found, file)
		}
	}
	c, said := compressorOf(conf.Compression)
	if !said && len(found) > 1 {
		var err error
		if c, err = r.compression(ctx, conf, u); err != nil {
			return "", err
		}
		said = true
	}
	if said {
		found = slices.DeleteFunc(found, func(file string) bool {
			return file != u.tarball(component)+c.ext
		})
	}
	if len(found) == 0 {
		return "", nil
	}
	return found[0], nil
}

// checkout has pristine-tar make a tarball again, and takes it out of the jail, with its signature.
func (r *Repository) checkout(ctx context.Context, conf Config, file string, kept []string,
	into string) error {
	argv := []string{"pristine-tar", "checkout"}
	signed := slices.Contains(kept, file+".asc") && conf.Signatures != Off
	if conf.Signatures == On && !signed {
		return fault.New(fault.GivenBack, "git fetch, or set upstream-signatures to auto",
			"gbp.conf says upstream-signatures, but the pristine-tar branch has no %s.asc", file)
	}
	if signed {
		argv = append(argv, "-s", path.Join(jailWork, file+".asc"))
	}
	c := r.command()
	c.Argv = append(argv, path.Join(jailWork, file))
	if err := r.jail.Run(ctx, c, io.Discard); err != nil {
		return err
	}
	names := []string{file}
	if signed {
		names = append(names, file+".asc")
	}
	for _, name := range names {
		take := Command{Argv: []string{"cat", path.Join(jailWork, name)}, Dir: jailWork}
		if err := r.bring(ctx, take, filepath.Join(into, name)); err != nil {
			return err
		}
	}
	return nil
}
