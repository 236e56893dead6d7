package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"unicode"

	"github.com/sirupsen/logrus"

	"nsbuild/internal/fault"
	"nsbuild/internal/gitsrc"
	"nsbuild/internal/jails"
	"nsbuild/internal/regular"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/workdir"
)

// gitJail runs the host's git, and what belongs to it, over a repository of the caller's:
// read-only, without network, and over no more of the host than its programs. A repository can have
// git run anything.
type gitJail struct {
	holder jails.Holder
	jail   jails.Jail
	dir    string // its root: mount points only
	work   string // its /tmp, on disk
	env    []string
	git    string // the program
	log    logrus.FieldLogger
}

// gitConfig stands for the caller's and the system's configuration of git. The repository may be
// another user's: here git can do no harm in it.
const (
	gitConfig = "/etc/gitconfig"
	gitIgnore = "/etc/gitignore" // what the caller has git ignore everywhere
)

// openGitJail opens a jail over the parts of a repository.
func (o *Opener) openGitJail(ctx context.Context, l *gitsrc.Layout) (_ *gitJail, err error) {
	tools, err := findGit(ctx, l.Top)
	if err != nil {
		return nil, err
	}
	j := &gitJail{git: tools.git, log: o.Log, env: []string{
		"PATH=" + tools.path, "HOME=/nonexistent", "LC_ALL=C", "TMPDIR=/tmp",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + gitConfig, "GIT_ATTR_NOSYSTEM=1",
		"GIT_PAGER=cat",
	}}
	defer func() {
		if err != nil {
			err = errors.Join(err, j.close(ctx))
		}
	}()
	if j.dir, err = o.Work.Make("git-jail-"); err != nil {
		return nil, err
	}
	if j.work, err = o.workDir(); err != nil {
		return nil, err
	}
	spec := sandbox.Spec{Root: sandbox.Root{Dir: j.dir, ReadOnly: true}, Mounts: []sandbox.Mount{
		{Type: "bind", Source: j.work, Target: "/tmp", NoSuid: true, NoDev: true},
		{Type: "tmpfs", Target: "/repository", NoSuid: true, NoDev: true, NoExec: true,
			Data: "mode=0755,size=1m"},
	}}
	for _, name := range append(tools.trees, "/etc/ld.so.cache", "/etc/perl") {
		if err := j.show(&spec, name); err != nil {
			return nil, err
		}
	}
	excludes, err := callersExcludes(ctx, tools.git)
	if err != nil {
		return nil, err
	}
	if err := j.skeleton(excludes); err != nil {
		return nil, err
	}
	for _, p := range l.Places() {
		spec.Mounts = append(spec.Mounts, repositoryMount(p))
	}
	if os.Geteuid() != 0 {
		spec.Caller = &sandbox.Caller{} // else the caller's files are nobody's there
	}
	if j.holder, err = o.Work.Hold(ctx, o.IDs); err != nil {
		return nil, err
	}
	if j.jail, err = j.holder.NewJail(ctx, spec); err != nil {
		return nil, err
	}
	return j, j.tryGit(ctx)
}

// tryGit finds out whether the caller's own git runs in the jail, and takes the system's where it
// does not.
func (j *gitJail) tryGit(ctx context.Context) error {
	if slices.ContainsFunc(systemTrees(), func(tree string) bool { return within(j.git, tree) }) {
		return nil
	}
	err := j.Run(ctx, gitsrc.Command{Argv: []string{"git", "version"}, Dir: "/"}, io.Discard)
	const systems = "/usr/bin/git"
	if _, missing := os.Stat(systems); err == nil || missing == nil {
		if err != nil {
			j.git = systems
		}
		return nil
	}
	return fault.Wrap(fault.Usage, "apt install git",
		fmt.Errorf("%s does not run by itself: %w", j.git, err))
}

// workDir is a directory that the jail's root may write to, below one that nobody else may enter.
// It has room for the objects that git makes on the way.
func (o *Opener) workDir() (string, error) {
	dir, err := o.Work.Make("git-work-")
	if err != nil {
		return "", err
	}
	objects := filepath.Join(dir, "objects")
	if err := os.Mkdir(objects, 0o755); err != nil {
		return "", err
	}
	if os.Geteuid() != 0 {
		return dir, nil // jail root is the caller
	}
	return dir, errors.Join(os.Chown(dir, int(o.IDs.UIDBase), int(o.IDs.GIDBase)),
		os.Chown(objects, int(o.IDs.UIDBase), int(o.IDs.GIDBase)))
}

