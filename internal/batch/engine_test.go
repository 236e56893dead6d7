package batch

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestLaterWhileOthersRun: what is to be tried again has its turn when its time comes, though
// others still run.
func TestLaterWhileOthersRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := create(t, In(t.TempDir()), "long", "mirror")
		w := newWorld()
		w.seconds = map[string]float64{"long": 3600, "mirror": 1}
		w.ends["mirror"] = []string{GivenBack}
		begin := time.Now()
		if err := b.Run(t.Context(), w.runner(Room{Builds: 2})); err != nil {
			t.Fatal(err)
		}
		if at := b.Items[1].Began.Sub(begin); at > pause(1)+time.Minute {
			t.Errorf("it was tried again after %v", at)
		}
	})
}

// TestApart: where the engine gives a machine of its own to what is to be built alone, that does
// not wait for the others.
func TestApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := create(t, In(t.TempDir()), "long", "crowded")
		w := newWorld()
		w.seconds = map[string]float64{"long": 3600, "crowded": 1}
		w.ends["crowded"] = []string{Attempted}
		begin := time.Now()
		if err := b.Run(t.Context(), w.runner(Room{Builds: 2, Apart: true})); err != nil {
			t.Fatal(err)
		}
		if at := b.Items[1].Began.Sub(begin); at > time.Minute {
			t.Errorf("it was built alone after %v", at)
		}
		if diff := cmp.Diff(map[string]bool{"crowded": true}, w.alone); diff != "" {
			t.Errorf("built alone (-want +got):\n%s", diff)
		}
	})
}

// refusing is an engine that cannot do a build, while the others go on without this process.
type refusing struct{ spec string }

var errRefused = errors.New("no such partition")

func (r refusing) Build(ctx context.Context, j Job) (*Ended, error) {
	if j.Spec == r.spec {
		return nil, errRefused
	}
	<-ctx.Done()
	return nil, nil
}

func (refusing) Cancel(context.Context) error { return nil }

// TestEngineEnds: an error of the engine ends the batch; what ran is begun again, as the same try.
func TestEngineEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := In(t.TempDir())
		b := create(t, s, "a", "b")
		err := b.Run(t.Context(), Runner{Room: Room{Builds: 2}, Engine: refusing{"b"}})
		if !errors.Is(err, errRefused) {
			t.Errorf("it ends with %v", err)
		}
		b = reopened(t, s, b)
		tries := map[string]int{}
		err = b.Run(t.Context(), Runner{Room: Room{Builds: 1}, Engine: InProcess(
			func(_ context.Context, j Job) *Ended {
				tries[j.Spec] = j.Try
				return &Ended{Status: Successful}
			})})
		if err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(map[string]int{"a": 1, "b": 1}, tries); diff != "" {
			t.Errorf("the tries (-want +got):\n%s", diff)
		}
	})
}
