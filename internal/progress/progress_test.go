package progress

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// expect compares what a screen shows. Times are the bubble's, so they are exact.
func expect(t *testing.T, s *screen, want ...string) {
	t.Helper()
	synctest.Wait()
	if got := s.lines(); !slices.Equal(got, want) {
		t.Errorf("screen shows\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func onScreen(t *testing.T, width, height int, o Options,
	test func(t *testing.T, s *screen, p *Progress)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newScreen(width, height)
		p := newProgress(s, o, s)
		test(t, s, p)
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestLiveLine(t *testing.T) {
	onScreen(t, 80, 24, Options{}, func(t *testing.T, s *screen, p *Progress) {
		ph := p.Phase("download")
		expect(t, s, "download               0.0s")
		ph.AddTotal(40_000_000)
		for range 10 {
			ph.Add(1_000_000)
			time.Sleep(100 * time.Millisecond)
		}
		ph.Note("apt_2.6.1_amd64.deb")
		time.Sleep(100 * time.Millisecond)
		expect(t, s, "download               1.1s  25%  10.0/40.0 MB  9.1 MB/s  apt_2.6.1_amd64.deb")
		ph.Add(30_000_000)
		ph.Note("")
		ph.Done(nil)
		ph.Done(errors.New("too late to count"))
		expect(t, s, "download               1.1s  40.0 MB  36.4 MB/s", "")
		ph = p.Phase("configure")
		ph.Unit("packages")
		ph.AddTotal(144)
		ph.Add(7)
		time.Sleep(time.Minute + time.Second)
		expect(t, s, "download               1.1s  40.0 MB  36.4 MB/s",
			"configure             1m01s   4%  7/144 packages")
		ph.Done(nil)
		expect(t, s, "download               1.1s  40.0 MB  36.4 MB/s",
			"configure             1m01s  7 packages", "")
	})
}

func TestLogLinesDoNotMix(t *testing.T) {
	onScreen(t, 80, 24, Options{}, func(t *testing.T, s *screen, p *Progress) {
		w := p.Writer()
		ph := p.Phase("build")
		fmt.Fprint(w, "checking for gcc... ")
		expect(t, s, "build                  0.0s")
		fmt.Fprint(w, "yes\nchecking for g++... ")
		expect(t, s, "checking for gcc... yes", "build                  0.0s")
		fmt.Fprintln(p.Writer(), "a line from elsewhere")
		expect(t, s, "checking for gcc... yes", "a line from elsewhere", "build                  0.0s")
		ph.Done(nil)
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		fmt.Fprint(w, "after")
		expect(t, s, "checking for gcc... yes", "a line from elsewhere", "build                  0.0s",
			"checking for g++...", "after")
	})
}

// TestDetail holds what a line ends with that is asked for when it is drawn: cut to the width, and
// not left behind.
func TestDetail(t *testing.T) {
	onScreen(t, 60, 24, Options{}, func(t *testing.T, s *screen, p *Progress) {
		var said atomic.Pointer[string]
		var asked atomic.Int32
		say := func(text string) { said.Store(&text) }
		say("dh_auto_build: gcc -c a.c")
		ph := p.Phase("build")
		ph.Detail(func() string { asked.Add(1); return *said.Load() })
		time.Sleep(150 * time.Millisecond)
		expect(t, s, head("build", 100*time.Millisecond)+"dh_auto_build: gcc -c a.c")
		say(strings.Repeat("x\x1b", 100))
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		if lines := s.lines(); len(lines) != 1 || columns(lines[0]) != 59 ||
			strings.Contains(lines[0], "\x1b") {
			t.Errorf("%q", lines)
		}
		time.Sleep(time.Second)
		ph.Done(nil)
		expect(t, s, strings.TrimRight(head("build", 1200*time.Millisecond), " "), "")
		if n := asked.Load(); n > 20 {
			t.Errorf("asked %d times in 1.2 s", n)
		}
	})
}

func TestDetailInPlainLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := newProgress(&out, Options{}, nil)
		ph := p.Phase("build")
		ph.Detail(func() string { return strings.Repeat("long ", 100) })
		time.Sleep(30*time.Second + time.Millisecond)
		ph.Done(nil)
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		first, _, _ := strings.Cut(out.String(), "\n")
		begins := head("build", 30*time.Second) + "long long"
		if !strings.HasPrefix(first, begins) || len(first) > 130 {
			t.Errorf("%q", first)
		}
	})
}

