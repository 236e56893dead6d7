package source

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	logtest "github.com/sirupsen/logrus/hooks/test"

	"nsbuild/internal/gitsrc"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/testenv"
	"nsbuild/internal/workdir"
)

// check ends a test that cannot go on.
func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// write makes a file, and the directories above it.
func write(t *testing.T, name, text string, mode os.FileMode) {
	t.Helper()
	check(t, os.MkdirAll(filepath.Dir(name), 0o755))
	check(t, os.WriteFile(name, []byte(text), mode))
	check(t, os.Chmod(name, mode))
}

// hostGitOf runs git on the host, as somebody who made the repository would.
func hostGitOf(t *testing.T, dir string, args ...string) string {
	t.Helper()
	c := exec.Command("git", args...)
	c.Dir = dir
	c.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=A B",
		"GIT_AUTHOR_EMAIL=a@mirror.example",
		"GIT_COMMITTER_NAME=A B", "GIT_COMMITTER_EMAIL=a@mirror.example")
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// gitEnv is an environment with a scratch directory, for jails of git's.
func gitEnv(t *testing.T) *Opener {
	t.Helper()
	testenv.RequireUserns(t)
	testenv.RequireTool(t, "git")
	testenv.HostState(t)
	ids, err := sandbox.ResolveIDs()
	check(t, err)
	log, _ := logtest.NewNullLogger()
	work, err := workdir.Open(t.Context(), t.TempDir(), log)
	check(t, err)
	t.Cleanup(func() { check(t, work.Close(t.Context(), log)) })
	return &Opener{Work: work, IDs: ids, Log: log}
}

// withGit opens the repository of a directory in a jail.
func withGit(t *testing.T, e *Opener, dir string, do func(*gitsrc.Repository)) {
	t.Helper()
	l, err := gitsrc.Locate(dir)
	if err != nil || l == nil {
		t.Fatal(l, err)
	}
	x := &export{Opener: e}
	check(t, x.inRepository(t.Context(), l, func(r *gitsrc.Repository) error { do(r); return nil }))
}

// sourceRepository has a tag of upstream's, and debian/ in the last commit.
func sourceRepository(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "pkg")
	check(t, os.Mkdir(dir, 0o755))
	hostGitOf(t, dir, "init", "-q")
	write(t, filepath.Join(dir, "a.txt"), "a\n", 0o644)
	write(t, filepath.Join(dir, "run"), "#!/bin/sh\n", 0o755)
	hostGitOf(t, dir, "add", ".")
	hostGitOf(t, dir, "commit", "-q", "-m", "upstream")
	hostGitOf(t, dir, "tag", "upstream/1.0")
	write(t, filepath.Join(dir, "debian/control"), "Source: evil\n", 0o644)
	hostGitOf(t, dir, "add", ".")
	hostGitOf(t, dir, "commit", "-q", "-m", "debian")
	return dir
}

// everything does all that nsbuild does with a repository. That git fails there is no matter.
func everything(t *testing.T, e *Opener, dir string) {
	t.Helper()
	l, err := gitsrc.Locate(dir)
	if err != nil || l == nil {
		t.Log("refused:", err)
		return
	}
	x := &export{Opener: e}
	err = x.inRepository(t.Context(), l, func(r *gitsrc.Repository) error {
		conf, err := gitsrc.ReadConfig(l, os.Getenv)
		if err != nil {
			return err
		}
		if _, err := r.Changes(t.Context()); err != nil {
			t.Log("changes:", err)
		}
		for _, what := range []string{gitsrc.Head, gitsrc.Index} {
			if _, err := r.Export(t.Context(), what, filepath.Join(t.TempDir(), "x"),
				true); err != nil {
				t.Log("export:", err)
			}
		}
		for _, tree := range []string{"TAG", "SLOPPY", "HEAD"} {
			conf.UpstreamTree, conf.DebianBranch, conf.Submodules = tree, "HEAD", true
			if _, err := r.Orig(t.Context(), conf, gitsrc.Upstream{Name: "evil", Version: "1.0"},
				t.TempDir()); err != nil {
				t.Log("orig:", err)
			}
		}
		return nil
	})
	if err != nil {
		t.Log("in the jail:", err)
	}
}

