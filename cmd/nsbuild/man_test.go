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
		if !c.Hidden {
			names = append(names, "nsbuild-"+c.Name()+".1")
		}
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
	const help = "do does it.\nAll of it.\n\n.profile is read.\n\n    do \\ x\n\n    do -y\nEXIT " +
		"STATUS\n  0  done\n"
	const want = "do does it.\nAll of it.\n.PP\n\\&.profile is read.\n.PP\n.RS 4\n.EX\n  do \\e " +
		"x\n\n  do \\-y\n.EE\n.RE\n.SH EXIT STATUS\n.PP\n.RS 4\n.EX\n0  done\n.EE\n.RE\n"
	if got := manText(help); got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

func TestManPageDate(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "86400")
	dir := t.TempDir()
	a := &app{stdout: os.Stdout, stderr: os.Stderr}
	if err := a.man(dir); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "nsbuild-run.1"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), `"January 1970"`) {
		t.Errorf("the page is dated %q", strings.SplitN(string(page), "\n", 3)[1])
	}
}
