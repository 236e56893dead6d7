package jails

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"nsbuild/internal/e2e"
	"nsbuild/internal/testenv"
)

// TestCallersFiles has what a user's jails write through a bind belong to that user, whoever writes
// it in the jail, while the base's own files keep their owners.
func TestCallersFiles(t *testing.T) {
	testenv.RequireUserns(t)
	testenv.RequireUser(t)
	w := e2e.NewWorld(t)
	root, shown := filepath.Join(w.Dir, "root"), filepath.Join(w.Dir, "shown")
	e2e.Check(t, e2e.MakeRoot(root))
	e2e.Check(t, os.Mkdir(shown, 0o700))
	w.Must(t, "import", "small", root)
	flags := []string{"-f", root + ".fstab", "--bind", shown + ":/mnt"}
	runs := func(who ...string) []string { return append(append(who, flags...), "small") }
	const script = `id -u; stat -c %u:%g /etc /mnt; mkdir /mnt/d; echo x >/mnt/d/f; echo "$HOME"`
	for _, c := range []struct {
		name   string
		before []string
		args   []string
		want   string
	}{
		{"root", nil, runs("run"), "0\n0:0\n0:0\n/root\n"},
		{"number", nil, runs("run", "-u", "1234"), "1234\n0:0\n1234:1234\n/home/user1234\n"},
		{"name", nil, runs("run", "-u", "someone"), "7\n0:0\n7:8\n/srv\n"},
		{"session", append(runs("session", "begin"), "--name", "one"),
			[]string{"session", "run", "one"}, "0\n0:0\n0:0\n/root\n"},
		{"session of another", append(runs("session", "begin", "-u", "1234"), "--name", "two"),
			[]string{"session", "run", "two"}, "1234\n0:0\n1234:1234\n/home/user1234\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.before != nil {
				w.Must(t, c.before...)
				defer w.Must(t, "session", "end", "--all")
			}
			o := w.Must(t, append(c.args, "sh", "-c", script)...)
			if o.Stdout != c.want {
				t.Errorf("in the jail %q, want %q\n%s", o.Stdout, c.want, o.Stderr)
			}
			for _, name := range []string{"d", "d/f"} {
				info, err := os.Stat(filepath.Join(shown, name))
				e2e.Check(t, err)
				st, ok := info.Sys().(*syscall.Stat_t)
				if !ok || int(st.Uid) != os.Getuid() || int(st.Gid) != os.Getgid() {
					t.Errorf("%s belongs to %d:%d", name, st.Uid, st.Gid)
				}
			}
			e2e.Check(t, os.RemoveAll(filepath.Join(shown, "d")))
		})
	}

	// What such a jail makes of its base is kept with the owners that it had there.
	c, ended := w.Command(t, append(runs("shell"), "--save")...)
	c.Stdin = strings.NewReader("echo x >/srv/kept; echo x >/srv/other; chown 7:9 /srv/other\n")
	if o := ended(c.Run()); o.Status != 0 {
		t.Fatal(o)
	}
	o := w.Must(t, "run", "-f", root+".fstab", "small", "stat", "-c", "%n %u:%g", "/srv/kept",
		"/srv/other")
	if want := fmt.Sprintln("/srv/kept 0:0") + fmt.Sprintln("/srv/other 7:9"); o.Stdout != want {
		t.Errorf("kept is %q, want %q", o.Stdout, want)
	}
}