// TestGitRunsNothing puts into a repository all that git can be had to run, and looks whether it
// was.
func TestGitRunsNothing(t *testing.T) {
	e := gitEnv(t)
	config := func(text string) func(*testing.T, string, string) {
		return func(t *testing.T, dir, trap string) {
			f, err := os.OpenFile(filepath.Join(dir, ".git/config"), os.O_APPEND|os.O_WRONLY, 0)
			check(t, err)
			_, err = f.WriteString(strings.ReplaceAll(text, "TRAP", trap))
			check(t, err)
			check(t, f.Close())
			write(t, filepath.Join(dir, ".git/info/attributes"), "*.txt filter=x diff=x merge=x\n",
				0o644)
			// of the same size: git has to look into it
			write(t, filepath.Join(dir, "a.txt"), "b\n", 0o644)
			old := time.Unix(1e9, 0)
			check(t, os.Chtimes(filepath.Join(dir, "a.txt"), old, old))
		}
	}
	for _, c := range []struct {
		name string
		lay  func(t *testing.T, dir, trap string)
		live []string // a command of git's that falls into it on the host
	}{
		{"core.fsmonitor", config("[core]\nfsmonitor = TRAP\n"), []string{"status"}},
		{"filter.clean", config("[filter \"x\"]\nclean = TRAP\n"), []string{"status"}},
		{"filter.smudge", config("[filter \"x\"]\nsmudge = TRAP\n"), []string{"archive", "HEAD"}},
		{"filter.process", config("[filter \"x\"]\nprocess = TRAP\nrequired = true\n"),
			[]string{"status"}},
		{"core.pager", config("[core]\npager = TRAP\n[pager]\nstatus = TRAP\n"), nil},
		{"core.sshCommand",
			config("[core]\nsshCommand = TRAP\n[remote \"origin\"]\nurl = ssh://mirror.example/x\n"), []string{"ls-remote"}},
		{"remote ext", config("[protocol]\nallow = always\n[remote \"origin\"]\nurl = ext::TRAP\n"),
			[]string{"ls-remote"}},
		{"promisor", func(t *testing.T, dir, trap string) {
			config("[protocol]\nallow = always\n[remote \"origin\"]\nurl = ext::TRAP\npromisor = true\n"+
				"[extensions]\npartialClone = origin\n[core]\nrepositoryFormatVersion = 1\n")(
				t, dir, trap)
			id := strings.TrimSpace(hostGitOf(t, dir, "rev-parse", "HEAD:a.txt"))
			check(t, os.Remove(filepath.Join(dir, ".git/objects", id[:2], id[2:])))
		}, []string{"cat-file", "-p", "HEAD:a.txt"}},
		{"gpg.program", config("[gpg]\nprogram = TRAP\n[log]\nshowSignature = true\n"), nil},
		{"diff.external", config("[diff]\nexternal = TRAP\n"), []string{"diff"}},
		{"diff driver", config("[diff \"x\"]\ncommand = TRAP\ntextconv = TRAP\n"),
			[]string{"diff"}},
		{"alias", config("[alias]\nstatus = !TRAP\nls-tree = !TRAP\nx = !TRAP\n"), []string{"x"}},
		{"credential.helper", config("[credential]\nhelper = !TRAP\n"), nil},
		{"tar command", config("[tar \"tar\"]\ncommand = TRAP\n[tar \"tar.gz\"]\ncommand = TRAP\n"),
			nil},
		{"include.path", func(t *testing.T, dir, trap string) {
			write(t, filepath.Join(dir, "inc"), "[core]\nfsmonitor = "+trap+"\n", 0o644)
			config("[include]\npath = ../inc\n[includeIf \"gitdir:**\"]\npath = ../inc\n")(
				t, dir, trap)
		}, []string{"status"}},
		{"core.hooksPath", func(t *testing.T, dir, trap string) {
			for _, hook := range []string{"post-index-change", "pre-commit", "post-checkout",
				"reference-transaction"} {
				write(t, filepath.Join(dir, "hooks", hook), "#!/bin/sh\n"+trap+"\n", 0o755)
				write(t, filepath.Join(dir, ".git/hooks", hook), "#!/bin/sh\n"+trap+"\n", 0o755)
			}
			config("[core]\nhooksPath = hooks\n")(t, dir, trap)
		}, []string{"add", "."}},
		{"worktree config", func(t *testing.T, dir, trap string) {
			write(t, filepath.Join(dir, ".git/config.worktree"), "[core]\nfsmonitor = "+trap+"\n",
				0o644)
			config("[core]\nrepositoryFormatVersion = 1\n[extensions]\nworktreeConfig = true\n")(
				t, dir, trap)
		}, []string{"status"}},
		{"submodule", func(t *testing.T, dir, trap string) {
			sub := filepath.Join(dir, "sub")
			hostGitOf(t, dir, "clone", "-q", ".", "sub")
			hostGitOf(t, dir, "add", "sub")
			hostGitOf(t, dir, "commit", "-q", "-m", "sub")
			config("[core]\nfsmonitor = TRAP\n[filter \"x\"]\nclean = TRAP\nsmudge = TRAP\n")(
				t, sub, trap)
			write(t, filepath.Join(dir, ".gitmodules"),
				"[submodule \"sub\"]\npath = sub\nurl = ext::"+trap+"\n", 0o644)
		}, []string{"status"}},
		{".git file", func(t *testing.T, dir, trap string) {
			config("[core]\nfsmonitor = TRAP\n")(t, dir, trap)
			check(t, os.Rename(filepath.Join(dir, ".git"), filepath.Join(dir, "hidden")))
			write(t, filepath.Join(dir, ".git"), "gitdir: hidden\n", 0o644)
		}, []string{"status"}},
		{"trace2", config("[trace2]\neventTarget = TRAP-file\n"), nil},
		{"pristine-tar", func(t *testing.T, dir, trap string) {
			config("[core]\nfsmonitor = TRAP\n[filter \"x\"]\nsmudge = TRAP\n")(t, dir, trap)
			write(t, filepath.Join(dir, "evil_1.0.orig.tar.gz.delta"), "x\n", 0o644)
			write(t, filepath.Join(dir, "evil_1.0.orig.tar.gz.id"),
				"0000000000000000000000000000000000000000; touch x\n", 0o644)
			hostGitOf(t, dir, "update-ref", "refs/heads/pristine-tar", "HEAD")
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := sourceRepository(t)
			fell := filepath.Join(t.TempDir(), "canary")
			trap := filepath.Join(t.TempDir(), "trap")
			write(t, trap, "#!/bin/sh\ntouch "+fell+"\n", 0o755)
			c.lay(t, dir, trap)
			everything(t, e, dir)
			if _, err := os.Lstat(fell); err == nil {
				t.Error("it was run on the host")
			}
			if _, err := os.Lstat(trap + "-file"); err == nil {
				t.Error("a file of the host was written")
			}
			if c.live == nil {
				return
			}
			host := exec.Command("git", append([]string{"-c", "safe.directory=*"}, c.live...)...)
			host.Dir = dir
			out, err := host.CombinedOutput()
			if _, missed := os.Lstat(fell); missed != nil {
				t.Errorf("the trap does not work: git %v: %v\n%s", c.live, err, out)
			}
		})
	}
}

