package foreign

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"nsbuild/internal/e2e"
)

// schroot runs it and returns what it says on both streams, and its status.
func schroot(t *testing.T, w *e2e.World, args ...string) (string, int) {
	t.Helper()
	// for cleaning up, too
	c := exec.CommandContext(context.WithoutCancel(t.Context()), "schroot", args...)
	c.Dir, c.Env = "/", w.Environment()
	out, err := c.CombinedOutput()
	if c.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), c.ProcessState.ExitCode()
}

// TestSchroot compares with what schroot 1.6.13 prints and how it ends.
func TestSchroot(t *testing.T) {
	w := e2e.ExcerptWorld(t)
	w.Env = []string{"GIVEN=handed-in", "HOSTALIASES=kept-out"}
	t.Cleanup(func() {
		if out, status := schroot(t, w, "--end-session", "--all-sessions"); status != 0 {
			t.Error(out)
		}
	})
	if out, status := schroot(t, w, "-b", "-c", "bookworm", "-n", "one"); out != "one\n" ||
		status != 0 {
		t.Fatal(out, status)
	}
	const help = "I: Run “schroot --help” to list usage example and all available options\n"
	for _, c := range []struct {
		args   string
		want   string
		status int
	}{
		{"-l --all-sessions", "session:one\n", 0},
		{"--run-session -c one -q -- sh -c exit\t3", "", 3},
		{"--run -c session:one pwd", "/\n", 0},
		{"-r -c one -d /usr/share -- pwd", "/usr/share\n", 0},
		{"-r -c one -- sh -c kill\t-9\t$$", "E: Child terminated by signal ‘Killed’\n", 1},
		{"-r -c one -- nosuch", "E: Failed to execute “nosuch”: No such file or directory\n", 1},
		{"-r -c one -- /etc/passwd", "E: Failed to execute “/etc/passwd”: Permission denied\n", 1},
		{"-r -c one -d /nosuch -- true",
			"E: Failed to change to directory ‘/nosuch’: No such file or directory\n" +
				"I: The directory does not exist inside the chroot.  Use the --directory option " +
				"to run the command in a different directory.\n", 1},
		{"-q -r -c nosuch -- true", "E: nosuch: Chroot not found\n", 1},
		{"-q -c nosuch -- true", "E: nosuch: Chroot not found\n", 1},
		{"-q -r -c bookworm -- true", "E: bookworm: Chroot not found\n", 1},
		{"-q -c session:one -- true", "E: session:one: Chroot not found\n", 1},
		{"-q -e -c bookworm", "E: bookworm: Chroot not found\n", 1},
		{"-b -r -c one", "E: Only one action may be specified\n" + help, 1},
		{"-b -c bookworm -c chroot:bookworm",
			"E: Exactly one chroot must be specified when beginning a session\n" + help, 1},
		{"-q -b -c source:bookworm",
			"E: source:bookworm: a session would throw away what is done in a source chroot\n", 1},
		{"-c chroot:bookworm-amd64-sbuild -u nobody -- id -un", "nobody\n", 0},
		{"-c bookworm -u root -- sh -c echo\t$SCHROOT_CHROOT_NAME\t$SCHROOT_SESSION_ID\t$HOME",
			"bookworm bookworm /root\n", 0},
		{"--automatic-session -c bookworm -d /usr/share -- pwd", "/usr/share\n", 0},
		{"-c bookworm -- sh -c echo\t$GIVEN.$HOSTALIASES", ".\n", 0},
		{"-c bookworm -p -- sh -c echo\t$GIVEN.$HOSTALIASES", "handed-in.\n", 0},
		{"-c bookworm -p -u root -s /bin/sh", "", 0}, // its standard input is empty
		{"-f -r -c one -- true", "", 0},
		{"-b -c bookworm -n two", "two\n", 0},
		{"-r -a -- sh -c echo\t$SCHROOT_SESSION_ID", "one\ntwo\n", 0},
		{"--end-session --chroot=session:two", "", 0},
		{"--recover-session -c one", "", 0},
		{"-e -c one", "", 0},
		{"-q -e -c one", "E: one: Chroot not found\n", 1},
		{"-l --all-sessions", "", 0},
	} {
		args := strings.Fields(c.args)
		if i := strings.Index(c.args, "sh -c "); i >= 0 { // tabs stand for the blanks of a script
			args = append(strings.Fields(c.args[:i]), "sh", "-c",
				strings.ReplaceAll(c.args[i+len("sh -c "):], "\t", " "))
		}
		if out, status := schroot(t, w, args...); out != c.want || status != c.status {
			t.Errorf("schroot %s: %q, status %d; want %q, %d", c.args, out, status, c.want,
				c.status)
		}
	}
}

// TestSchrootInfo is for what sbuild and autopkgtest read.
func TestSchrootInfo(t *testing.T) {
	w := e2e.ExcerptWorld(t)
	out, status := schroot(t, w, "--begin-session", "--chroot", "bookworm-amd64-sbuild")
	id := strings.TrimSpace(out)
	if status != 0 {
		t.Fatal(out)
	}
	t.Cleanup(func() {
		if out, status := schroot(t, w, "-e", "-c", id); status != 0 {
			t.Error(out)
		}
	})
	out, _ = schroot(t, w, "--info", "--chroot", "session:"+id)
	if !strings.HasPrefix(out, "  ─── Session ───\n  Name                   "+id+"\n") ||
		!strings.Contains(out, "\n  Session Purged         true\n") {
		t.Error(out)
	}
	location, _ := schroot(t, w, "--location", "-c", "session:"+id)
	if !strings.Contains(out, "\n  Path                   "+location) {
		t.Error(out, location)
	}
	if got, err := exec.Command("cat", strings.TrimSpace(location)+
		"/etc/debian_version").CombinedOutput(); err != nil ||
		!strings.HasPrefix(string(got), "12") {
		t.Errorf("the root of a session: %s %v", got, err)
	}
	// Programs resolve it: piuparts has lsof(8) find what runs below it, and kills that.
	if resolved, err := filepath.EvalSymlinks(strings.TrimSpace(location)); err == nil {
		t.Errorf("the location is another name of the host's %s", resolved)
	}
	if out, _ = schroot(t, w, "-i"); !strings.Contains(out, "  ─── Chroot ───\n") ||
		!strings.Contains(out,
			"\n  Aliases                bookworm-amd64 bookworm-amd64-sbuild\n") {
		t.Error(out)
	}
	if out, _ = schroot(t, w, "--config", "-c", "bookworm"); !strings.HasPrefix(out,
		"[bookworm]\n") || !strings.Contains(out, "\ntype=custom\n") {
		t.Error(out)
	}
}
