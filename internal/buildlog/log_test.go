package buildlog

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"
)

// clock is a fixed time.
func clock() time.Time { return time.Date(2026, 11, 24, 7, 51, 5, 0, time.UTC) }

// output is what a Log writes for some use of it.
func output(opt Options, use func(*Log)) string {
	var b bytes.Buffer
	opt.Now = clock
	l := New(&b, opt)
	use(l)
	l.Flush()
	return b.String()
}

func write(l *Log, parts ...string) {
	for _, p := range parts {
		fmt.Fprint(l, p)
	}
}

func TestLines(t *testing.T) {
	for _, tt := range []struct {
		name  string
		parts []string
		want  string
	}{
		{"whole", []string{"a\nb\n"}, "a\nb\n"},
		{"in pieces", []string{"a", "b", "\n", "c\nd", "e"}, "ab\nc\nde\n"},
		{"empty lines", []string{"\n\n", "a\n\n"}, "\n\na\n\n"},
		{"CR LF", []string{"a\r\nb\r", "\nc"}, "a\nb\nc\n"},
		{"progress", []string{"1%\r", "2%\r3%\n"}, "1%\n2%\n3%\n"},
		{"split UTF-8", []string{"\xc3", "\xa4\n"}, "ä\n"},
		{"control characters", []string{"\x1b[1mbold\x1b[0m\x00\x07\n"},
			"\x1b[1mbold\x1b[0m\x00\x07\n"},
		{"not UTF-8", []string{"\xff\xfe\n"}, "\xff\xfe\n"},
	} {
		if got := output(Options{}, func(l *Log) { write(l, tt.parts...) }); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestFilter(t *testing.T) {
	got := output(Options{}, func(l *Log) {
		write(l, "/build/reproducible-path/a-1 before\n")
		l.Filter("/build/reproducible-path/a-1", NamePackage)
		l.Filter("build/reproducible-path/", NameBuild)
		l.Filter("/", NameChroot)
		write(l, "cd /build/reprod",
			"ucible-path/a-1/x /build/reproducible-path/b /build/reproducible-path/a-1\n")
		l.Info("%s", "unpacking /build/reproducible-path/a-1")
	})
	want := "/build/reproducible-path/a-1 before\n" +
		"I: NOTICE: Log filtering will replace 'build/reproducible-path/a-1' with " +
		"'<<PKGBUILDDIR>>'\n" +
		"I: NOTICE: Log filtering will replace 'build/reproducible-path' with '<<BUILDDIR>>'\n" +
		"cd /<<PKGBUILDDIR>>/x /<<BUILDDIR>>/b /<<PKGBUILDDIR>>\nI: unpacking /<<PKGBUILDDIR>>\n"
	if got != want {
		t.Errorf("%s", got)
	}
}

// A line of any length is written with little memory, and filtered wherever a path stands in it.
func TestEndlessLine(t *testing.T) {
	const path = "build/reproducible-path/a-1"
	for _, step := range []int{1000, 4096, 65536, 1 << 20} {
		var want, in bytes.Buffer
		r := rand.New(rand.NewPCG(1, 2))
		for in.Len() < 1<<20 {
			n := r.IntN(200)
			in.WriteString(strings.Repeat("x", n) + "/" + path)
			want.WriteString(strings.Repeat("x", n) + "/<<PKGBUILDDIR>>")
		}
		var b bytes.Buffer
		l := New(&b, Options{Now: clock})
		l.Filter(path, NamePackage)
		b.Reset()
		for data := in.Bytes(); len(data) > 0; {
			n := min(step, len(data))
			if _, err := l.Write(data[:n]); err != nil {
				t.Fatal(err)
			}
			data = data[n:]
		}
		if held := cap(l.out.part); step < maxLine && held > 4*maxLine {
			t.Errorf("%d bytes are held", held)
		}
		write(l, "\n")
		if got := b.String(); got != want.String()+"\n" {
			t.Errorf("in steps of %d: %d bytes, want %d", step, len(got), want.Len()+1)
		}
		if l.Lines() != 2 {
			t.Errorf("%d lines", l.Lines())
		}
	}
}

func TestOwnLineAfterUnfinished(t *testing.T) {
	got := output(Options{}, func(l *Log) {
		write(l, "unfinished")
		l.Error("it failed")
		write(l, "more")
		l.Separator()
	})
	if want := "unfinished\nE: it failed\nmore\n" + strings.Repeat("-", 80) + "\n"; got != want {
		t.Errorf("%q", got)
	}
}

func TestStreams(t *testing.T) {
	got := output(Options{}, func(l *Log) {
		out, err := l.Stream(), l.Stream()
		fmt.Fprint(out, "out ")
		fmt.Fprint(err, "err ")
		fmt.Fprint(out, "one\n")
		fmt.Fprint(err, "two")
		err.Flush()
		out.Flush()
	})
	if got != "out one\nerr two\n" {
		t.Errorf("%q", got)
	}
}

func TestConcurrent(t *testing.T) {
	var b bytes.Buffer
	l := New(&b, Options{Now: clock})
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			s := l.Stream()
			for n := range 200 {
				fmt.Fprintf(s, "stream %d ", i)
				fmt.Fprintf(s, "line %d\n", n)
				l.Info("own %d", i)
				l.Tail(3)
			}
		})
	}
	wg.Wait()
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	if len(lines) != 1600 || l.Lines() != 1600 {
		t.Fatalf("%d lines, counted %d", len(lines), l.Lines())
	}
	for _, line := range lines {
		if !strings.HasPrefix(line, "I: own ") &&
			(!strings.HasPrefix(line, "stream ") || strings.Count(line, "line") != 1) {
			t.Fatalf("%q", line)
		}
	}
}