// TestGitSeesNoOtherRepository points a source directory at a repository of the caller's that it
// has nothing to do with.
func TestGitSeesNoOtherRepository(t *testing.T) {
	testenv.RequireTool(t, "git")
	private := sourceRepository(t)
	write(t, filepath.Join(private, "secret"), "secret\n", 0o644)
	hostGitOf(t, private, "add", ".")
	hostGitOf(t, private, "commit", "-q", "-m", "secret")
	wt := filepath.Join(t.TempDir(), "wt")
	hostGitOf(t, private, "worktree", "add", "-q", wt)
	for _, c := range []struct {
		name, says string
		lay        func(dir string)
	}{
		{"gitdir", "does not say that it is", func(dir string) {
			check(t, os.RemoveAll(filepath.Join(dir, ".git")))
			write(t, filepath.Join(dir, ".git"), "gitdir: "+private+"/.git\n", 0o644)
		}},
		{"gitdir of a worktree", "does not say that it is", func(dir string) {
			check(t, os.RemoveAll(filepath.Join(dir, ".git")))
			write(t, filepath.Join(dir, ".git"), "gitdir: "+private+"/.git/worktrees/wt\n", 0o644)
		}},
		{"link", "does not say that it is", func(dir string) {
			check(t, os.RemoveAll(filepath.Join(dir, ".git")))
			check(t, os.Symlink(filepath.Join(private, ".git"), filepath.Join(dir, ".git")))
		}},
		{"commondir", "is no worktree of the repository", func(dir string) {
			write(t, filepath.Join(dir, ".git/commondir"), private+"/.git\n", 0o644)
		}},
		{"commondir of a made-up worktree", "does not say that it is", func(dir string) {
			check(t, os.Symlink(filepath.Join(private, ".git"), filepath.Join(dir, "common")))
			check(t, os.RemoveAll(filepath.Join(dir, ".git")))
			write(t, filepath.Join(dir, ".git"), "gitdir: common/worktrees/wt\n", 0o644)
		}},
		{"objects", "a link that leaves the git directory", func(dir string) {
			check(t, os.RemoveAll(filepath.Join(dir, ".git/objects")))
			check(t, os.Symlink(filepath.Join(private, ".git/objects"),
				filepath.Join(dir, ".git/objects")))
		}},
		{"alternates", "outside of the source directory", func(dir string) {
			write(t, filepath.Join(dir, ".git/objects/info/alternates"), private+"/.git/objects\n",
				0o644)
		}},
		{"alternates, relative", "outside of the source directory", func(dir string) {
			rel, err := filepath.Rel(filepath.Join(dir, ".git/objects"),
				filepath.Join(private, ".git/objects"))
			check(t, err)
			write(t, filepath.Join(dir, ".git/objects/info/alternates"), "# x\n"+rel+"\n", 0o644)
		}},
		{"alternates that are a pipe", "alternates", func(dir string) {
			if out, err := exec.Command(
				"mkfifo",
				filepath.Join(dir, ".git/objects/info/alternates")).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}},
		{".git file with something else", "neither a git directory nor a file", func(dir string) {
			check(t, os.RemoveAll(filepath.Join(dir, ".git")))
			write(t, filepath.Join(dir, ".git"), "/etc/shadow\n", 0o644)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := sourceRepository(t)
			c.lay(dir)
			if l, err := gitsrc.Locate(dir); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%+v, %v", l, err)
			}
		})
	}
}

