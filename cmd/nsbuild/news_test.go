package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nsbuild/internal/fakedebian"
	"nsbuild/internal/testenv"
)

// TestNews builds over a base while a mirror of the test's own is slow to say whether it has
// something newer.
func TestNews(t *testing.T) {
	made := realWorld(t)
	testenv.HostState(t)
	const inRelease = "debian/dists/bookworm/InRelease$"
	a := fakedebian.New(t)
	s := a.Suite("bookworm")
	add := func(version string) {
		s.Add(fakedebian.Package{Name: "tool-fromelsewhere", Version: version,
			Files: []fakedebian.File{{Path: "opt/fromelsewhere/v" + version}}})
	}
	add("1.0")
	s.Add(fakedebian.Package{Name: "fakeroot"})
	srv := fakedebian.Serve(t, fakedebian.Mounts{"debian": a.Tree()})

	w := newWorld(t)
	saved := filepath.Join(t.TempDir(), "bookworm.tar")
	made.must(t, "export", "-o", saved, "bookworm")
	w.must(t, "import", "--suite=bookworm", "--mirror="+srv.URL("debian"),
		"--keyring="+fakedebian.Keyring(t, fakedebian.KeyArchive), "news", saved)
	source := needy("needy", "tool-fromelsewhere")
	source.Rules = strings.Replace(source.Rules, "\tls ", "\tdpkg-query -W hostname\n\tls ", 1)
	dsc := w.writeSource(t, source)
	args := func(more ...string) []string {
		return append(append([]string{"build", "-q", "-d", "bookworm", "--base=news"}, more...),
			dsc)
	}
	logName := filepath.Join(w.dir, "needy_1.0_amd64.build")
	log := func() string { return read(t, logName) }
	// begun is a build that has unpacked its source, and knows nothing yet of what the mirror will
	// say.
	begun := func() (*exec.Cmd, func(error) outcome) {
		t.Helper()
		check(t, os.Remove(logName))
		c, ended := w.command(t, args("--refresh")...)
		check(t, c.Start())
		timer := time.AfterFunc(tooLong, func() { _ = c.Process.Kill() })
		t.Cleanup(func() { timer.Stop() })
		for {
			text, err := os.ReadFile(logName)
			if err == nil && strings.Contains(string(text), "dpkg-source: info: extracting") {
				return c, ended
			}
			if state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.Process.Pid)); err != nil ||
				strings.Contains(string(state), ") Z ") {
				t.Fatalf("%s\n%s", ended(c.Wait()), text)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}

	w.must(t, args()...)
	wantIn(t, "log of the first build", log(), `^v1\.0$`)

	t.Run("asked once", func(t *testing.T) {
		srv.ResetCounts()
		w.must(t, args()...)
		if n := srv.Count(inRelease); n != 0 {
			t.Errorf("the mirror was asked %d times so soon after", n)
		}
		w.must(t, args("--refresh")...)
		if n := srv.Count(inRelease); n != 1 {
			t.Errorf("--refresh asked the mirror %d times", n)
		}
	})
	t.Run("nothing new", func(t *testing.T) {
		gate := make(chan struct{})
		srv.Fault(inRelease, fakedebian.Fault{Until: gate})
		defer srv.Heal()
		c, ended := begun()
		if strings.Contains(log(), "\nCommand: dpkg-buildpackage") {
			t.Error("it builds before the mirror has said anything")
		}
		close(gate)
		if o := ended(c.Wait()); o.status != 0 {
			t.Fatal(o)
		}
		wantIn(t, "log", log(), "^Dependency layer .* has what is needed",
			"^The mirror has nothing newer: base news", `^v1\.0$`)
	})
	t.Run("interrupted", func(t *testing.T) {
		srv.Fault(inRelease, fakedebian.Fault{Hang: true})
		defer srv.Heal()
		c, ended := begun()
		check(t, c.Process.Signal(os.Interrupt))
		if o := ended(c.Wait()); o.status != 130 {
			t.Error(o)
		}
	})
	t.Run("no answer", func(t *testing.T) {
		srv.Fault(inRelease, fakedebian.Fault{Hang: true})
		defer srv.Heal()
		o := w.run(t, args("--refresh", "--mirror-timeout=200ms")...)
		refusal{status: 3, says: []string{"the mirror cannot be reached"},
			hint: "check the network"}.check(t, o)
		if !strings.Contains(o.stderr, "stage: apt-get-update") || o.stdout != "" ||
			strings.Contains(log(), "\nCommand: dpkg-buildpackage") {
			t.Errorf("%s\n%s", o, log())
		}
		w.must(t, args("--offline")...)
	})
	t.Run("altered", func(t *testing.T) {
		s.Date = s.Date.Add(time.Minute)
		tree := a.Tree()
		tree.Flip("dists/bookworm/InRelease", 80)
		srv.Mount("debian", tree)
		o := w.run(t, args("--refresh")...)
		refusal{status: 3, says: []string{"the signature is not valid"}, hint: "altered"}.check(t,
			o)
		if strings.Contains(log(), "\nCommand: dpkg-buildpackage") {
			t.Error(log())
		}
	})
	t.Run("something new", func(t *testing.T) {
		srv.Mount("debian", a.Tree())
		gate := make(chan struct{})
		srv.Fault(inRelease, fakedebian.Fault{Until: gate})
		defer srv.Heal()
		c, ended := begun()
		wantIn(t, "log so far", log(), "^Dependency layer .* has what is needed")
		s.Date = s.Date.Add(time.Minute)
		add("2.0")
		s.Add(fakedebian.Package{Name: "hostname", Version: "99"}) // of the base
		srv.Mount("debian", a.Tree())
		close(gate)
		if o := ended(c.Wait()); o.status != 0 {
			t.Fatalf("%s\n%s", o, log())
		}
		text := log()
		wantIn(t, "log", text, `^\| Suite changed`, "^Base news \\(generation 2\\) is up to date",
			`^v2\.0$`, `^hostname\s+99$`)
		if n := strings.Count(text, "\nCommand: dpkg-buildpackage"); n != 1 ||
			strings.Contains(text, "\nv1.0\n") {
			t.Errorf("it was built %d times:\n%s", n, text)
		}
		w.must(t, args()...)
		wantIn(t, "log of the next build", log(), "^Dependency layer .* has what is needed",
			`^v2\.0$`, `^hostname\s+99$`)
	})
	t.Run("hooks of update", func(t *testing.T) {
		w.script(t, "renew/start.d/10-before",
			"echo $NSBUILD_OPERATION $(dpkg-query -Wf'${Version}' hostname) >>/opt/renewed")
		w.script(t, "renew/updated.d/10-after",
			"echo $NSBUILD_STAGE $(dpkg-query -Wf'${Version}' hostname) >>/opt/renewed")
		w.script(t, "broken/updated.d/10-fail", "echo because >&2; exit 9")
		publish := func(hostname string) {
			s.Date = s.Date.Add(time.Minute)
			if hostname != "" {
				s.Add(fakedebian.Package{Name: "hostname", Version: hostname})
			}
			srv.Mount("debian", a.Tree())
		}
		build := func(hook string) outcome {
			w.env = []string{"NSBUILD_UPDATE_HOOK=" + hook}
			defer func() { w.env = nil }()
			return w.run(t, args("--refresh")...)
		}
		publish("100")
		o := build("./broken")
		refusal{status: 3,
			says: []string{"updating base news",
				"hook broken/updated.d/10-fail failed: exit status 9", "because"}}.check(t, o)
		w.noScratch(t)
		if o := build("./renew"); o.status != 0 {
			t.Fatal(o)
		}
		wantIn(t, "log", log(), "^Base news \\(generation 3\\) is up to date", `^hostname\s+100$`)
		publish("") // a Release file of later, and nothing newer for the base
		if o := build("./renew"); o.status != 0 {
			t.Fatal(o)
		}
		wantIn(t, "log", log(), "^Base news \\(generation 3\\) is up to date")
		if o := w.must(t, "run", "news", "--", "cat",
			"/opt/renewed"); o.stdout != "update 99\nupdated 100\n" {
			t.Error(o)
		}
	})
}
