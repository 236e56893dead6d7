package apparmor

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"nsbuild/internal/testenv"
)

// TestProfile has AppArmor's own parser read the profile, for programs with all kinds of names. A
// parser before 4.0 does not know its one rule and is given the rest.
func TestProfile(t *testing.T) {
	testenv.RequireTool(t, "apparmor_parser")
	parser, err := testenv.FindTool("apparmor_parser")
	if err != nil {
		t.Fatal(err)
	}
	_, old := os.Stat("/etc/apparmor.d/abi/4.0")
	for _, program := range []string{"/usr/bin/nsbuild", "/home/a da/go,bin/ns*[1]{2}^@build"} {
		text, err := Profile(program)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(text, "userns,") || !strings.Contains(text, "profile nsbuild \"/") {
			t.Errorf("%s: the profile is\n%s", program, text)
		}
		if old != nil {
			text = strings.ReplaceAll(strings.ReplaceAll(text, "abi/4.0", "abi/3.0"), "userns,", "")
		}
		file := filepath.Join(t.TempDir(), "nsbuild")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(parser, "--skip-kernel-load", "--skip-cache", file)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s%s", program, err, out, text)
		}
	}
	for _, program := range []string{"nsbuild", "/a\"b", "/a\nb", `/a\b`} {
		if text, err := Profile(program); err == nil {
			t.Errorf("%q has the profile\n%s", program, text)
		}
	}
}
