package sandbox

import (
	"maps"
	"os"
	"path/filepath"
	"testing"
)

func TestMemory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kernel.json")
	current, err := now("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, current memory, want map[string]bool) {
		t.Helper()
		got, err := recall(file, current)
		if err != nil || !maps.Equal(got, want) {
			t.Errorf("%s: recalled %v, %v; want %v", what, got, err, want)
		}
	}
	check("no file", current, nil)
	if err := remember(file, current, map[string]bool{"device 1:2": false},
		map[string]bool{"tmpfs": true}); err != nil {
		t.Fatal(err)
	}
	check("the same", current, map[string]bool{"tmpfs": true, "device 1:2": false})
	for what, change := range map[string]func(*memory){
		"another boot":    func(m *memory) { m.Boot = "x" },
		"another kernel":  func(m *memory) { m.Kernel = "6.1.0" },
		"another program": func(m *memory) { m.Program = "1:2:3:4" },
	} {
		other := current
		change(&other)
		check(what, other, nil)
	}
	if err := os.WriteFile(file, []byte(`{"Boot":`), 0o600); err != nil {
		t.Fatal(err)
	}
	check("a broken file", current, nil)
}
