// Package sampler looks now and then at what the processes of a jail take of the machine:
// processors and memory. It reads the host's /proc, and takes those that descend from one process
// for those of the jail. It costs less than one percent of the time: the more a look takes, the
// fewer there are.
//
// What is made of the samples, and when there is something to look at, is internal/pkgbuild's.
package sampler

import (
	"math"
	"runtime"
	"sync"
	"syscall"
	"time"
)

const (
	// soonest is the least time between two looks.
	soonest = 250 * time.Millisecond
	// share is how much longer than a look the time to the next one is at least.
	share = 200
)

// Series are samples at even distances. Those of times at which nothing ran are 0.
type Series struct {
	Start     time.Duration // of the first, since Start
	Every     time.Duration
	CPU       []float64 // processors that were busy
	Memory    []int64   // bytes that were resident, at most; what processes share counts for each
	Processes []int     // at most
	Compilers []int     // of these, compilers and linkers
}

// Sampler takes samples until Stop.
type Sampler struct {
	mu     sync.Mutex
	began  time.Time
	look   looker
	root   int // process whose descendants are looked at; 0: none
	last   seen
	at     time.Time // of last
	series buckets
	end    chan struct{} // closed by Stop
	ended  chan struct{}
}

// Start begins. Times are counted from began on.
func Start(began time.Time) *Sampler {
	s := &Sampler{began: began, look: looker{proc: "/proc"}, end: make(chan struct{}),
		ended: make(chan struct{})}
	go s.run()
	return s
}

// Watch has the process pid and all that descend from it looked at, instead of any other.
func (s *Sampler) Watch(pid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.root, s.at = pid, time.Time{}
	s.look.forget()
}

// Leave has nothing looked at. It is called before the process ends, whose number may be another's
// after that.
func (s *Sampler) Leave() { s.Watch(0) }

// Stop ends it, and returns what was seen. Later calls return the same.
func (s *Sampler) Stop() Series {
	s.mu.Lock()
	select {
	case <-s.end:
	default:
		close(s.end)
	}
	s.mu.Unlock()
	<-s.ended
	return s.series.series()
}

// run looks until the end.
func (s *Sampler) run() {
	defer close(s.ended)
	runtime.LockOSThread() // whose processor time is the cost
	defer runtime.UnlockOSThread()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-s.end:
			return
		case <-timer.C:
		}
		before := spent()
		s.once(time.Now())
		timer.Reset(max(soonest, share*(spent()-before)))
	}
}

// spent is the processor time of this thread.
func spent() time.Duration {
	const thread = 1 // RUSAGE_THREAD
	var use syscall.Rusage
	if syscall.Getrusage(thread, &use) != nil {
		return 0
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

// once takes a look.
func (s *Sampler) once(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.root == 0 {
		return
	}
	got, ok := s.look.at(s.root)
	if !ok {
		s.at = time.Time{}
		return
	}
	if !s.at.IsZero() {
		// A process that waited for none of its children takes their time along with itself.
		busy := max(0, got.busy-s.last.busy)
		s.series.add(s.at.Sub(s.began), now.Sub(s.began), busy, got)
	}
	s.last, s.at = got, now
}

// most is how many samples there are at most. When there are more, each two become one.
const most = 200

// buckets are a series that grows. Every bucket covers the same time.
type buckets struct {
	start time.Duration
	every time.Duration
	all   []bucket
}

type bucket struct {
	busy                 float64 // seconds
	memory               int64
	processes, compilers int
}

// add spreads what was seen between two times over the buckets between them.
func (b *buckets) add(from, to, busy time.Duration, got seen) {
	if len(b.all) == 0 {
		b.start, b.every = from, soonest
	}
	if to <= from {
		return
	}
	for (to-b.start)/b.every >= most {
		b.halve()
	}
	for at := from; at < to; {
		i := int((at - b.start) / b.every)
		for len(b.all) <= i {
			b.all = append(b.all, bucket{})
		}
		end := min(to, b.start+time.Duration(i+1)*b.every)
		one := &b.all[i]
		one.busy += busy.Seconds() * float64(end-at) / float64(to-from)
		one.memory = max(one.memory, got.memory)
		one.processes = max(one.processes, got.processes)
		one.compilers = max(one.compilers, got.compilers)
		at = end
	}
}

func (b *buckets) halve() {
	b.every *= 2
	var half []bucket
	for i := 0; i < len(b.all); i += 2 {
		one := b.all[i]
		if i+1 < len(b.all) {
			next := b.all[i+1]
			one.busy += next.busy
			one.memory = max(one.memory, next.memory)
			one.processes = max(one.processes, next.processes)
			one.compilers = max(one.compilers, next.compilers)
		}
		half = append(half, one)
	}
	b.all = half
}

func (b *buckets) series() Series {
	out := Series{Start: b.start, Every: b.every}
	for _, one := range b.all {
		const digits = 100
		out.CPU = append(out.CPU,
			math.Round(one.busy/b.every.Seconds()*digits)/digits)
		out.Memory = append(out.Memory, one.memory)
		out.Processes = append(out.Processes, one.processes)
		out.Compilers = append(out.Compilers, one.compilers)
	}
	return out
}
