package batch

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nsbuild/internal/aptrepo"
	"nsbuild/internal/archive/index"
	"nsbuild/internal/fakedebian"
)

const (
	killedDir    = "NSBUILD_TEST_KILLED" // names the directory to a process that is to be killed
	killedCount  = 20                    // sources of a batch
	killedBad    = "p13"                 // does not build
	killedRounds = 100                   // kills
)

// TestKilledProcess is the process that TestKilled kills: it begins a batch, or goes on with it. A
// build is a copy of a package that is there.
func TestKilledProcess(t *testing.T) {
	dir := os.Getenv(killedDir)
	if dir == "" {
		return
	}
	repo, err := aptrepo.Open(t.Context(), filepath.Join(dir, "repo"), "")
	if err != nil {
		t.Fatal(err)
	}
	s := In(dir)
	b, err := s.Open("b")
	if err != nil {
		h := Head{Name: "b"}
		for i := range killedCount {
			h.Sources = append(h.Sources, Source{Spec: fmt.Sprint("p", i)})
		}
		// of one that was killed while it was made nothing is left that counts
		if err := os.RemoveAll(filepath.Join(dir, "batches")); err != nil {
			t.Fatal(err)
		}
		if b, err = s.Create(h); err != nil {
			t.Fatal(err)
		}
	}
	build := func(_ context.Context, j Job) *Ended {
		if j.Spec == killedBad {
			return &Ended{Status: Attempted}
		}
		name := j.Spec + "_1.0-1_all.deb"
		data, err := os.ReadFile(filepath.Join(dir, "made", name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), data, 0o600)
		}
		if err != nil {
			return &Ended{Status: Failed, Error: err.Error()}
		}
		return &Ended{Status: Successful, Artefacts: []string{filepath.Join(dir, name)}}
	}
	fmt.Println("begun")
	err = b.Run(t.Context(), Runner{Room: Room{Builds: 3}, Engine: InProcess(build),
		Publish: func(ctx context.Context, files []string) error {
			_, err := repo.Add(ctx, files)
			return err
		}})
	if err := errors.Join(err, b.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestKilled: a process that works on a batch is killed at many moments. In the end all is as if it
// had not been: nothing is lost, built again after it had ended, or published twice.
func TestKilled(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("the seed is %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	made := t.TempDir()
	for i := range killedCount {
		p := fakedebian.Package{Name: fmt.Sprint("p", i)}
		name := filepath.Join(made, p.Name+"_1.0-1_all.deb")
		if err := os.WriteFile(name, p.Deb(t), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	kills, batches := 0, 0
	for kills < killedRounds {
		dir := t.TempDir()
		if err := os.Symlink(made, filepath.Join(dir, "made")); err != nil {
			t.Fatal(err)
		}
		for killed := true; killed; {
			after := time.Duration(chance.Float64() * float64(12*time.Millisecond))
			if kills >= killedRounds {
				after = time.Hour
			}
			if killed = killAfter(t, dir, after); killed {
				kills++
			}
		}
		checkKilled(t, dir)
		batches++
	}
	t.Logf("%d batches, %d kills", batches, kills)
}

// killAfter runs the process, and kills it so long after it has begun; false: it ended before.
func killAfter(t *testing.T, dir string, after time.Duration) bool {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledProcess$",
		"-test.count=1", "-test.v=false")
	c.Env = append(os.Environ(), killedDir+"="+dir)
	var errs bytes.Buffer
	c.Stderr = &errs
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	begun := lines.Scan() && lines.Text() == "begun"
	var said []string
	if begun {
		defer time.AfterFunc(after, func() {
			_ = c.Process.Kill() // which may have ended
		}).Stop()
	} else {
		said = append(said, lines.Text())
	}
	for lines.Scan() {
		said = append(said, lines.Text())
	}
	err = c.Wait()
	var status *exec.ExitError
	if err != nil && (!errors.As(err, &status) || status.Exited()) {
		t.Fatalf("%v: %s%s", err, strings.Join(said, "\n"), errs.String())
	}
	return err != nil
}

// checkKilled looks at a batch that has come to its end.
func checkKilled(t *testing.T, dir string) {
	t.Helper()
	b, err := In(dir).Read("b")
	if err != nil {
		t.Fatal(err)
	}
	want := Counts{Total: killedCount, Successful: killedCount - 1, Failed: 1}
	if diff := cmp.Diff(want, b.Count()); diff != "" {
		t.Errorf("in the end (-want +got):\n%s", diff)
	}
	text, err := os.ReadFile(b.path(journalName))
	if err != nil {
		t.Fatal(err)
	}
	ended, published := map[int]bool{}, map[int]int{}
	for line := range bytes.Lines(text) {
		var r record
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		switch r.Kind {
		case kindStarted:
			if ended[r.Item] {
				t.Errorf("%d had ended, and was begun again", r.Item)
			}
		case kindEnded:
			ended[r.Item] = r.Ended.Good()
		case kindPublished:
			for _, item := range r.Items {
				published[item]++
			}
		}
	}
	for item, n := range published {
		if n != 1 {
			t.Errorf("%d was published %d times", item, n)
		}
	}
	checkPublished(t, filepath.Join(dir, "repo"))
}

// checkPublished looks at the repository of such a batch.
func checkPublished(t *testing.T, repo string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repo, "Packages"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for s := index.Scan(bytes.NewReader(text)); s.Next(); {
		names = append(names, string(s.Get("Package")))
		if _, err := os.Stat(filepath.Join(repo, string(s.Get("Filename")))); err != nil {
			t.Error(err)
		}
	}
	var want []string
	for i := range killedCount {
		if name := fmt.Sprint("p", i); name != killedBad {
			want = append(want, name)
		}
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("published (-want +got):\n%s", diff)
	}
	if _, err := os.Stat(filepath.Join(repo, "Release")); errors.Is(err, fs.ErrNotExist) {
		t.Error("there is no Release file")
	}
}