// TestGitDirReplaced puts a link in the place of a git directory once nsbuild has looked at it, as
// the owner of the source directory can.
func TestGitDirReplaced(t *testing.T) {
	e := gitEnv(t)
	private, dir := sourceRepository(t), sourceRepository(t)
	l, err := gitsrc.Locate(dir)
	check(t, err)
	check(t, os.RemoveAll(filepath.Join(dir, ".git")))
	check(t, os.Symlink(filepath.Join(private, ".git"), filepath.Join(dir, ".git")))
	j, err := e.openGitJail(t.Context(), l)
	if err == nil {
		t.Error("the jail has what the link leads to", j.close(t.Context()))
	}
	if !errors.Is(err, syscall.ELOOP) {
		t.Error(err)
	}
}

// TestGitIgnores takes into account what the caller has git ignore everywhere.
func TestGitIgnores(t *testing.T) {
	e := gitEnv(t)
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", "")
	dir := sourceRepository(t)
	write(t, filepath.Join(dir, "x.swp"), "", 0o644)
	for _, c := range []struct {
		file, text string
		want       []string
	}{
		{"nothing", "", []string{"?? x.swp"}},
		{".config/git/ignore", "*.swp\n", nil},
		{".gitconfig", "[include]\npath = more\n", nil},
		{"more", "[core]\nexcludesFile = ~/mine\n[alias]\nstatus = !false\n", []string{"?? x.swp"}},
		{"mine", "x.*\n", nil},
	} {
		write(t, filepath.Join(home, c.file), c.text, 0o600)
		withGit(t, e, dir, func(r *gitsrc.Repository) {
			if got, err := r.Changes(t.Context()); err != nil || !slices.Equal(got, c.want) {
				t.Errorf("with %s: %q, %v", c.file, got, err)
			}
		})
	}
}

