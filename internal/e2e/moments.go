package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// Moment is when something can be seen of a run from outside. A time after its start would mean
// another moment on each machine.
type Moment struct {
	Name string
	Come func() bool
}

// Until waits for a moment.
func (m Moment) Until(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(TooLong); !m.Come(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it does not come to %s", m.Name)
		}
	}
}

// AtStart comes at once.
var AtStart = Moment{"its start", func() bool { return true }}

// At runs nsbuild and sends it a signal at a moment, or some time later. It returns how long the
// end took, and how it was: a run that ends before gets no signal.
func (w *World) At(t *testing.T, m Moment, later time.Duration, signal syscall.Signal,
	args ...string) (time.Duration, Outcome) {
	t.Helper()
	c, ended := w.Command(t, args...)
	Check(t, c.Start())
	timer := time.AfterFunc(TooLong, func() { _ = c.Process.Kill() }) // it may have ended
	defer timer.Stop()
	end := make(chan error, 1)
	go func() { end <- c.Wait() }()
	for wait, come := time.Duration(0), false; ; wait = 2 * time.Millisecond {
		if !come && m.Come() {
			wait, come = later, true
		}
		select {
		case err := <-end:
			return 0, ended(err)
		case <-time.After(wait):
		}
		if come {
			break
		}
	}
	if err := c.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	begin := time.Now()
	err := <-end
	return time.Since(begin), ended(err)
}

// StopTime is how long an end that was asked for may take: a second, with as much again for a
// machine that is busy with other tests; or as long as what is to be ended has taken so far, since
// its files are deleted. Where more processes want to run than there are processors, each of them
// waits for the others: then it is so many times as long.
func StopTime() time.Duration {
	// "0.20 0.18 0.12 1/80 11206": the first number is the mean of a minute (proc_loadavg(5)).
	text, err := os.ReadFile("/proc/loadavg")
	var load float64
	if err == nil {
		_, err = fmt.Sscan(string(text), &load)
	}
	if err != nil {
		load = 0
	}
	return time.Duration(float64(2*time.Second) * max(1, load/float64(runtime.NumCPU())))
}

// Chance is the source of a test's random moments. The environment variable NSBUILD_TEST_SEED
// repeats those of an earlier run, which has said what it was.
func Chance(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("NSBUILD_TEST_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		Check(t, err)
	}
	t.Logf("NSBUILD_TEST_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}