func TestSeveralPhases(t *testing.T) {
	onScreen(t, 80, 4, Options{}, func(t *testing.T, s *screen, p *Progress) {
		a, b, c := p.Phase("a"), p.Phase("b"), p.Phase("c")
		d := p.Phase("d")
		expect(t, s, "a                      0.0s", "b                      0.0s", "and 2 more")
		time.Sleep(time.Second)
		b.Done(nil)
		expect(t, s, "b                      1.0s", "a                      1.0s",
			"c                      1.0s", "d                      1.0s")
		a.Done(nil)
		c.Done(nil)
		d.Done(nil)
		expect(t, s, "b                      1.0s", "a                      1.0s",
			"c                      1.0s", "d                      1.0s", "")
	})
}

func TestNarrowAndResized(t *testing.T) {
	onScreen(t, 60, 24, Options{}, func(t *testing.T, s *screen, p *Progress) {
		fmt.Fprintln(p.Writer(), "before")
		ph, other := p.Phase("download"), p.Phase("unpack")
		ph.Note("this note is so long that it must be cut, or it would wrap")
		time.Sleep(time.Second)
		expect(t, s, "before",
			"download               1.0s  this note is so long that it m", "unpack                 1.0s")
		s.resize(25) // the long line now takes three rows, the short one two
		time.Sleep(redraw)
		expect(t, s, "before", "download               1", "unpack                 1")
		s.resize(70)
		time.Sleep(redraw)
		expect(t, s, "before",
			"download               1.2s  this note is so long that it must be cut",
			"unpack                 1.2s")
		s.resize(1)
		time.Sleep(redraw)
		s.resize(60)
		ph.Done(nil)
		other.Done(nil)
	})
}

func TestOutcomes(t *testing.T) {
	onScreen(t, 80, 24, Options{}, func(t *testing.T, s *screen, p *Progress) {
		failing, cancelled, open := p.Phase("unpack"), p.Phase("download"), p.Phase("build")
		cancelled.AddTotal(2000)
		cancelled.Add(1500)
		time.Sleep(100 * time.Millisecond)
		failing.Done(errors.New("no space left on device"))
		cancelled.Done(fmt.Errorf("fetching: %w", context.Canceled))
		if s.colors != 2 {
			t.Errorf("%d colour sequences, want red and back", s.colors)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		open.Done(nil) // what ends after Close prints nothing
		p.Phase("late").Done(nil)
		expect(t, s, "unpack                 0.1s  failed",
			"download               0.1s  stopped  1.5/2.0 kB", "build                  0.1s  stopped", "")
	})
}

func TestNoColor(t *testing.T) {
	onScreen(t, 80, 24, Options{NoColor: true}, func(t *testing.T, s *screen, p *Progress) {
		p.Phase("unpack").Done(errors.New("failed"))
		if s.colors != 0 {
			t.Errorf("%d colour sequences in spite of NoColor", s.colors)
		}
	})
}

func TestPauseAndBackground(t *testing.T) {
	onScreen(t, 80, 24, Options{}, func(t *testing.T, s *screen, p *Progress) {
		ph := p.Phase("shell")
		resume := p.Pause()
		expect(t, s, "")
		time.Sleep(time.Second)
		expect(t, s, "")
		resume()
		resume()
		expect(t, s, "shell                  1.0s")
		s.mu.Lock()
		s.background = true
		s.mu.Unlock()
		fmt.Fprint(s, "\n$ ") // the user's shell
		time.Sleep(time.Second)
		expect(t, s, "shell                  1.0s", "$")
		ph.Done(nil)
	})
}

func TestPlain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := New(&out, Options{})
		if p.Live() {
			t.Error("a buffer has live lines")
		}
		short := p.Phase("release")
		time.Sleep(300 * time.Millisecond)
		short.Done(nil)
		long := p.Phase("download")
		long.AddTotal(100_000_000)
		w := p.Writer()
		for range 70 {
			time.Sleep(time.Second)
			long.Add(1_000_000)
		}
		fmt.Fprint(w, "part of a line")
		long.Done(nil)
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		want := `release                0.3s
download              30.7s  30%  30.0/100 MB  1.0 MB/s …
download              1m01s  60%  60.0/100 MB  1.0 MB/s …
download              1m10s  70.0 MB  1.0 MB/s
part of a line
`
		if got := out.String(); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	})
}

func TestQuiet(t *testing.T) {
	onScreen(t, 80, 24, Options{Quiet: true}, func(t *testing.T, s *screen, p *Progress) {
		ph := p.Phase("download")
		ph.Add(5)
		fmt.Fprintln(p.Writer(), "a warning")
		ph.Done(errors.New("failed"))
		expect(t, s, "a warning", "")
	})
}

func TestWriteErrorIsReportedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScreen(80, 24)
		s.err = io.ErrClosedPipe
		p := newProgress(s, Options{}, s)
		p.Phase("download").Done(nil)
		if err := p.Close(); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("Close returned %v", err)
		}
	})
}

