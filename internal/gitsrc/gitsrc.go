// Package gitsrc takes Debian sources out of git repositories, by the conventions of
// git-buildpackage: the tree of a commit or of the index, and the upstream tarball from a
// directory, pristine-tar or a tag.
//
// A repository is as hostile as any source: what git is configured for in it, it runs. Here it is
// only looked at (Locate); git and its like run in a Jail, which others make, over read-only parts
// of the host.
package gitsrc

import (
	"context"
	"errors"
	"strings"

	"nsbuild/internal/fault"
)

// What of a repository is exported.
const (
	Head  = "HEAD"
	Index = "INDEX" // what would be committed now
)

// Changes are the paths that differ from the last commit, each with git's two letters before it;
// files that git ignores are not among them.
func (r *Repository) Changes(ctx context.Context) ([]string, error) {
	out, err := r.git(ctx, "status", "--porcelain", "--ignore-submodules=dirty", "--", ".")
	if err != nil {
		return nil, err
	}
	return strings.FieldsFunc(out, func(c rune) bool { return c == '\n' }), nil
}

// Commit names the last commit.
func (r *Repository) Commit(ctx context.Context) (string, error) {
	out, err := r.git(ctx, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
	if failed := (*Failure)(nil); errors.As(err, &failed) && failed.Said == "" {
		return "", fault.New(fault.GivenBack, "git commit, or --git=index", "%s has no commit yet",
			r.Top)
	}
	return strings.TrimSpace(out), err
}

// has tells whether a name is one of a tree, or of what leads to one.
func (r *Repository) has(ctx context.Context, tree string) (bool, error) {
	_, err := r.git(ctx, "rev-parse", "--verify", "--quiet", tree+"^{tree}")
	if failed := (*Failure)(nil); errors.As(err, &failed) {
		return false, nil
	}
	return err == nil, err
}
