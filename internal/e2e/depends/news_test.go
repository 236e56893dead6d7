package depends

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nsbuild/internal/e2e"
	"nsbuild/internal/fakedebian"
	"nsbuild/internal/testenv"
)

// TestNews builds over a base while a mirror of the test's own is slow to say whether it has
// something newer.
func TestNews(t *testing.T) {
	made := e2e.ExcerptWorld(t)
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

	w := e2e.NewWorld(t)
	saved := filepath.Join(t.TempDir(), "bookworm.tar")
	made.Must(t, "export", "-o", saved, "bookworm")
	w.Must(t, "import", "--suite=bookworm", "--mirror="+srv.URL("debian"),
		"--keyring="+fakedebian.Keyring(t, fakedebian.KeyArchive), "news", saved)
	source := needy("needy", "tool-fromelsewhere")
	source.Rules = strings.Replace(source.Rules, "\tls ", "\tdpkg-query -W hostname\n\tls ", 1)
	dsc := w.WriteSource(t, source)
	args := func(more ...string) []string {
		return append(append([]string{"build", "-q", "-d", "bookworm", "--base=news"}, more...),
			dsc)
	}
	logName := filepath.Join(w.Dir, "needy_1.0_amd64.build")
	log := func() string { return e2e.Read(t, logName) }
	// begun is a build that has unpacked its source, and knows nothing yet of what the mirror will
	// say.
	begun := func() (*exec.Cmd, func(error) e2e.Outcome) {
		t.Helper()
		e2e.Check(t, os.Remove(logName))
		c, ended := w.Command(t, args("--refresh")...)
		e2e.Check(t, c.Start())
		timer := time.AfterFunc(e2e.TooLong, func() { _ = c.Process.Kill() })
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

	w.Must(t, args()...)
	e2e.WantIn(t, "log of the first build", log(), `^v1\.0$`)

	t.Run("asked once", func(t *testing.T) {
		srv.ResetCounts()
		w.Must(t, args()...)
		if n := srv.Count(inRelease); n != 0 {
			t.Errorf("the mirror was asked %d times so soon after", n)
		}
		w.Must(t, args("--refresh")...)
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
		if o := ended(c.Wait()); o.Status != 0 {
			t.Fatal(o)
		}
		e2e.WantIn(t, "log", log(), "^Dependency layer .* has what is needed",
			"^The mirror has nothing newer: base news", `^v1\.0$`)
	})
	t.Run("interrupted", func(t *testing.T) {
		srv.Fault(inRelease, fakedebian.Fault{Hang: true})
		defer srv.Heal()
		c, ended := begun()
		e2e.Check(t, c.Process.Signal(os.Interrupt))
		if o := ended(c.Wait()); o.Status != 130 {
			t.Error(o)
		}
	})
	t.Run("no answer", func(t *testing.T) {
		srv.Fault(inRelease, fakedebian.Fault{Hang: true})
		defer srv.Heal()
		o := w.Run(t, args("--refresh", "--mirror-timeout=200ms")...)
		e2e.Refusal{Status: 3, Says: []string{"the mirror cannot be reached"},
			Hint: "check the network"}.Check(t, o)
		if !strings.Contains(o.Stderr, "stage: apt-get-update") || o.Stdout != "" ||
			strings.Contains(log(), "\nCommand: dpkg-buildpackage") {
			t.Errorf("%s\n%s", o, log())
		}
		w.Must(t, args("--offline")...)
	})
	t.Run("altered", func(t *testing.T) {
		s.Date = s.Date.Add(time.Minute)
		tree := a.Tree()
		tree.Flip("dists/bookworm/InRelease", 80)
		srv.Mount("debian", tree)
		o := w.Run(t, args("--refresh")...)
		e2e.Refusal{Status: 3, Says: []string{"the signature is not valid"}, Hint: "altered"}.
			Check(t, o)
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
		e2e.WantIn(t, "log so far", log(), "^Dependency layer .* has what is needed")
		s.Date = s.Date.Add(time.Minute)
		add("2.0")
		s.Add(fakedebian.Package{Name: "hostname", Version: "99"}) // of the base
		srv.Mount("debian", a.Tree())
		close(gate)
		if o := ended(c.Wait()); o.Status != 0 {
			t.Fatalf("%s\n%s", o, log())
		}
		text := log()
		e2e.WantIn(t, "log", text, `^\| Suite changed`, "^Base news \\(generation 2\\) is up to date",
			`^v2\.0$`, `^hostname\s+99$`)
		if n := strings.Count(text, "\nCommand: dpkg-buildpackage"); n != 1 ||
			strings.Contains(text, "\nv1.0\n") {
			t.Errorf("it was built %d times:\n%s", n, text)
		}
		w.Must(t, args()...)
		e2e.WantIn(t, "log of the next build", log(), "^Dependency layer .* has what is needed",
			`^v2\.0$`, `^hostname\s+99$`)
	})
	t.Run("hooks of update", func(t *testing.T) {
		w.Script(t, "renew/start.d/10-before",
			"echo $NSBUILD_OPERATION $(dpkg-query -Wf'${Version}' hostname) >>/opt/renewed")
		w.Script(t, "renew/updated.d/10-after",
			"echo $NSBUILD_STAGE $(dpkg-query -Wf'${Version}' hostname) >>/opt/renewed")
		w.Script(t, "broken/updated.d/10-fail", "echo because >&2; exit 9")
		publish := func(hostname string) {
			s.Date = s.Date.Add(time.Minute)
			if hostname != "" {
				s.Add(fakedebian.Package{Name: "hostname", Version: hostname})
			}
			srv.Mount("debian", a.Tree())
		}
		build := func(hook string) e2e.Outcome {
			w.Env = []string{"NSBUILD_UPDATE_HOOK=" + hook}
			defer func() { w.Env = nil }()
			return w.Run(t, args("--refresh")...)
		}
		publish("100")
		o := build("./broken")
		e2e.Refusal{Status: 3,
			Says: []string{"updating base news",
				"hook broken/updated.d/10-fail failed: exit status 9", "because"}}.Check(t, o)
		w.NoScratch(t)
		if o := build("./renew"); o.Status != 0 {
			t.Fatal(o)
		}
		e2e.WantIn(t, "log", log(), "^Base news \\(generation 3\\) is up to date", `^hostname\s+100$`)
		publish("") // a Release file of later, and nothing newer for the base
		if o := build("./renew"); o.Status != 0 {
			t.Fatal(o)
		}
		e2e.WantIn(t, "log", log(), "^Base news \\(generation 3\\) is up to date")
		if o := w.Must(t, "run", "news", "--", "cat",
			"/opt/renewed"); o.Stdout != "update 99\nupdated 100\n" {
			t.Error(o)
		}
	})
}