func TestTail(t *testing.T) {
	var l *Log
	output(Options{TailLines: 4}, func(log *Log) {
		l = log
		if got := l.Tail(3); len(got) != 0 {
			t.Errorf("%v", got)
		}
		write(l, "a\nb\n")
		if got := fmt.Sprint(l.Tail(20)); got != "[{1 a} {2 b}]" {
			t.Error(got)
		}
		write(l, "c\nd\n")
		if got := fmt.Sprint(l.Tail(20)); got != "[{1 a} {2 b} {3 c} {4 d}]" {
			t.Error(got)
		}
		write(l, "e\nf\n"+strings.Repeat("long", 1000)+"\n")
	})
	got := l.Tail(2)
	if len(got) != 2 || got[0].Number != 6 || got[0].Text != "f" ||
		len(got[1].Text) != maxTailLine {
		t.Errorf("%v", got)
	}
	if got := fmt.Sprint(l.Tail(4)[:2]); got != "[{4 d} {5 e}]" {
		t.Error(got)
	}
}

func TestTee(t *testing.T) {
	var tee bytes.Buffer
	got := output(Options{Tee: &tee}, func(l *Log) {
		write(l, "a\x1b]0;x\x07\tä\xff\u202e\x85\u0085\x7f\n")
	})
	if got != "a\x1b]0;x\x07\tä\xff\u202e\x85\u0085\x7f\n" {
		t.Errorf("file: %q", got)
	}
	if want := "a^[]0;x^G\tä\\xff\\u202e\\x85\\u0085^?\n"; tee.String() != want {
		t.Errorf("terminal: %q, want %q", tee.String(), want)
	}
}

// broken fails after some writes.
type broken int

func (b *broken) Write(p []byte) (int, error) {
	if *b--; *b < 0 {
		return 0, errors.New("no space")
	}
	return len(p), nil
}

func TestErrorsDoNotStopTheBuild(t *testing.T) {
	file, tee := broken(1), broken(0)
	l := New(&file, Options{Tee: &tee})
	for range 5 {
		if n, err := l.Write([]byte("abc\n")); n != 4 || err != nil {
			t.Fatal(n, err)
		}
	}
	if err := l.Err(); err == nil || err.Error() != "writing the build log: no space" {
		t.Error(err)
	}
	if l.Lines() != 5 || len(l.Tail(9)) != 5 {
		t.Errorf("%d lines", l.Lines())
	}
}

func FuzzLog(f *testing.F) {
	f.Add("a\r\nb", "c\nbuild/x", 3)
	f.Fuzz(func(t *testing.T, one, two string, cut int) {
		all := one + two
		whole := output(Options{}, func(l *Log) { l.Filter("build/x", NameBuild); write(l, all) })
		parts := output(Options{}, func(l *Log) {
			l.Filter("build/x", NameBuild)
			step := cut%7 + 7
			for s := all; s != ""; {
				n := min(step, len(s))
				write(l, s[:n])
				s = s[n:]
			}
		})
		if whole != parts {
			t.Fatalf("%q, in pieces %q", whole, parts)
		}
		safe := Visible([]byte(all))
		if bytes.ContainsAny(safe, "\x00\x07\x1b\r\x7f") || !bytes.Equal(Visible(safe), safe) {
			t.Fatalf("%q is shown as %q", all, safe)
		}
	})
}

func BenchmarkWrite(b *testing.B) {
	line := []byte("gcc -g -O2 -ffile-prefix-map=/build/reproducible-path/tree-2.1.0=. " +
		"-fstack-protector-strong -Wformat -Werror=format-security -c -o tree.o tree.c\n")
	l := New(&bytes.Buffer{}, Options{})
	l.w = discard{}
	l.Filter("/build/reproducible-path/tree-2.1.0", NamePackage)
	l.Section("Build")
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		if _, err := l.Write(line); err != nil {
			b.Fatal(err)
		}
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
