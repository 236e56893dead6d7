package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/budget"
	"nsbuild/internal/fault"
	"nsbuild/internal/machine"
)

func TestPrintFindings(t *testing.T) {
	var out strings.Builder
	if err := printFindings(&out,
		[]finding{{fine, "overlay", "in memory", ""},
			{note, "memory", "little", "buy some"}}); err != nil {
		t.Error(err)
	}
	if want := "ok       overlay      in memory\nnote     memory       little\n                  " +
		"    → buy some\n"; out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
	err := printFindings(&out,
		[]finding{{missing, "user ids", "none", "sudo apt-get install uidmap"}})
	if exitStatus(err) != 1 || fault.HintOf(err) == "" {
		t.Errorf("something is missing, and the error is %v", err)
	}
}

// TestExamineApt: a mirror that is taken in place of the host's is never taken without a word.
func TestExamineApt(t *testing.T) {
	root := t.TempDir()
	file := filepath.Join(root, "etc/apt/sources.list")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	table := (&app{}).suites()
	suite, err := table.Lookup("bookworm")
	if err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"deb cdrom:[x]/ bookworm main\n":                        "the method cdrom is not spoken here",
		"deb http://mirror.example/debian bookworm main\n":      "",
		"deb tor+http://mirror.example/debian bookworm main\n":  "the method tor+http is not spoken",
		"deb mirror+file:/nowhere/list.txt bookworm main\n":     "no such file or directory",
		"deb http://mirror.example/debian bookworm main\nfoo\n": "foo",
	} {
		if err := os.WriteFile(file, []byte(line), 0o644); err != nil {
			t.Fatal(err)
		}
		host, err := aptconf.ReadHost(root, table)
		if err != nil {
			t.Fatal(err)
		}
		repos, err := host.Repos(suite, "", "")
		if err != nil {
			t.Fatal(err)
		}
		var said strings.Builder
		for _, f := range examineApt(host.Warnings, repos) {
			said.WriteString(f.found + "\n")
		}
		if got := said.String(); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%q: it says %q, want %q", line, got, want)
		}
	}
}

func TestExamineMachine(t *testing.T) {
	const limits = "/sys/fs/cgroup/memory.max"
	for _, c := range []struct {
		budget budget.Budget
		err    error
		want   verdict
		says   string
	}{
		{budget.Budget{Processors: 8, Memory: 8 << 30}, nil, fine, "8.0 GiB available"},
		{budget.Budget{Processors: 8, Memory: 1 << 29}, nil, note, "0.5 GiB available: large"},
		{budget.Budget{Processors: 1, Memory: 1 << 29, MemoryBy: limits}, nil, note,
			"0.5 GiB available, bounded by " + limits},
		{budget.Budget{}, errors.New("no MemAvailable"), note, "no MemAvailable"},
	} {
		all := examineMachine(c.budget, c.err)
		if got := all[len(all)-1]; got.verdict != c.want || got.what != "memory" ||
			!strings.HasPrefix(got.found, c.says) {
			t.Errorf("%+v: %+v", c.budget, got)
		}
	}
	one := examineMachine(budget.Budget{Processors: 1, Memory: 8 << 30, ProcessorsBy: "/g/cpu.max"},
		nil)[0]
	if one.found != "1 processor, bounded by /g/cpu.max" {
		t.Errorf("%+v", one)
	}
}

func TestExamineDisk(t *testing.T) {
	dir := t.TempDir()
	if got := examineDisk("bases", filepath.Join(dir, "not", "yet")); got.verdict == missing &&
		!strings.Contains(got.found, "GiB free") {
		t.Errorf("a directory that can be made: %+v", got)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{file, filepath.Join(file, "below")} {
		if got := examineDisk("bases", bad); got.verdict != missing {
			t.Errorf("%s: %+v", bad, got)
		}
	}
}

func TestExamineForeign(t *testing.T) {
	none := func(string) (machine.Way, error) { return machine.Way{}, errors.New("no") }
	if got := examineForeign(none); got.verdict != note || !strings.Contains(got.mend, "qemu") {
		t.Errorf("%+v", got)
	}
	some := func(arch string) (machine.Way, error) {
		switch arch {
		case "i386":
			return machine.Way{Personality32: true}, nil
		case "s390x":
			return machine.Way{Registered: "/usr/bin/qemu-s390x-static"}, nil
		}
		return none(arch)
	}
	if got := examineForeign(some); got.verdict != fine ||
		!strings.HasSuffix(got.found, ", i386; with an emulator of s390x") {
		t.Errorf("%+v", got)
	}
}
