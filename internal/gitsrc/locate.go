package gitsrc

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"nsbuild/internal/fault"
	"nsbuild/internal/regular"
)

// Where the parts of a repository are in a jail. Nothing of the host's paths is needed there.
const (
	jailTree   = "/repository/tree"
	jailGit    = "/repository/git"
	jailBorrow = "/repository/objects" // with a number behind it
)

// Place is a file or a directory of the host that a jail needs, and where.
type Place struct{ Host, Jail string }

// Layout is where on the host the parts of a repository are. It is found by reading only: a source
// directory may be hostile, so nothing of it is run, and none of it is a program's configuration.
type Layout struct {
	Dir    string // the source directory
	Top    string // of the working tree
	Prefix string // the source directory's path below Top: "", or with a slash at its end
	Git    string // what is this working tree's own: index and HEAD
	Common string // what its worktrees share: objects, branches, configuration
	// borrowed are directories of objects of other repositories.
	borrowed []string
}

// Locate looks for the repository of a directory; nil when it is in none.
func Locate(dir string) (*Layout, error) {
	dir, err := filepath.Abs(dir)
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return nil, err
	}
	for top := dir; ; top = filepath.Dir(top) {
		git, err := gitDir(top)
		if err != nil {
			return nil, err
		}
		if git == "" && top != "/" {
			continue
		}
		if git == "" {
			return nil, nil
		}
		l := &Layout{Dir: dir, Top: top, Git: git, Common: git}
		if rel := strings.TrimPrefix(strings.TrimPrefix(dir, top), "/"); rel != "" {
			l.Prefix = rel + "/"
		}
		if err := l.follow(); err != nil {
			return nil, err
		}
		err = noPipes(l.Git)
		if err == nil && l.Common != l.Git {
			err = noPipes(l.Common)
		}
		return l, err
	}
}

// noPipes refuses a git directory with pipes in it: git would wait for whoever writes to one.
func noPipes(dir string) error {
	return filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // git says what it cannot read, where it needs that
		}
		if e.Type()&fs.ModeNamedPipe != 0 {
			return fault.New(fault.GivenBack, "remove it, or clone the repository",
				"%s is a pipe (FIFO), which git would wait for", name)
		}
		return nil
	})
}

// gitDir is the git directory of a working tree, "" when no working tree begins here. Git goes on
// upwards from a .git that is a directory of another kind; a .git file that is wrong is an error.
func gitDir(top string) (string, error) {
	name := filepath.Join(top, ".git")
	info, err := os.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", err
	case info.Mode()&os.ModeSymlink != 0:
		return resolvedGit(name, name)
	case info.IsDir():
		if !isGitDir(name) {
			return "", nil
		}
		return name, nil
	case !info.Mode().IsRegular():
		return "", nil
	}
	text, err := readSmall(name)
	if err != nil {
		return "", err
	}
	to, ok := strings.CutPrefix(text, "gitdir: ")
	if !ok {
		return "", fault.New(fault.GivenBack, "build it without --git",
			"%s is neither a git directory nor a file that names one", name)
	}
	return resolvedGit(name, against(top, strings.TrimRight(to, "\r\n")))
}

// resolvedGit is the git directory that a .git file or link names.
func resolvedGit(name, to string) (string, error) {
	git, err := filepath.EvalSymlinks(to)
	if err == nil && !isGitDir(git) {
		err = errors.New("it is no git directory")
	}
	if err != nil {
		return "", fault.Wrap(fault.GivenBack, "git worktree repair, or build it without --git",
			fmt.Errorf("%s names %s: %w", name, to, err))
	}
	return git, nil
}

// isGitDir tells whether a directory is one of git's, by what git looks for in it.
func isGitDir(dir string) bool {
	if _, err := os.Lstat(filepath.Join(dir, "HEAD")); err != nil {
		return false
	}
	if _, err := os.Lstat(filepath.Join(dir, "commondir")); err == nil {
		return true
	}
	for _, part := range []string{"objects", "refs"} {
		if info, err := os.Stat(filepath.Join(dir, part)); err != nil || !info.IsDir() {
			return false
		}
	}
	return true
}

