package batch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"nsbuild/internal/fault"
)

// shelf is a repository that is made up.
type shelf struct {
	takes time.Duration
	times map[string]int // each package was published
	calls int
	fails int // the next so many
}

func (s *shelf) publish(ctx context.Context, files []string) error {
	select {
	case <-time.After(s.takes):
	case <-ctx.Done():
		return ctx.Err()
	}
	if s.calls++; s.fails > 0 {
		s.fails--
		return errors.New("the disk is full")
	}
	for _, file := range files {
		s.times[file]++
	}
	return nil
}

func publishing(w *world, s *shelf, builds int) Runner {
	r := w.runner(Room{Builds: builds})
	r.Publish = s.publish
	return r
}

// TestPublish: all that is built is published once, many builds at a time, and what has failed is
// not. Publishing takes a tenth of the time at most.
func TestPublish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := In(t.TempDir())
		w := newWorld()
		var specs []string
		for i := range 100 {
			specs = append(specs, fmt.Sprint("p", i))
			w.seconds[specs[i]] = 3
		}
		w.ends["p7"] = []string{Attempted, Attempted}
		b := create(t, s, specs...)
		shelf := &shelf{takes: time.Second, times: map[string]int{}}
		if err := b.Run(t.Context(), publishing(w, shelf, 2)); err != nil {
			t.Fatal(err)
		}
		want := map[string]int{}
		for _, spec := range specs {
			if spec != "p7" {
				want[spec+".deb"] = 1
			}
		}
		if diff := cmp.Diff(want, shelf.times); diff != "" {
			t.Errorf("published (-want +got):\n%s", diff)
		}
		if shelf.calls < 5 || shelf.calls > 20 {
			t.Errorf("in %d publications", shelf.calls)
		}
		b = reopened(t, s, b)
		if err := b.Run(t.Context(), publishing(w, shelf, 2)); err != nil || shelf.calls > 20 {
			t.Errorf("gone on with: %v, %d", err, shelf.calls)
		}
		if _, err := b.Again(func(it *Item) bool { return it.Spec == "p3" }); err != nil {
			t.Fatal(err)
		}
		if err := b.Run(t.Context(), publishing(w, shelf, 2)); err != nil ||
			shelf.times["p3.deb"] != 2 {
			t.Errorf("built again, it was published %d times, %v", shelf.times["p3.deb"], err)
		}
	})
}

// TestUnpublishable: builds go on while the repository cannot be written, which is tried again; in
// the end it is an error, and resume publishes.
func TestUnpublishable(t *testing.T) {
	for fails, ends := range map[int]string{2: "", 3: "3 builds are not published: the disk is full"} {
		synctest.Test(t, func(t *testing.T) {
			s := In(t.TempDir())
			b := create(t, s, "a", "b", "c")
			shelf := &shelf{times: map[string]int{}, fails: fails}
			err := b.Run(t.Context(), publishing(newWorld(), shelf, 3))
			if ends == "" && err != nil || ends != "" && (fault.KindOf(err) != fault.Internal ||
				!strings.Contains(err.Error(), ends)) {
				t.Errorf("after %d failures: %v", fails, err)
			}
			if c := b.Count(); c.Successful != 3 {
				t.Errorf("the builds: %+v", c)
			}
			b = reopened(t, s, b)
			w := newWorld()
			if err := b.Run(t.Context(), publishing(w, shelf, 3)); err != nil || len(w.order) > 0 {
				t.Errorf("resumed: %v, %v are built again", err, w.order)
			}
			want := map[string]int{"a.deb": 1, "b.deb": 1, "c.deb": 1}
			if diff := cmp.Diff(want, shelf.times); diff != "" {
				t.Errorf("published (-want +got):\n%s", diff)
			}
		})
	}
}

// TestPublishStopped: however often a batch is stopped, all is published, each once.
func TestPublishStopped(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("the seed is %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	synctest.Test(t, func(t *testing.T) {
		s := In(t.TempDir())
		w := newWorld()
		want := map[string]int{}
		var specs []string
		for i := range 40 {
			specs = append(specs, fmt.Sprint("p", i))
			w.seconds[specs[i]] = chance.Float64() * 20
			want[specs[i]+".deb"] = 1
		}
		b := create(t, s, specs...)
		shelf := &shelf{takes: time.Second, times: map[string]int{}}
		for range 1000 {
			ctx, cancel := context.WithTimeout(t.Context(),
				time.Duration(chance.Float64()*float64(40*time.Second)))
			err := b.Run(ctx, publishing(w, shelf, 3))
			cancel()
			if err == nil {
				break
			}
			b = reopened(t, s, b)
		}
		if diff := cmp.Diff(want, shelf.times); diff != "" {
			t.Errorf("published (-want +got):\n%s", diff)
		}
	})
}