// TestGitLayouts opens repositories in all the forms that git gives them.
func TestGitLayouts(t *testing.T) {
	e := gitEnv(t)
	for _, c := range []struct {
		name string
		make func(t *testing.T, dir string) (at string) // the source directory
	}{
		{"plain", func(_ *testing.T, dir string) string { return dir }},
		{"nobody else may read it", func(t *testing.T, dir string) string {
			check(t, filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
				check(t, err)
				if d.IsDir() {
					return os.Chmod(name, 0o700)
				}
				return os.Chmod(name, 0o600)
			}))
			check(t, os.Chmod(filepath.Join(dir, "run"), 0o700))
			return dir
		}},
		{"worktree", func(t *testing.T, dir string) string {
			at := filepath.Join(filepath.Dir(dir), "wt")
			hostGitOf(t, dir, "worktree", "add", "-q", at)
			return at
		}},
		{"worktree in the tree", func(t *testing.T, dir string) string {
			hostGitOf(t, dir, "worktree", "add", "-q", "wt")
			return filepath.Join(dir, "wt")
		}},
		{"bare beside worktrees", func(t *testing.T, dir string) string {
			at := filepath.Join(filepath.Dir(dir), "all")
			hostGitOf(t, dir, "clone", "-q", "--bare", ".", filepath.Join(at, ".bare"))
			write(t, filepath.Join(at, ".git"), "gitdir: ./.bare\n", 0o644)
			hostGitOf(t, at, "worktree", "add", "-q", "main")
			return filepath.Join(at, "main")
		}},
		{"separate git directory", func(t *testing.T, dir string) string {
			hostGitOf(t, dir, "init", "-q", "--separate-git-dir",
				filepath.Join(filepath.Dir(dir), "elsewhere"))
			hostGitOf(t, dir, "config", "core.worktree", dir)
			return dir
		}},
		{"submodule", func(t *testing.T, dir string) string {
			at := filepath.Join(filepath.Dir(dir), "super")
			check(t, os.Mkdir(at, 0o755))
			hostGitOf(t, at, "init", "-q")
			hostGitOf(t, at, "-c", "protocol.file.allow=always", "submodule", "add", "-q", dir,
				"sub")
			return filepath.Join(at, "sub")
		}},
		{"detached", func(t *testing.T, dir string) string {
			hostGitOf(t, dir, "checkout", "-q", "--detach")
			return dir
		}},
		{"packed", func(t *testing.T, dir string) string {
			hostGitOf(t, dir, "gc", "-q")
			return dir
		}},
		{"split index", func(t *testing.T, dir string) string {
			hostGitOf(t, dir, "update-index", "--split-index")
			return dir
		}},
		{"shallow clone", func(t *testing.T, dir string) string {
			at := filepath.Join(filepath.Dir(dir), "shallow")
			hostGitOf(t, dir, "clone", "-q", "--depth", "1", "file://"+dir, at)
			return at
		}},
		{"SHA-256", func(t *testing.T, dir string) string {
			check(t, os.RemoveAll(filepath.Join(dir, ".git")))
			hostGitOf(t, dir, "init", "-q", "--object-format=sha256")
			hostGitOf(t, dir, "add", ".")
			hostGitOf(t, dir, "commit", "-q", "-m", "debian")
			return dir
		}},
		{"an alternate within", func(t *testing.T, dir string) string {
			check(t, os.Rename(filepath.Join(dir, ".git"), filepath.Join(dir, ".old")))
			hostGitOf(t, dir, "clone", "-q", "--shared", "--no-checkout", ".old", "new")
			check(t, os.Rename(filepath.Join(dir, "new/.git"), filepath.Join(dir, ".git")))
			check(t, os.Remove(filepath.Join(dir, "new")))
			hostGitOf(t, dir, "reset", "-q")
			return dir
		}},
		{"a name with a blank and a colon", func(t *testing.T, dir string) string {
			at := filepath.Join(filepath.Dir(dir), "a b:c,d")
			check(t, os.Rename(dir, at))
			return at
		}},
		{"through a link", func(t *testing.T, dir string) string {
			at := filepath.Join(filepath.Dir(dir), "link")
			check(t, os.Symlink("pkg", at))
			return at
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			at := c.make(t, sourceRepository(t))
			withGit(t, e, at, func(r *gitsrc.Repository) {
				into := filepath.Join(t.TempDir(), "x")
				done, err := r.Export(t.Context(), gitsrc.Head, into, false)
				if err != nil || done.Files != 3 {
					t.Fatal(done, err)
				}
				if fi, err := os.Stat(filepath.Join(into, "run")); err != nil ||
					fi.Mode()&0o100 == 0 {
					t.Error(fi, err)
				}
				changes, err := r.Changes(t.Context())
				changes = slices.DeleteFunc(changes, func(c string) bool {
					return c == "?? .old/" || c == "?? wt/"
				})
				if err != nil || len(changes) != 0 {
					t.Errorf("%q, %v", changes, err)
				}
			})
		})
	}
}