// follow finds what lies outside of the git directory, and refuses what a hostile source directory
// could point to: another repository of the caller's is opened only when it says itself that it
// belongs to this working tree.
func (l *Layout) follow() error {
	if text, err := readSmall(filepath.Join(l.Git, "commondir")); err == nil {
		common, err := filepath.EvalSymlinks(against(l.Git, strings.TrimRight(text, "\r\n")))
		if err == nil && !isGitDir(common) {
			err = errors.New("it is no git directory")
		}
		if err != nil {
			return fault.Wrap(fault.GivenBack, "git worktree repair",
				fmt.Errorf("the repository of worktree %s: %w", l.Top, err))
		}
		l.Common = common
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if l.Common != l.Git && filepath.Dir(l.Git) != filepath.Join(l.Common, "worktrees") {
		return fault.New(fault.GivenBack, "git worktree repair",
			"%s is no worktree of the repository %s that it names", l.Git, l.Common)
	}
	outside := !within(l.Git, l.Top) || !within(l.Common, l.Top)
	if outside && !l.belongs() {
		hint := fmt.Sprintf("if it is: git -C %s config core.worktree %s", l.Top, l.Top)
		if l.Common != l.Git {
			hint = "if it is: git worktree repair"
		}
		return fault.New(fault.GivenBack, hint,
			"%s names the git directory %s, which does not say that it is %s's",
			filepath.Join(l.Top, ".git"), l.Git, l.Top)
	}
	for _, dir := range []string{l.Git, l.Common} {
		for _, part := range []string{"objects", "refs", "HEAD", "config", "index", "packed-refs"} {
			if err := l.staysInside(filepath.Join(dir, part)); err != nil {
				return err
			}
		}
	}
	return l.borrow(filepath.Join(l.Common, "objects"), 0)
}

// belongs tells whether a git directory outside of the working tree says that it belongs to it.
func (l *Layout) belongs() bool {
	if l.Common != l.Git { // a worktree: git notes where it is
		text, err := readSmall(filepath.Join(l.Git, "gitdir"))
		back := against(l.Git, strings.TrimRight(text, "\r\n"))
		return err == nil && same(filepath.Dir(back), l.Top) && filepath.Base(back) == ".git"
	}
	config, err := readSmall(filepath.Join(l.Git, "config")) // a submodule, or --separate-git-dir
	if err != nil {
		return false
	}
	tree := coreWorktree(config)
	return tree != "" && same(against(l.Git, tree), l.Top)
}

// staysInside refuses a link of a git directory that leads out of it: the jail does not have what
// is there.
func (l *Layout) staysInside(name string) error {
	if info, err := os.Lstat(name); err != nil || info.Mode()&os.ModeSymlink == 0 {
		return nil //nolint:nilerr // what is not there leads nowhere
	}
	to, err := filepath.EvalSymlinks(name)
	if err == nil && !within(to, l.Common) && !within(to, l.Git) {
		err = fmt.Errorf("it leads to %s", to)
	}
	if err != nil {
		return fault.Wrap(fault.GivenBack, "clone the repository",
			fmt.Errorf("%s is a link that leaves the git directory: %w", name, err))
	}
	return nil
}

// maxBorrow is how many repositories git follows that borrow from one another.
const maxBorrow = 5

// borrow finds the objects of other repositories that are used by one (objects/info/alternates in
// gitrepository-layout(5)). A source directory that has its repository with it may only name what
// lies in it: else it could show any repository of the caller's to the build.
func (l *Layout) borrow(objects string, depth int) error {
	text, err := readSmall(filepath.Join(objects, "info", "alternates"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if depth == maxBorrow {
		return fault.New(fault.GivenBack, "", "%s: too many repositories borrow from one another",
			l.Common)
	}
	own := within(l.Common, l.Top)
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		to, err := filepath.EvalSymlinks(against(objects, line))
		switch {
		case err != nil:
		case own && !within(to, l.Top):
			err = errors.New("it lies outside of the source directory")
		case !objectDir(to):
			err = errors.New("there are no objects of git's")
		}
		if err != nil {
			return fault.Wrap(fault.GivenBack,
				fmt.Sprintf("git -C %s repack -a -d && rm %s", l.Top,
					filepath.Join(objects, "info/alternates")),
				fmt.Errorf("the repository borrows objects from %s: %w", line, err))
		}
		l.borrowed = append(l.borrowed, to)
		if err := l.borrow(to, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// objectDir tells whether a directory is one of git's objects: it has one of the two that git makes
// there.
func objectDir(dir string) bool {
	for _, part := range []string{"pack", "info"} {
		if info, err := os.Stat(filepath.Join(dir, part)); err == nil && info.IsDir() {
			return filepath.Base(dir) == "objects"
		}
	}
	return false
}

// Places are what a jail needs of the host to work on the repository, all of it read-only. Of the
// working tree that is the source directory, and what git reads on the way to it; not what lies
// beside it.
func (l *Layout) Places() []Place {
	out := []Place{{l.Dir, path.Join(jailTree, filepath.ToSlash(l.Prefix))}}
	for at := l.Dir; at != l.Top; {
		at = filepath.Dir(at)
		for _, name := range []string{".gitignore", ".gitattributes", ".gitmodules"} {
			file := filepath.Join(at, name)
			if info, err := os.Lstat(file); err == nil && info.Mode().IsRegular() {
				rel := strings.TrimPrefix(file, l.Top)
				out = append(out, Place{file, path.Join(jailTree, filepath.ToSlash(rel))})
			}
		}
	}
	out = append(out, Place{l.Common, jailGit}) // Git is in it
	for i, dir := range l.borrowed {
		out = append(out, Place{dir, fmt.Sprintf("%s%d", jailBorrow, i)})
	}
	return out
}

// inJail is where a file of the host is in a jail that has the Places.
func (l *Layout) inJail(host string) (string, bool) {
	at, ok := "", false
	for _, p := range l.Places() {
		if within(host, p.Host) { // the last is the git directory, which may be in the tree, too
			at, ok = path.Join(p.Jail, filepath.ToSlash(strings.TrimPrefix(host, p.Host))), true
		}
	}
	return at, ok
}

// coreWorktree is core.worktree of a git configuration (git-config(1)), "" where it is not said
// plainly. It is only compared: what is read wrongly here is refused.
func coreWorktree(config string) string {
	section, found := "", ""
	for line := range strings.Lines(config) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			section = strings.ToLower(strings.Trim(line, "[] \t"))
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if ok && section == "core" && strings.EqualFold(strings.TrimSpace(name), "worktree") {
			found = strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return found
}

// readSmall reads a file of a git directory that has a few lines. It is no more than a file there:
// a link or a pipe in its place is refused.
func readSmall(name string) (string, error) {
	const bound = 1 << 20
	f, err := regular.OpenNoFollow(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, bound+1))
	if err == nil && len(data) > bound {
		err = fault.New(fault.GivenBack, "", "%s has more than %d bytes", name, bound)
	}
	return string(data), err
}

// against makes a path absolute that is relative to a directory.
func against(dir, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, name)
}

// same tells whether a directory is the one with this real path. Links are followed, but it is
// names that are compared: a hard link would make one file two.
func same(dir, path string) bool {
	dir, err := filepath.EvalSymlinks(dir)
	return err == nil && dir == path
}

// within tells whether a path is a directory or below it.
func within(name, dir string) bool {
	return name == dir || strings.HasPrefix(name, strings.TrimSuffix(dir, "/")+"/")
}
