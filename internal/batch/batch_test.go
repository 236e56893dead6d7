package batch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"nsbuild/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world plays builds: how long each takes, and how the tries of each end.
type world struct {
	seconds map[string]float64
	ends    map[string][]string // by source, one after the other; then well
	tries   map[string]int
	order   []string // in which they were begun
	most    int      // that ran at a time
	alone   map[string]bool
	// that each was built with
	packages map[string][]string
	running  atomic.Int32
}

func newWorld() *world {
	return &world{seconds: map[string]float64{}, ends: map[string][]string{},
		tries: map[string]int{}, alone: map[string]bool{},
		packages: map[string][]string{}}
}

// runner has the builds of one test run in turn: Changed and begin are of one goroutine, and what
// builds do comes before them.
func (w *world) runner(room Room) Runner {
	turn := make(chan struct{}, 1)
	turn <- struct{}{}
	return Runner{Room: room, Engine: InProcess(func(ctx context.Context, j Job) *Ended {
		n := w.running.Add(1)
		<-turn
		w.order = append(w.order, j.Spec)
		w.packages[j.Spec] = j.Packages
		w.most = max(w.most, int(n))
		if j.Alone {
			w.alone[j.Spec] = true
		}
		status := Successful
		if t := w.tries[j.Spec]; t < len(w.ends[j.Spec]) {
			status = w.ends[j.Spec][t]
		}
		w.tries[j.Spec]++
		seconds := w.seconds[j.Spec]
		turn <- struct{}{}
		select {
		case <-time.After(time.Duration(seconds * float64(time.Second))):
		case <-ctx.Done():
			status = Failed
		}
		w.running.Add(-1)
		final := status == "final"
		if final {
			status = GivenBack
		}
		return &Ended{Status: status, Seconds: seconds, Transient: !final,
			Artefacts: []string{j.Spec + ".deb", j.Spec + ".changes"}}
	})}
}

func create(t *testing.T, s *Store, specs ...string) *Batch {
	t.Helper()
	h := Head{Name: "b", Dir: "/", Output: "/out"}
	for _, spec := range specs {
		h.Sources = append(h.Sources, Source{Spec: spec})
	}
	b, err := s.Create(h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			t.Error(err)
		}
	})
	return b
}

// reopened is a batch as another process finds it.
func reopened(t *testing.T, s *Store, b *Batch) *Batch {
	t.Helper()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := s.Open(b.Name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := again.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			t.Error(err)
		}
	})
	return again
}

// TestLongestFirst: what takes longest is begun first, and what is not known counts as usual.
func TestLongestFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := create(t, In(t.TempDir()), "short", "new", "long")
		b.Items[0].Seconds, b.Items[2].Seconds = 1, 100
		b.Items = append(b.Items, Item{Source: Source{Spec: "middle", Seconds: 50}, Phase: Waiting})
		w := newWorld()
		if err := b.Run(t.Context(), w.runner(Room{Builds: 1})); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"long", "new", "middle", "short"}, w.order); diff != "" {
			t.Errorf("the order (-want +got):\n%s", diff)
		}
	})
}

// TestRetryByClass: what could not be begun is tried three times, with pauses, unless time
// changes nothing; what failed beside others once more alone; what failed alone has failed.
func TestRetryByClass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := create(t, In(t.TempDir()), "good", "mirror", "gone", "crowded", "broken",
			"unknown")
		w := newWorld()
		for _, s := range b.Sources {
			w.seconds[s.Spec] = 10
		}
		w.ends["mirror"] = []string{GivenBack, GivenBack}
		w.ends["gone"] = []string{GivenBack, GivenBack, GivenBack, GivenBack}
		w.ends["unknown"] = []string{"final"}
		w.ends["crowded"] = []string{Attempted}
		w.ends["broken"] = []string{Attempted, Attempted, Attempted}
		begin := time.Now()
		if err := b.Run(t.Context(), w.runner(Room{Builds: 5})); err != nil {
			t.Fatal(err)
		}
		want := map[string]int{"good": 1, "mirror": 3, "gone": 3, "crowded": 2, "broken": 2,
			"unknown": 1}
		if diff := cmp.Diff(want, w.tries); diff != "" {
			t.Errorf("the tries (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(map[string]bool{"crowded": true, "broken": true}, w.alone); diff != "" {
			t.Errorf("built alone (-want +got):\n%s", diff)
		}
		if took := time.Since(begin); took < pause(1)+pause(2) {
			t.Errorf("the mirror had %v", took)
		}
		got := b.Count()
		if diff := cmp.Diff(Counts{Total: 6, Successful: 3, GivenBack: 2, Failed: 1}, got); diff != "" {
			t.Errorf("the counts (-want +got):\n%s", diff)
		}
		if err := b.Error(); fault.KindOf(err) != fault.Attempted {
			t.Errorf("its error: %v", err)
		}
	})
}

