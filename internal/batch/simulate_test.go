package batch

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A suite as large as Debian's, with a graph of its shape: bookworm's was read (34,293 sources that
// build-depend on 5.5 of the others, cycles left out; the one that most need is needed by 7,472,
// the 200th by 128, the 5,000th by 3; 24 levels). NSBUILD_TEST_GRAPH names a journal of a batch,
// whose graph is taken instead.

// degrees are how many others a source needs, of each tenth of the sources.
var degrees = [...]int{0, 0, 1, 2, 3, 4, 5, 6, 8, 12, 32}

// simulated makes up a suite of n sources.
func simulated(t *testing.T, chance *rand.Rand, n int) []Source {
	t.Helper()
	var all []Source
	if file := os.Getenv("NSBUILD_TEST_GRAPH"); file != "" {
		all = graphOf(t, file)
	} else {
		for i := range n {
			all = append(all, Source{Spec: fmt.Sprint("p", i), Needs: needsOf(chance, i)})
		}
	}
	for i := range all { // half of them take less than a minute, one in a thousand half an hour
		all[i].Seconds = 60 * math.Exp(chance.NormFloat64()*1.1)
	}
	return all
}

// needsOf draws what a source needs of those before it: the first ones are needed most.
func needsOf(chance *rand.Rand, i int) (needs []int) {
	tenth := chance.IntN(len(degrees) - 1)
	n := degrees[tenth] + chance.IntN(degrees[tenth+1]-degrees[tenth]+1)
	for range min(n, i) {
		j := int(math.Exp(chance.Float64()*math.Log(float64(i)+1))) - 1
		if j = min(j, i-1); !slices.Contains(needs, j) {
			needs = append(needs, j)
		}
	}
	slices.Sort(needs)
	return needs
}

// graphOf is the graph of a batch.
func graphOf(t *testing.T, file string) []Source {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	var r record
	if err := json.Unmarshal([]byte(line), &r); err != nil || r.Head == nil {
		t.Fatalf("%s: %v", file, err)
	}
	return r.Head.Sources
}

// bound is how long a batch takes at least on so many nodes: the longest way through the graph, or
// the sum of all builds.
func bound(items []Item, nodes int) (seconds float64) {
	q := newQueue(items)
	sum := 0.0
	for i := range items {
		if items[i].Skip == "" {
			sum += items[i].Seconds
			seconds = max(seconds, q.path[i])
		}
	}
	return max(seconds, sum/float64(nodes))
}

// nodes plays machines, of which some die while they build.
type nodes struct {
	items  []Item
	chance *rand.Rand
	turn   chan struct{} // held while chance is asked
	die    float64       // how probable it is for a build
	built  []int         // how often each was built to its end
	deaths int
	ready  func(item int) bool
	early  int // that were begun before what they need
}

// Build takes its time, or until its node dies.
func (n *nodes) Build(ctx context.Context, j Job) (*Ended, error) {
	n.turn <- struct{}{}
	seconds, dies := n.items[j.Item].Seconds, n.chance.Float64() < n.die
	if dies {
		seconds *= n.chance.Float64()
		n.deaths++
	}
	if !n.ready(j.Item) {
		n.early++
	}
	<-n.turn
	select {
	case <-time.After(time.Duration(seconds * float64(time.Second))):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if dies {
		return &Ended{Status: GivenBack, Transient: true}, nil
	}
	n.turn <- struct{}{}
	n.built[j.Item]++
	<-n.turn
	return &Ended{Status: Successful, Seconds: seconds, Artefacts: []string{j.Spec + ".deb"}}, nil
}

func (n *nodes) Cancel(context.Context) error { return nil }

// simulate has a suite be built, and returns how far from the bound that was.
func simulate(t *testing.T, seed uint64, sources []Source, count int, die float64) float64 {
	t.Helper()
	b := &Batch{}
	begins := &record{Kind: kindBatch, Head: &Head{Schema: Schema, Sources: sources}}
	if err := b.apply(begins); err != nil {
		t.Fatal(err)
	}
	n := &nodes{items: slices.Clone(b.Items), chance: rand.New(rand.NewPCG(seed, 1)), die: die,
		turn: make(chan struct{}, 1), built: make([]int, len(sources))}
	n.ready = func(item int) bool {
		return !slices.ContainsFunc(sources[item].Needs, func(j int) bool {
			return n.built[j] == 0 && sources[j].Skip == ""
		})
	}
	least := bound(b.Items, count)
	begin := time.Now()
	if err := b.Run(t.Context(), Runner{Room: Room{Builds: count}, Engine: n}); err != nil {
		t.Fatal(err)
	}
	took := time.Since(begin).Seconds()
	if n.early > 0 {
		t.Errorf("%d were begun before what they need", n.early)
	}
	lost := 0
	for i := range b.Items {
		it := &b.Items[i]
		switch {
		case it.Phase != Finished:
			t.Fatalf("%s is %s in the end", it.Spec, it.Phase)
		case n.built[i] > 1, n.built[i] == 1 != (it.Last.Status == Successful):
			t.Fatalf("%s was built %d times, and is %s", it.Spec, n.built[i], it.Last.Status)
		case it.Last.Status == GivenBack && !it.Last.Blocked:
			lost++
		}
	}
	// three nodes in a row have died under the same build
	if most := 10 + int(10*float64(len(sources))*die*die*die); lost > most {
		t.Errorf("%d were not built, of %d deaths", lost, n.deaths)
	}
	t.Logf("%d sources on %d nodes, %d deaths: %.0f s, the bound is %.0f s: %.3f", len(sources),
		count, n.deaths, took, least, least/took)
	return least / took
}

// TestSimulation: a whole suite on 200 nodes takes hardly more than the bound. When nodes die,
// nothing is lost, and nothing is built twice.
func TestSimulation(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("the seed is %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	n := 30000
	if testing.Short() { // the race detector is there for other things
		n = 5000
	}
	sources := simulated(t, chance, n)
	synctest.Test(t, func(t *testing.T) {
		if e := simulate(t, seed, sources, 200, 0); e < 0.9 {
			t.Errorf("an efficiency of %.3f", e)
		}
	})
	counts := []int{1, 1000}
	if os.Getenv("NSBUILD_TEST_GRAPH") != "" {
		counts = []int{1, 2, 10, 50, 200, 500, 1000}
	} else {
		sources = simulated(t, chance, 3000)
	}
	for _, count := range counts {
		synctest.Test(t, func(t *testing.T) { simulate(t, seed, sources, count, 0.01) })
	}
}
