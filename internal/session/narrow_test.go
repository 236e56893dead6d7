package session

import (
	"os"
	"path/filepath"
	"testing"
)

func TestNarrow(t *testing.T) {
	for _, c := range []struct {
		name, file, text string
		want             bool
	}{
		{"32 bits", "usr/bin/dash", "\x7fELF\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00",
			true},
		{"64 bits", "usr/bin/dash", "\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00",
			false},
		{"by dpkg", "usr/bin/dpkg", "\x7fELF\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00",
			true},
		{"no program", "usr/bin/dash", "#!", false},
		{"empty", "empty", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			makeDir(t, filepath.Join(root, "usr/bin"), 0o755)
			for name, to := range map[string]string{"bin": "usr/bin", "usr/bin/sh": "dash"} {
				if err := os.Symlink(to, filepath.Join(root, name)); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(root, c.file), []byte(c.text), 0o755); err != nil {
				t.Fatal(err)
			}
			if got := narrow(root); got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}
