// Package gitsrc takes Debian sources out of git repositories, by the conventions of git-buildpackage: the tree of a commit or of the index, and the upstream tarball from
// pristine-tar or from a tag.
//
// It runs the caller's git on the host, as the caller. What is exported is still as hostile as any source: it is built in a jail by others.
package gitsrc

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"nsbuild/internal/fault"
)

// What of a repository is exported.
const (
	Head  = "HEAD"
	Index = "INDEX" // what would be committed now
)

// Repository is a git repository in which a source directory lies.
type Repository struct {
	dir    string // the source directory
	top    string // of the working tree
	prefix string // the source directory's path in the repository, "" or with a slash at its end
}

// Find looks for the repository of a directory; nil when it is in none.
func Find(ctx context.Context, dir string) (*Repository, error) {
	if _, err := exec.LookPath("git"); err != nil {
		return nil, fault.New(fault.Usage, "apt install git", "there is no git")
	}
	r := &Repository{dir: dir}
	out, err := r.git(ctx, "rev-parse", "--show-prefix")
	if err != nil {
		if strings.Contains(err.Error(), "not a git repository") {
			return nil, nil
		}
		return nil, err
	}
	r.prefix = strings.TrimSuffix(out, "\n")
	top, err := r.git(ctx, "rev-parse", "--show-toplevel")
	if err != nil {
		return nil, err
	}
	r.top = strings.TrimSuffix(top, "\n")
	return r, nil
}

// git runs a command of git's in the source directory and returns what it prints.
func (r *Repository) git(ctx context.Context, args ...string) (string, error) {
	var out, said bytes.Buffer
	c := exec.CommandContext(ctx, "git", append([]string{"-C", r.dir}, args...)...)
	c.Env = append(os.Environ(), "LC_ALL=C", "GIT_OPTIONAL_LOCKS=0")
	c.Stdout, c.Stderr = &out, &said
	if err := c.Run(); err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(said.String()))
	}
	return out.String(), nil
}

// Changes are the paths that differ from the last commit, each with git's two letters before it; files that git ignores are not among them.
func (r *Repository) Changes(ctx context.Context) ([]string, error) {
	out, err := r.git(ctx, "status", "--porcelain", "--", ".")
	if err != nil {
		return nil, err
	}
	return strings.FieldsFunc(out, func(c rune) bool { return c == '\n' }), nil
}

// Commit names the last commit.
func (r *Repository) Commit(ctx context.Context) (string, error) {
	out, err := r.git(ctx, "rev-parse", "HEAD")
	return strings.TrimSpace(out), err
}

// Export writes the source directory as it is in the last commit (Head) or in the index (Index) into a new directory.
func (r *Repository) Export(ctx context.Context, what, into string) error {
	tree := "HEAD:" + r.prefix
	if what == Index {
		args := []string{"write-tree"}
		if r.prefix != "" {
			args = append(args, "--prefix="+r.prefix)
		}
		out, err := r.git(ctx, args...)
		if err != nil {
			return err
		}
		tree = strings.TrimSpace(out)
	}
	if err := os.Mkdir(into, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(into)
	if err != nil {
		return err
	}
	defer root.Close()
	return r.archive(ctx, tree, "", func(in io.Reader) error { return unpack(root, in) })
}

// archive hands a tree as a tar archive to a reader.
func (r *Repository) archive(ctx context.Context, tree, prefix string, read func(io.Reader) error) error {
	args := []string{"-C", r.top, "archive", "--format=tar"} // below, it would look for the path from there
	if prefix != "" {
		args = append(args, "--prefix="+prefix+"/")
	}
	c := exec.CommandContext(ctx, "git", append(args, tree)...)
	var said bytes.Buffer
	c.Stderr = &said
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return fmt.Errorf("git archive: %w", err)
	}
	err = read(out)
	if err == nil {
		_, err = io.Copy(io.Discard, out) // the padding of the archive
	} else {
		_ = c.Process.Kill() // it may have ended
	}
	if ended := c.Wait(); err == nil && ended != nil {
		err = fmt.Errorf("git archive %s: %w: %s", tree, ended, strings.TrimSpace(said.String()))
	}
	return err
}