// TestGitOfAnotherOwner opens a repository that is not the caller's, as root does for its users.
func TestGitOfAnotherOwner(t *testing.T) {
	testenv.RequireRoot(t)
	e := gitEnv(t)
	dir := sourceRepository(t)
	check(t, filepath.WalkDir(dir, func(name string, _ os.DirEntry, err error) error {
		check(t, err)
		return os.Lchown(name, 1234, 4321)
	}))
	check(t, os.Chmod(dir, 0o700))
	withGit(t, e, dir, func(r *gitsrc.Repository) {
		if changes, err := r.Changes(t.Context()); err != nil || len(changes) != 0 {
			t.Errorf("%q, %v", changes, err)
		}
	})
}

// TestGitOfTheCaller takes a git out of a directory of the caller's own, which stands first in
// PATH.
func TestGitOfTheCaller(t *testing.T) {
	e := gitEnv(t)
	dir := sourceRepository(t)
	bin := filepath.Join(t.TempDir(), "bin")
	git, err := exec.LookPath("git")
	check(t, err)
	write(t, filepath.Join(bin, "git"), fmt.Sprintf("#!/bin/sh\necho mine >&2\nexec %s \"$@\"\n",
		git), 0o755)
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	withGit(t, e, dir, func(r *gitsrc.Repository) {
		if _, err := r.Commit(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestGitOfTheSource does not run a git that lies in the source directory, although PATH names it
// first.
func TestGitOfTheSource(t *testing.T) {
	e := gitEnv(t)
	dir := sourceRepository(t)
	fell := filepath.Join(t.TempDir(), "canary")
	write(t, filepath.Join(dir, "bin/git"), "#!/bin/sh\ntouch "+fell+"\n", 0o755)
	t.Setenv("PATH", filepath.Join(dir, "bin")+":"+os.Getenv("PATH"))
	l, err := gitsrc.Locate(dir)
	check(t, err)
	if _, err := e.openGitJail(t.Context(), l); err == nil ||
		!strings.Contains(err.Error(), "the source directory's own") {
		t.Error(err)
	}
	if _, err := os.Lstat(fell); err == nil {
		t.Error("it was run")
	}
}