// repositoryMount shows a part of a repository, with its owners as far as that is possible.
func repositoryMount(p gitsrc.Place) sandbox.Mount {
	m := sandbox.Mount{Type: "bind", Source: p.Host, Target: p.Jail, Mkdir: true, NoLinks: true,
		ReadOnly: true, NoSuid: true, NoDev: true}
	if os.Geteuid() == 0 {
		m.Map = sandbox.MapAll
	}
	return m
}

// show adds a file or a directory of the host's programs to the jail, by the same name: a link as a
// link.
func (j *gitJail) show(spec *sandbox.Spec, name string) error {
	info, err := os.Lstat(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	at := filepath.Join(j.dir, name)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	switch {
	case info.Mode()&os.ModeSymlink != 0:
		to, err := os.Readlink(name)
		if err != nil {
			return err
		}
		return os.Symlink(to, at)
	case info.IsDir():
		err = os.Mkdir(at, 0o755)
	default:
		err = os.WriteFile(at, nil, 0o644)
	}
	if errors.Is(err, os.ErrExist) {
		err = nil
	}
	spec.Mounts = append(spec.Mounts, sandbox.Mount{Type: "rbind", Source: name, Target: name,
		Mkdir:    true,
		ReadOnly: true, NoSuid: true, NoDev: true})
	return err
}

// skeleton makes the rest of the jail's root: the mount points, and the files that git looks for.
func (j *gitJail) skeleton(excludes string) error {
	for _, dir := range []string{"proc", "sys", "dev", "tmp", "etc", "repository"} {
		if err := os.MkdirAll(filepath.Join(j.dir, dir), 0o755); err != nil {
			return err
		}
	}
	for name, text := range map[string]string{
		gitConfig:     "[safe]\n\tdirectory = *\n[core]\n\texcludesFile = " + gitIgnore + "\n",
		gitIgnore:     excludes,
		"/etc/passwd": "root:x:0:0:root:/nonexistent:/bin/sh\n",
		"/etc/group":  "root:x:0:\n",
	} {
		if err := os.WriteFile(filepath.Join(j.dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return openToAll(j.dir)
}

// callersExcludes are the patterns of files that the caller has git ignore in every repository
// (gitignore(5)).
func callersExcludes(ctx context.Context, git string) (string, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return "", nil //nolint:nilerr // without a home there are none
	}
	config := os.Getenv("XDG_CONFIG_HOME")
	if config == "" {
		config = filepath.Join(home, ".config")
	}
	file := filepath.Join(config, "git/ignore")
	ask := exec.CommandContext(ctx, git, "config", "--global", "--includes", "--path",
		"core.excludesFile")
	ask.Dir = "/" // no source directory
	ask.Env = []string{"HOME=" + home, "XDG_CONFIG_HOME=" + config, "GIT_CONFIG_NOSYSTEM=1",
		"GIT_CEILING_DIRECTORIES=/"}
	if said, err := ask.Output(); err == nil && len(said) > 0 { // status 1: it is not set
		file = strings.TrimSuffix(string(said), "\n")
	}
	const bound = 1 << 20
	text, err := regular.ReadFile(file, bound)
	if err != nil {
		return "", nil //nolint:nilerr // git goes on without it, too
	}
	return string(text), nil
}

// openToAll lets everybody in whom the caller's umask keeps out: in the jail the caller may be
// nobody.
func openToAll(dir string) error {
	return filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return os.Chmod(name, 0o755)
		case d.Type().IsRegular():
			return os.Chmod(name, 0o644)
		}
		return nil
	})
}

// close ends what runs in the jail, and deletes what it wrote.
func (j *gitJail) close(ctx context.Context) error {
	var errs []error
	if j.holder != nil {
		errs = append(errs, j.holder.Close())
	}
	if j.dir != "" {
		errs = append(errs, os.RemoveAll(j.dir))
	}
	if j.work != "" {
		ctx, cancel := workdir.Afterwards(ctx)
		defer cancel()
		errs = append(errs, workdir.UnlessLate(j.log, sandbox.RemoveTree(ctx, j.work)))
	}
	return errors.Join(errs...)
}

// maxSaid bounds what is kept of what a program says on its standard error, in bytes.
const maxSaid = 4 << 10

// Run runs a command of the jail; see gitsrc.Jail.
func (j *gitJail) Run(ctx context.Context, c gitsrc.Command, out io.Writer) error {
	argv := slices.Clone(c.Argv)
	if argv[0] == "git" {
		argv[0] = j.git
	}
	command := sandbox.Command{Argv: argv, Dir: c.Dir, Env: append(slices.Clone(j.env), c.Env...)}
	feed, err := feedFrom(c.In)
	if err != nil {
		return err
	}
	command.Stdin = feed.r
	said := &firstPart{left: maxSaid}
	status, err := j.jail.RunTo(ctx, command, out, said)
	err = errors.Join(err, feed.end())
	if err == nil && !status.Success() {
		err = &gitsrc.Failure{Name: commandName(c.Argv), Status: status.String(),
			Said: printable(said.text.String())}
	}
	return err
}

