package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	logtest "github.com/sirupsen/logrus/hooks/test"

	"nsbuild/internal/pkgbuild"
	"nsbuild/internal/workdir"
)

// TestOwnDirectoryHidden: no message names a file by the directory that a command works in.
func TestOwnDirectoryHidden(t *testing.T) {
	log, _ := logtest.NewNullLogger()
	work, err := workdir.Open(t.Context(), t.TempDir(), log)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := work.Make("orig-")
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	a := &app{stderr: out, env: &pkgbuild.Env{Work: work}}
	a.printError(fmt.Errorf("opening %s: no such file", filepath.Join(dir, "x.tar.gz")))
	said, err := os.ReadFile(out.Name())
	if err != nil || strings.Contains(string(said), "/run-") ||
		string(said) != "nsbuild: opening x.tar.gz: no such file\n" {
		t.Errorf("%q, %v", said, err)
	}
	for _, end := range []error{out.Close(), work.Close(t.Context(), log)} {
		if end != nil {
			t.Error(end)
		}
	}
}
