package docs

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nsbuild/internal/e2e"
	"nsbuild/internal/testenv"
)

// someHome is the home directory that pages show.
const someHome = "/home/user"

// shell is a bash that runs the commands of a page. Both of its streams are one.
type shell struct {
	in  *os.File
	out *bufio.Reader
}

// endOf stands after the output of each command, before its exit status and the directory.
const endOf = "\x01end of command\x01"

func startShell(t *testing.T, w *e2e.World, home string) *shell {
	t.Helper()
	commands, in, err := os.Pipe()
	e2e.Check(t, err)
	printed, out, err := os.Pipe()
	e2e.Check(t, err)
	c := exec.CommandContext(context.WithoutCancel(t.Context()), "bash", "--norc", "--noprofile")
	c.Dir, c.Stdin, c.Stdout, c.Stderr = home, commands, out, out
	c.Env = append(w.Environment(), "HOME="+home, "XDG_CONFIG_HOME=", "XDG_DATA_HOME=",
		"XDG_CACHE_HOME=", "LC_ALL=C.UTF-8", "DEBFULLNAME=Ada Example",
		"DEBEMAIL=ada@example.org", "GIT_AUTHOR_NAME=Ada",
		"GIT_AUTHOR_EMAIL=ada@example.org", "GIT_COMMITTER_NAME=Ada",
		"GIT_COMMITTER_EMAIL=ada@example.org")
	// go build finds what has been built, and fetched, before: it is in another home
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPATH"} {
		value, err := exec.CommandContext(t.Context(), "go", "env", name).Output()
		e2e.Check(t, err)
		c.Env = append(c.Env, name+"="+strings.TrimSpace(string(value)))
	}
	e2e.Check(t, c.Start())
	e2e.Check(t, commands.Close())
	e2e.Check(t, out.Close())
	t.Cleanup(func() {
		e2e.Check(t, in.Close())
		if err := c.Wait(); err != nil {
			t.Logf("bash: %v", err) // as its last command
		}
		e2e.Check(t, printed.Close())
	})
	return &shell{in, bufio.NewReader(printed)}
}

// run runs a command, and returns what it has printed, its exit status and the directory that the
// shell is in then.
func (s *shell) run(command string) (printed string, status int, dir string, err error) {
	// The command reads nothing of the page.
	if _, err = fmt.Fprintf(s.in, "{ %s\n} </dev/null\nprintf '%s %%d %%s\\n' $? \"$PWD\"\n",
		command, endOf); err != nil {
		return "", 0, "", err
	}
	for {
		line, err := s.out.ReadString('\n')
		before, end, found := strings.Cut(line, endOf)
		printed += before
		if err != nil {
			return printed, 0, "", fmt.Errorf("the shell has ended: %w", err)
		}
		if found {
			number, rest, _ := strings.Cut(strings.TrimSpace(end), " ")
			_, err = fmt.Sscan(number, &status)
			return printed, status, rest, err
		}
	}
}

// try runs a page, named below docs/, as a reader would who does all that it says.
func try(t *testing.T, w *e2e.World, page string) {
	t.Helper()
	home := filepath.Join(w.Dir, "home")
	e2e.Check(t, os.Mkdir(home, 0o755))
	clone, err := filepath.Abs(e2e.Tree)
	e2e.Check(t, err)
	e2e.Check(t, os.Symlink(clone, filepath.Join(home, "nsbuild")))
	steps, err := parse(e2e.Read(t, filepath.Join(e2e.Tree, "docs", page)))
	e2e.Check(t, err)
	if len(steps) == 0 {
		t.Fatal("the page has no commands")
	}
	s, dir := startShell(t, w, home), home
	for _, step := range steps {
		if step.file != "" {
			name := filepath.Join(dir, step.file)
			e2e.Check(t, os.MkdirAll(filepath.Dir(name), 0o755))
			e2e.Check(t, os.WriteFile(name, []byte(step.text), 0o644))
			continue
		}
		var printed string
		var status int
		printed, status, dir, err = s.run(step.command)
		printed = strings.ReplaceAll(printed, home, someHome)
		if err != nil || status != step.status {
			t.Fatalf("%s:%d: %s\nstatus %d, want %d: %v\n%s", page, step.line, step.command, status,
				step.status, err, printed)
		}
		if len(step.output) == 0 {
			continue
		}
		shows, err := step.shows(printed)
		e2e.Check(t, err)
		if !shows {
			t.Errorf("%s:%d: %s\nprinted\n%s\nthe page shows\n%s", page, step.line, step.command,
				printed, strings.Join(step.output, "\n"))
		}
	}
}

// inExcerpt are the pages whose builds need no more of the archive than the excerpt has, of which
// an apt knows all in a tenth of the time. Sources of Debian's own it has none.
var inExcerpt = []string{"checks.md", "ci.md", "disk-space.md", "failed-build.md",
	"local-packages.md", "package-from-git.md"}

// TryHowtos runs pages of docs/howto, each from that page alone: those of the excerpt, or all
// others. They are an ordinary user's, whom the pages are for.
func TryHowtos(t *testing.T, excerpt bool) {
	t.Helper()
	e2e.AsUserOnly(t, "the pages are for ordinary users")
	var shared *e2e.World
	if excerpt {
		shared = e2e.ExcerptWorld(t)
	} else {
		shared = e2e.RealWorld(t)
	}
	pages, err := filepath.Glob(filepath.Join(e2e.Tree, "docs", "howto", "*.md"))
	e2e.Check(t, err)
	if len(pages) < 10 {
		t.Errorf("there are %d pages", len(pages))
	}
	for _, page := range pages {
		name := filepath.Base(page)
		if slices.Contains(inExcerpt, name) != excerpt {
			continue
		}
		t.Run(strings.TrimSuffix(name, ".md"), func(t *testing.T) {
			testenv.HostState(t)
			testenv.RequireTool(t, "git", "dpkg-source", "dpkg-scanpackages", "dch",
				"debsign", "gpg", "gbp")
			w := *shared
			w.Dir = t.TempDir()
			try(t, &w, filepath.Join("howto", name))
		})
	}
}