// printable is what a program said, on one line: in the jail, anybody may have said it.
func printable(text string) string {
	lines := strings.FieldsFunc(text, func(c rune) bool { return c == '\n' || c == '\r' })
	return strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return '?'
		}
		return c
	}, strings.Join(lines, "; "))
}

// commandName is what an error calls a command: the program and what it was to do.
func commandName(argv []string) string {
	for i := 1; i < len(argv); i++ {
		if argv[i] == "-c" {
			i++
			continue
		}
		return argv[0] + " " + argv[i]
	}
	return argv[0]
}

// feed is a command's standard input.
type feed struct {
	r    *os.File
	done chan error
}

// feedFrom copies a reader to a pipe; without one, the command reads nothing.
func feedFrom(in io.Reader) (*feed, error) {
	f := &feed{done: make(chan error, 1)}
	if in == nil {
		f.done <- nil
		return f, nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	f.r = r
	go func() {
		_, err := io.Copy(w, in)
		if errors.Is(err, syscall.EPIPE) { // it did not want all of it
			err = nil
		}
		f.done <- errors.Join(err, w.Close())
	}()
	return f, nil
}

// end is called when the command has ended.
func (f *feed) end() error {
	var err error
	if f.r != nil {
		err = f.r.Close() // nobody reads any more: the copying ends
	}
	return errors.Join(<-f.done, err)
}

// firstPart keeps the first bytes that are written to it.
type firstPart struct {
	text bytes.Buffer
	left int
}

func (f *firstPart) Write(p []byte) (int, error) {
	n := min(len(p), f.left)
	f.left -= n
	f.text.Write(p[:n])
	return len(p), nil
}

// hostGit is the host's git.
type hostGit struct {
	git   string   // the program
	path  string   // PATH in the jail
	trees []string // what the jail needs of the host for it
}

// systemTrees are where a system keeps its programs.
func systemTrees() []string {
	return []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/libexec"}
}

// stores are where package managers keep all of theirs beside the system's.
func stores() []string { return []string{"/nix/store", "/gnu/store", "/home/linuxbrew/.linuxbrew"} }

// findGit looks for git in the caller's PATH, but not in a source directory that is in it. A git
// that is not the system's brings along what it is made of.
func findGit(ctx context.Context, source string) (*hostGit, error) {
	found, err := exec.LookPath("git")
	if err == nil {
		found, err = filepath.Abs(found)
	}
	if err != nil {
		return nil,
			fault.Wrap(fault.Usage, "apt install git", fmt.Errorf("there is no git: %w", err))
	}
	g := &hostGit{git: found, path: filepath.Dir(found) + ":/usr/local/bin:/usr/bin:/bin",
		trees: systemTrees()}
	target, err := filepath.EvalSymlinks(found)
	if err != nil {
		return nil, err
	}
	if within(found, source) || within(target, source) {
		return nil, fault.New(fault.Usage, "take it out of PATH",
			"the git in PATH, %s, is the source directory's own", found)
	}
	if g.has(found) && g.has(target) {
		return g, nil
	}
	where := exec.CommandContext(ctx, found, "--exec-path") // it looks at no repository for that
	where.Dir, where.Env = "/", []string{"HOME=/nonexistent", "GIT_CONFIG_NOSYSTEM=1"}
	out, err := where.Output()
	if err != nil {
		return nil, fmt.Errorf("%s --exec-path: %w", found, err)
	}
	lib := filepath.Join(filepath.Dir(filepath.Dir(target)), "lib")
	for _, dir := range []string{filepath.Dir(found), filepath.Dir(target),
		strings.TrimSpace(string(out)), lib} {
		g.bring(dir)
	}
	return g, nil
}

// bring adds a directory of programs or libraries to what the jail needs; of a store, all of it.
func (g *hostGit) bring(dir string) {
	for _, store := range stores() {
		if within(dir, store) {
			dir = store
		}
	}
	if _, err := os.Stat(dir); err == nil && !g.has(dir) {
		g.trees = append(g.trees, dir)
	}
}

// has tells whether the jail has a file of the host already.
func (g *hostGit) has(name string) bool {
	return slices.ContainsFunc(g.trees, func(tree string) bool { return within(name, tree) })
}

func within(name, dir string) bool {
	return name == dir || strings.HasPrefix(name, strings.TrimSuffix(dir, "/")+"/")
}
