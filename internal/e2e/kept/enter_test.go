package kept

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nsbuild/internal/e2e"
	"nsbuild/internal/testenv"
)

// TestEnter works in a kept build: as the build saw it, in vain or not, beside others or alone.
func TestEnter(t *testing.T) {
	w := e2e.ExcerptWorld(t)
	testenv.HostState(t)
	dsc := broken(t, w)
	for _, scratch := range scratches("disk") {
		t.Run(scratch, func(t *testing.T) {
			one := id(t, w.Run(t, "build", "-q", "-d", "bookworm", "--scratch", scratch, dsc))
			log := e2e.Read(t, w.State+"/kept/"+one+"/log")
			_, env, _ := strings.Cut(log, "\nUser Environment\n")
			_, env, _ = strings.Cut(env, "\n\n")
			env, _, _ = strings.Cut(env, "\n\n")
			got := w.Must(t, "enter", one, "--", "sh", "-c", "env -u PWD | sort | sed 's/^_=.*//'")
			if strings.TrimSpace(got.Stdout) != strings.TrimSpace(env) {
				t.Errorf("the environment is\n%s\nthat of the build was\n%s", got.Stdout, env)
			}
			in := func(want string, args ...string) {
				t.Helper()
				o := w.Run(t, append([]string{"enter", one}, args...)...)
				if out := strings.TrimSpace(o.Stdout); out != want {
					t.Errorf("%q: %s, want %q", args, o, want)
				}
			}
			in("/build/reproducible-path/broken-1.0 builder nsbuild made hi", "--", "sh", "-c",
				"echo `pwd` `id -un` `hostname` `cat made /tmp/left`; rm made")
			in("made", "--", "cat", "made")
			in("0 made", "--root", "--", "sh", "-c", "echo `id -u` `cat made`")
			in("", "--write", "--", "sh", "-c", "mv debian elsewhere; echo more >> made")
			in("elsewhere made more", "--", "sh", "-c", "echo elsewhe* `cat made`")
			if o := w.Run(t, "enter", one, "--", "sh", "-c", "exit 7"); o.Status != 7 {
				t.Error(o)
			}
			if o := w.Run(t, "enter", one, "--", "nothing"); o.Status != 127 {
				t.Error(o)
			}
			alone, ended := w.Command(t, "enter", one, "--write", "--", "sh", "-c",
				"touch /tmp/begun; cat")
			keys, err := alone.StdinPipe()
			e2e.Check(t, err)
			e2e.Check(t, alone.Start())
			e2e.Moment{Name: "its being alone", Come: func() bool {
				_, err := os.Lstat(filepath.Join(w.State, "kept", one, "tree", "0", "tmp", "begun"))
				return err == nil
			}}.Until(t)
			for _, args := range [][]string{{"enter", one, "--", "true"},
				{"enter", one, "--write", "--", "true"}, {"forget", one}} {
				o := w.Run(t, args...)
				want := 125
				if args[0] == "forget" {
					want = 1
				}
				if o.Status != want {
					t.Errorf("%q: %s", args, o)
				}
				e2e.WantIn(t, "the error", o.Stderr, one+" is in use|in use, and not forgotten: "+one)
			}
			e2e.Check(t, keys.Close())
			if o := ended(alone.Wait()); o.Status != 0 {
				t.Error(o)
			}
			w.Must(t, "forget", one)
		})
	}
	if o := w.Run(t, "enter", "--", "true"); o.Status != 125 ||
		!strings.Contains(o.Stderr, "no build is kept") {
		t.Error(o)
	}
}