// TestAloneIsNoSecondTime: what failed while nothing else ran is not built again.
func TestAloneIsNoSecondTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := create(t, In(t.TempDir()), "broken")
		w := newWorld()
		w.ends["broken"] = []string{Attempted, Attempted}
		if err := b.Run(t.Context(), w.runner(Room{Builds: 4})); err != nil || w.tries["broken"] != 1 {
			t.Errorf("%d tries, %v", w.tries["broken"], err)
		}
	})
}

// TestMemory: builds which do not fit together do not run together, and one that fits nowhere runs
// by itself.
func TestMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := create(t, In(t.TempDir()), "a", "b", "c", "huge")
		w := newWorld()
		for i := range b.Items {
			b.Items[i].Memory = 6
			w.seconds[b.Items[i].Spec] = 1
		}
		b.Items[3].Memory = 100
		err := b.Run(t.Context(), w.runner(Room{Builds: 4, Memory: 12}))
		if err != nil || w.most != 2 {
			t.Errorf("%d ran at a time, %v", w.most, err)
		}
	})
}

// TestInterrupted: what ran when the batch was stopped, or killed, is begun again; what has ended
// is not; and a try that was interrupted is none.
func TestInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := In(t.TempDir())
		b := create(t, s, "one", "two", "three")
		w := newWorld()
		w.seconds = map[string]float64{"one": 1, "two": 10, "three": 100}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(5*time.Second, cancel)
		if err := b.Run(ctx, w.runner(Room{Builds: 3})); fault.KindOf(err) != fault.Interrupted {
			t.Errorf("stopped: %v", err)
		}
		if c := b.Count(); c.Successful != 1 || c.Waiting != 2 {
			t.Errorf("when it is stopped: %+v", c)
		}
		b = reopened(t, s, b)
		if c := b.Count(); c.Successful != 1 || c.Running != 2 {
			t.Errorf("found again: %+v", c)
		}
		if err := b.Run(t.Context(), w.runner(Room{Builds: 3})); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]int{"one": 1, "two": 2, "three": 2}, w.tries); diff != "" {
			t.Errorf("the tries (-want +got):\n%s", diff)
		}
		if n := b.Items[1].Tries; n != 1 {
			t.Errorf("%d tries count", n)
		}
	})
}

// TestMaxFailures: no other is begun when so many have failed, and a batch that is gone on with
// counts anew.
func TestMaxFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := In(t.TempDir())
		b := create(t, s, "a", "b", "c", "d")
		w := newWorld()
		for _, source := range b.Sources {
			w.ends[source.Spec] = []string{Attempted}
		}
		r := w.runner(Room{Builds: 1})
		r.MaxFailures = 2
		err := b.Run(t.Context(), r)
		if fault.KindOf(err) != fault.Attempted || len(w.order) != 2 {
			t.Errorf("%v were begun: %v", w.order, err)
		}
		b = reopened(t, s, b)
		if err := b.Run(t.Context(), r); err != nil || len(w.order) != 4 {
			t.Errorf("%v were begun: %v", w.order, err)
		}
	})
}

// TestCancelAndAgain: a batch that is cancelled is not gone on with until something of it is to be
// tried again.
func TestCancelAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := In(t.TempDir())
		b := create(t, s, "a", "b")
		w := newWorld()
		w.ends["a"] = []string{Attempted}
		if err := b.Run(t.Context(), w.runner(Room{Builds: 1})); err != nil {
			t.Fatal(err)
		}
		if err := b.Cancel(); err != nil {
			t.Fatal(err)
		}
		b = reopened(t, s, b)
		if err := b.Run(t.Context(), w.runner(Room{Builds: 1})); fault.KindOf(err) != fault.Usage {
			t.Errorf("cancelled: %v", err)
		}
		n, err := b.Again(func(it *Item) bool { return !it.Last.Good() })
		if n != 1 || err != nil {
			t.Fatalf("%d again, %v", n, err)
		}
		if err := b.Run(t.Context(), w.runner(Room{Builds: 1})); err != nil || b.Error() != nil {
			t.Errorf("%v, %v", err, b.Error())
		}
		if diff := cmp.Diff(map[string]int{"a": 2, "b": 1}, w.tries); diff != "" {
			t.Errorf("the tries (-want +got):\n%s", diff)
		}
	})
}