func TestHostileNames(t *testing.T) {
	onScreen(t, 80, 24, Options{}, func(t *testing.T, s *screen, p *Progress) {
		ph := p.Phase("evil\x1b[2J\r\n")
		ph.Note("\x9b31m\u202e\x00")
		time.Sleep(redraw)
		expect(t, s, "evil?[2J??             0.1s  ?31m??")
		ph.Done(nil)
	})
}

func TestLongPartialLineIsBroken(t *testing.T) {
	var out bytes.Buffer
	p := New(&out, Options{})
	w := p.Writer()
	chunk := bytes.Repeat([]byte("x"), 1000)
	for range 100 {
		if _, err := w.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	if out.Len() == 0 {
		t.Error("100 kB without a newline are still held back")
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if n := bytes.Count(out.Bytes(), []byte("x")); n != 100_000 {
		t.Errorf("%d bytes came out", n)
	}
}

func TestConcurrentUse(t *testing.T) {
	s := newScreen(40, 10)
	p := newProgress(s, Options{}, s)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			ph := p.Phase(fmt.Sprint("phase", i))
			w := p.Writer()
			for j := range 50 {
				ph.AddTotal(10)
				ph.Add(10)
				ph.Note(fmt.Sprint(j))
				fmt.Fprintf(w, "line %d of %d\n", j, i)
			}
			ph.Done(nil)
		})
	}
	wg.Wait()
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	var lines int
	for _, l := range s.lines() {
		if strings.HasPrefix(l, "line ") {
			lines++
		}
	}
	if lines != 1000 {
		t.Errorf("%d of 1000 log lines arrived whole", lines)
	}
}

func TestAmounts(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{amount(0, ""), "0 B"},
		{amount(999, ""), "999 B"},
		{amount(1000, ""), "1.0 kB"},
		{amount(99_949, ""), "99.9 kB"},
		{amount(99_950, ""), "100 kB"},
		{amount(999_499, ""), "999 kB"},
		{amount(999_500, ""), "1.0 MB"},
		{amount(1<<62, ""), "4.6 EB"},
		{amountOf(5, 2_000_000_000, ""), "0.0/2.0 GB"},
		{amountOf(3, 10, "files"), "3/10 files"},
		{duration(-1), "0.0s"},
		{duration(59940 * time.Millisecond), "59.9s"},
		{duration(59960 * time.Millisecond), "1m00s"},
		{duration(25*time.Hour + 61*time.Second), "25h01m01s"},
		{cut("größe", 3), "grö"},
		{cut("日本", 3), "日"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestTask(t *testing.T) {
	onScreen(t, 80, 24, Options{}, func(t *testing.T, s *screen, p *Progress) {
		one, endOne := p.Task("hello")
		two, endTwo := p.Task("tree")
		unpack := one.Phase("unpack")
		fetch := two.Phase("source")
		fetch.Unit("files")
		fetch.AddTotal(2)
		fetch.Add(1)
		time.Sleep(time.Second)
		expect(t, s, "hello                  1.0s  unpack",
			"tree                   1.0s  source  50%  1/2 files")
		unpack.Done(nil)
		build := one.Phase("build")
		fmt.Fprintln(one.Writer(), "warning")
		fetch.Done(errors.New("cut"))
		endTwo("given-back", errors.New("cut"))
		time.Sleep(100 * time.Millisecond)
		expect(t, s, "hello: warning", "tree                   1.0s  failed  given-back",
			"hello                  1.1s  build")
		build.Done(nil)
		endOne("successful", nil)
		endOne("too late", nil)
		expect(t, s, "hello: warning", "tree                   1.0s  failed  given-back",
			"hello                  1.1s  successful", "")
	})
	t.Run("plain", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var out bytes.Buffer
			p := New(&out, Options{})
			v, end := p.Task("hello")
			ph := v.Phase("build")
			time.Sleep(31 * time.Second)
			ph.Done(nil)
			fmt.Fprint(v.Writer(), "cut")
			end("successful", nil)
			if err := p.Close(); err != nil {
				t.Error(err)
			}
			want := "hello: build          30.0s …\nhello: build          31.0s\nhello                 31.0s  " +
				"successful\nhello: cut\n"
			if out.String() != want {
				t.Errorf("got\n%swant\n%s", out.String(), want)
			}
		})
	})
}

// TestWritersAreForgotten keeps no writer that has nothing to finish.
func TestWritersAreForgotten(t *testing.T) {
	var out bytes.Buffer
	p := New(&out, Options{})
	for range 100 {
		w := p.Writer()
		fmt.Fprint(w, "begun, ")
		fmt.Fprint(w, "ended\n")
	}
	left := p.Writer()
	fmt.Fprint(left, "unfinished")
	if len(p.writers) != 1 {
		t.Errorf("%d writers are kept", len(p.writers))
	}
	if err := p.Close(); err != nil || !strings.HasSuffix(out.String(), "ended\nunfinished\n") {
		t.Errorf("%v\n%s", err, &out)
	}
}
