package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"nsbuild/internal/testenv"
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
	const help = "do does it.\nAll of it.\n\n.profile is read, but not .bashrc.\n\n    do \\ x\n\n" +
		"    do -y\n"
	const want = "do does it. All of it.\n.PP\n\\&.profile is read, but not \\&.bashrc.\n.RS 4\n" +
		".EX\ndo \\e x\n\ndo \\-y\n.EE\n.RE\n"
	if got := manText(help); got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

// TestManPagesAreClean has those who know pages look at them: mandoc(1) at their source, and man(1)
// at what groff says of them.
func TestManPagesAreClean(t *testing.T) {
	testenv.RequireTool(t, "mandoc")
	testenv.RequireTool(t, "man")
	dir := t.TempDir()
	a := &app{stdout: os.Stdout, stderr: os.Stderr}
	check(t, a.man(dir))
	pages, err := filepath.Glob(filepath.Join(dir, "*.1"))
	check(t, err)
	if len(pages) < 20 {
		t.Fatalf("there are %d pages", len(pages))
	}
	lint := exec.Command("mandoc", append([]string{"-Tlint"}, pages...)...)
	if said, err := lint.CombinedOutput(); err != nil || len(said) > 0 {
		t.Errorf("mandoc -Tlint: %v\n%s", err, said)
	}
	for _, page := range pages {
		man := exec.Command("man", "--warnings", "-l", page)
		man.Env = append(os.Environ(), "MANWIDTH=80", "LC_ALL=C.UTF-8")
		var said bytes.Buffer
		man.Stderr = &said
		if err := man.Run(); err != nil || said.Len() > 0 {
			t.Errorf("man --warnings -l %s: %v\n%s", filepath.Base(page), err, said.String())
		}
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
	if !strings.Contains(string(page), `1970-01-02`) {
		t.Errorf("the page is dated %q", strings.SplitN(string(page), "\n", 3)[1])
	}
}