// unpack writes what git archive makes: files, directories and symbolic links.
func unpack(root *os.Root, in io.Reader) error {
	tr := tar.NewReader(in)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("git archive: %w", err)
		}
		name := filepath.FromSlash(strings.TrimSuffix(h.Name, "/"))
		switch h.Typeflag {
		case tar.TypeXGlobalHeader:
		case tar.TypeDir:
			if err := root.Mkdir(name, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
		case tar.TypeSymlink:
			if err := root.Symlink(h.Linkname, name); err != nil {
				return err
			}
		case tar.TypeReg:
			f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644|fs.FileMode(h.Mode&0o111))
			if err != nil {
				return err
			}
			_, err = io.Copy(f, tr)
			if err := errors.Join(err, f.Close()); err != nil {
				return err
			}
		default:
			return fmt.Errorf("git archive: %s is neither a file, a directory nor a symbolic link", h.Name)
		}
	}
}

// Orig makes the upstream tarball of a source in a directory: with pristine-tar where the repository has its branch and the tool is installed, else of the tag or branch that gbp.conf
// says. It returns how it was made.
func (r *Repository) Orig(ctx context.Context, conf Config, name, upstream, into string) (how string, err error) {
	if conf.PristineTar {
		if how, err = r.pristine(ctx, name, upstream, into); how != "" || err != nil {
			return how, err
		}
	}
	tree, err := r.upstreamTree(ctx, conf, upstream)
	if err != nil {
		return "", err
	}
	file := filepath.Join(into, name+"_"+upstream+".orig.tar.gz")
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return "", err
	}
	gz := gzip.NewWriter(f) // without a time: the same commit makes the same file
	err = r.archive(ctx, tree, name+"-"+upstream, func(in io.Reader) error {
		_, err := io.Copy(gz, in)
		return err
	})
	return "git archive " + tree, errors.Join(err, gz.Close(), f.Close())
}

// pristine tries pristine-tar. how is "" when it has nothing for this version, or is not there.
func (r *Repository) pristine(ctx context.Context, name, upstream, into string) (how string, err error) {
	if tool, _ := exec.LookPath("pristine-tar"); tool == "" {
		return "", nil
	}
	out, err := r.git(ctx, "ls-tree", "--name-only", "pristine-tar")
	if err != nil {
		return "", nil //nolint:nilerr // there is no such branch
	}
	for _, line := range strings.Fields(out) {
		file, ok := strings.CutSuffix(line, ".delta")
		if !ok || !strings.HasPrefix(file, name+"_"+upstream+".orig") {
			continue
		}
		c := exec.CommandContext(ctx, "pristine-tar", "checkout", filepath.Join(into, file))
		c.Dir = r.dir
		if said, err := c.CombinedOutput(); err != nil {
			return "", fmt.Errorf("pristine-tar checkout %s: %w: %s", file, err, strings.TrimSpace(string(said)))
		}
		how = "pristine-tar"
	}
	return how, nil
}

// upstreamTree is the commit that gbp would make the upstream tarball of.
func (r *Repository) upstreamTree(ctx context.Context, conf Config, upstream string) (string, error) {
	tree := conf.tag(upstream)
	switch conf.UpstreamTree {
	case "TAG", "SLOPPY", "":
	case "BRANCH":
		tree = conf.UpstreamBranch
	default:
		tree = conf.UpstreamTree
	}
	if strings.HasPrefix(tree, "-") {
		return "", fault.New(fault.GivenBack, "correct debian/gbp.conf", "upstream tree %q: no name of a commit begins so", tree)
	}
	if _, err := r.git(ctx, "rev-parse", "--verify", "--quiet", tree+"^{tree}"); err != nil {
		return "", fault.New(fault.GivenBack, "git fetch --tags, or put the tarball beside the source directory", "there is no upstream tarball for version %s, and the repository has no %s to make it of", upstream, tree)
	}
	return tree, nil
}
