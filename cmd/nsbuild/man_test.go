package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestManPages(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "man1")
	a := &app{stdout: os.Stdout, stderr: os.Stderr}
	if err := a.man(dir); err != nil {
		t.Fatal(err)
	}
	names := []string{"nsbuild.1"}
	for _, c := range newRoot(a).Commands() {
		names = append(names, "nsbuild-"+c.Name()+".1")
	}
	for _, name := range names {
		page, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
			continue
		}
		if !strings.Contains(string(page), "\n.SH EXIT STATUS") {
			t.Errorf("%s has no table of exit statuses", name)
		}
		if strings.Contains(string(page), dir) {
			t.Errorf("%s names a directory of this machine", name)
		}
	}
}

func TestManText(t *testing.T) {
	const help = "do does it.\nAll of it.\n\nEXIT STATUS\n  0  done\n  1  failed\n"
	const want = "do does it.\nAll of it.\n\n# EXIT STATUS\n\n    0  done\n    1  failed\n"
	if got := manText(help); got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
}
