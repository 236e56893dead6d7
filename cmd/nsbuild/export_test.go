package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nsbuild/internal/testenv"
)

// TestExportImport takes a base through an archive and back: the same bytes, a base that works, and one of the suite that the tree tells.
func TestExportImport(t *testing.T) {
	w := realWorld(t)
	testenv.HostState(t)
	w.must(t, "export", "-o", "one.tar", "bookworm")
	name := "again" + strings.ToLower(filepath.Base(t.TempDir()))
	w.must(t, "import", name, "one.tar")
	t.Cleanup(func() { w.must(t, "remove", name) })
	w.must(t, "export", "--output=two.tar", name)
	one, two := read(t, filepath.Join(w.dir, "one.tar")), read(t, filepath.Join(w.dir, "two.tar"))
	if one != two {
		t.Errorf("export, import and export again gives another archive (%d and %d bytes)", len(one), len(two))
	}
	if o := w.must(t, "info", name); !strings.Contains(o.stdout, "Suite: bookworm\nArchitecture: amd64\n") || !strings.Contains(o.stdout, "Bootstrapper: import\n") {
		t.Error(o)
	}
	if o := w.must(t, "run", name, "--", "dpkg-query", "-Wf", "${db:Status-Abbrev}", "dpkg"); o.stdout != "ii " {
		t.Error(o)
	}
	w.must(t, "update", name)
	refusal{status: 2, says: []string{"base " + name + " exists already"}, hint: "--replace"}.check(t, w.run(t, "import", name, "one.tar"))
	refusal{status: 2, says: []string{"--from and --variant contradict"}, hint: "leave out one"}.check(t, w.run(t, "create", "--from=one.tar", "--variant=minbase", "bookworm"))

	t.Run("cut", func(t *testing.T) {
		if err := os.WriteFile(filepath.Join(w.dir, "cut.tar"), []byte(one[:len(one)/2]), 0o600); err != nil {
			t.Fatal(err)
		}
		before := w.must(t, "info", name).stdout
		o := w.run(t, "create", "--replace", "--name="+name, "--from=cut.tar", "bookworm")
		refusal{status: 1, says: []string{"cut.tar", "unexpected EOF"}}.check(t, o)
		if after := w.must(t, "info", name).stdout; after != before {
			t.Errorf("an import that failed has changed the base:\n%s\n%s", before, after)
		}
	})
	t.Run("pipe", func(t *testing.T) {
		c, ended := w.command(t, "import", "--replace", "--suite=bookworm", name, "-")
		c.Stdin = bytes.NewReader([]byte(one))
		if o := ended(c.Run()); o.status != 0 || !strings.Contains(w.must(t, "info", name).stdout, "Generation: 2\n") {
			t.Error(o)
		}
	})
}
