package buildlog

import (
	"io"
	"strings"
	"testing"
)

func TestDoing(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"", ""},
		{"checking for gcc... gcc\n", "checking for gcc... gcc"},
		{"0 upgraded, 285 newly installed, 0 to remove and 0 not upgraded.\n" +
			"Selecting previously unselected package a.\nUnpacking a (1) ...\n",
			"unpacking a (1 of 285)"},
		{"1 upgraded, 3 newly installed, 0 to remove and 7 not upgraded.\n" +
			"Unpacking a (1) ...\nUnpacking b (1) ...\nSetting up libgtk-3-dev:amd64 (3.24) ...\n",
			"setting up libgtk-3-dev (1 of 4)"},
		{"Setting up a (1) ...\n", "setting up a"},
		{"0 upgraded, 3 newly installed\nUnpacking a (1) ...\nUnpacking b (1) ...\n" +
			"Setting up a (1) ...\nUnpacking c (1) ...\n", "unpacking c (3 of 3)"},
		{"0 upgraded, 1 newly installed\nSetting up a (1) ...\nSetting up b (1) ...\n",
			"setting up b"},
		{"Setting up a (1) ...\nProcessing triggers for libc-bin (2.36) ...\n",
			"Processing triggers for libc-bin (2.36) ..."},
		{"   dh_auto_build\n", "dh_auto_build"},
		{"   dh_auto_build\n\tmake -j2\ngcc  -c\tx.c\n", "dh_auto_build: gcc -c x.c"},
		{"   dh_auto_build\ngcc\n   debian/rules override_dh_auto_test\n", "override_dh_auto_test"},
		{"dh_testdir\n\tdh_install -a\nx\n", "dh_install: x"},
		{"Unpacking\n", "Unpacking"},
		{"x\n\n", "x"},
		{"evil \x1b[2J\n", `evil ^[[2J`},
		{"::error::x\n", `\x3a:error::x`},
	} {
		var l *Log
		output(Options{}, func(log *Log) {
			l = log
			write(l, tt.text)
		})
		if got := l.Doing(); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.text, got, tt.want)
		}
	}
	var l *Log
	output(Options{}, func(log *Log) {
		l = log
		write(l, "   dh_auto_build\nx\n")
		l.Section("Changes")
		write(l, "y\n")
	})
	if got := l.Doing(); got != "y" {
		t.Errorf("after another section: %q", got)
	}
}

// asking is a terminal that asks, while it is being written to, what the build does.
type asking struct{ l *Log }

func (a *asking) Write(p []byte) (int, error) {
	_ = a.l.Doing()
	return len(p), nil
}

func TestDoingWhileWriting(t *testing.T) {
	a := &asking{}
	a.l = New(io.Discard, Options{Tee: a})
	write(a.l, "one\n")
	if got := a.l.Doing(); got != "one" {
		t.Error(got)
	}
}

// BenchmarkDoing is what it costs to know: less than one percent of what a line of the log costs.
func BenchmarkDoing(b *testing.B) {
	line := []byte(strings.Repeat("gcc -c x.c ", 10))
	var d doing
	for b.Loop() {
		d.line(line, "gcc -c x.c")
	}
}