// TestOneAtATime: of two processes one works on a batch, and the other may look at it.
func TestOneAtATime(t *testing.T) {
	s := In(t.TempDir())
	b := create(t, s, "a")
	if _, err := s.Open("b"); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a second one: %v", err)
	}
	if held, err := s.Held("b"); !held || err != nil {
		t.Errorf("held: %v, %v", held, err)
	}
	seen, err := s.Read("b")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b.Head, seen.Head); diff != "" {
		t.Errorf("seen (-want +got):\n%s", diff)
	}
	if _, err := s.Read("bb"); fault.HintOf(err) != "did you mean b?" {
		t.Errorf("another name: %v, hint %q", err, fault.HintOf(err))
	}
	if _, err := s.Create(Head{Name: "b"}); fault.KindOf(err) != fault.Usage {
		t.Errorf("the same name: %v", err)
	}
	for _, name := range []string{"../x", "-x", "a/b", strings.Repeat("a", 100)} {
		if _, err := s.Create(Head{Name: name}); fault.KindOf(err) != fault.Usage {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestCut: a journal may end anywhere, and tells of what was whole. Damage in the middle is said,
// with its line.
func TestCut(t *testing.T) {
	s := In(t.TempDir())
	b := create(t, s, "a", "b")
	w := newWorld()
	if err := b.Run(t.Context(), w.runner(Room{Builds: 1})); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	file := b.path(journalName)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	first := strings.Index(string(whole), "\n") + 1
	for cut := first; cut <= len(whole); cut += 3 {
		if err := os.WriteFile(file, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		b, err := s.Open("b")
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		tries := newWorld()
		err = errors.Join(b.Run(t.Context(), tries.runner(Room{Builds: 2})), b.Close())
		if c := b.Count(); err != nil || c.Successful != 2 {
			t.Fatalf("cut at %d: %+v, %v", cut, c, err)
		}
	}
	lines := strings.SplitAfter(string(whole), "\n")
	lines[2] = "{\"kind\":\n"
	if err := os.WriteFile(file, []byte(strings.Join(lines, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open("b"); err == nil || !strings.Contains(err.Error(), journalName+":3: ") {
		t.Errorf("damaged: %v", err)
	}
	if err := os.WriteFile(file, whole[:first-1], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open("b"); err == nil {
		t.Error("without its head it is opened")
	}
}

// TestStoppedAtRandom: however often a batch is stopped, all is built in the end, and nothing that
// has ended is built again.
func TestStoppedAtRandom(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("the seed is %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	synctest.Test(t, func(t *testing.T) {
		s := In(t.TempDir())
		w := newWorld()
		var specs []string
		for i := range 40 {
			specs = append(specs, fmt.Sprint("p", i))
			w.seconds[specs[i]] = chance.Float64() * 20
		}
		b := create(t, s, specs...)
		ended := map[string]bool{}
		for range 100 {
			ctx, cancel := context.WithTimeout(t.Context(),
				time.Duration(chance.Float64()*float64(40*time.Second)))
			before := len(w.order)
			err := b.Run(ctx, w.runner(Room{Builds: 3}))
			cancel()
			for _, spec := range w.order[before:] {
				if ended[spec] {
					t.Fatalf("%s had ended, and is built again", spec)
				}
			}
			for i := range b.Items {
				ended[b.Items[i].Spec] = b.Items[i].Phase == Finished
			}
			if err == nil {
				break
			}
			b = reopened(t, s, b)
		}
		if c := b.Count(); c.Successful != len(specs) {
			t.Errorf("in the end: %+v", c)
		}
	})
}

// TestNeeds: what needs others is built after them, with their packages and those that these need;
// the longest way to the end comes first; and what needs something that failed is not begun until
// that is tried again.
func TestNeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := In(t.TempDir())
		h := Head{Name: "b", Sources: []Source{{Spec: "lone", Seconds: 5}, {Spec: "app", Seconds: 1,
			Needs: []int{2}}, {Spec: "lib", Seconds: 4, Needs: []int{3}},
			{Spec: "tool", Seconds: 3},
			{Spec: "late", Needs: []int{5, 0}}, {Spec: "bad", Seconds: 1},
			{Spec: "later", Needs: []int{4}}}}
		b, err := s.Create(h)
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld()
		w.ends["bad"] = []string{Attempted}
		if err := b.Run(t.Context(), w.runner(Room{Builds: 1})); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"lone", "tool", "bad", "lib", "app"}, w.order); diff != "" {
			t.Errorf("the order (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"lib.deb", "tool.deb"}, w.packages["app"]); diff != "" {
			t.Errorf("app was built with (-want +got):\n%s", diff)
		}
		if c := b.Count(); c.GivenBack != 2 || c.Failed != 1 {
			t.Errorf("in the end: %+v", c)
		}
		b = reopened(t, s, b)
		if n, err := b.Again(func(it *Item) bool { return it.Last.Status == Attempted }); n != 3 ||
			err != nil {
			t.Errorf("%d are tried again, %v", n, err)
		}
		if err := b.Run(t.Context(), w.runner(Room{Builds: 2})); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"bad", "late", "later"}, w.order[5:]); diff != "" {
			t.Errorf("the order (-want +got):\n%s", diff)
		}
	})
}
