package archivetest

import (
	"os"
	"path/filepath"
	"testing"

	"nsbuild/internal/archive/aptconf"
)

// Write writes a file, and makes its directory.
func Write(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// AptRoot is a directory with the configuration of an apt below it.
func AptRoot(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		Write(t, filepath.Join(root, name), []byte(text))
	}
	return root
}

// AptHost is a host with that configuration of an apt.
func AptHost(t *testing.T, files map[string]string) *aptconf.Host {
	t.Helper()
	h, err := aptconf.ReadHost(AptRoot(t, files), nil)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// Flip changes one bit in the middle of a file.
func Flip(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 4
	Write(t, path, data)
}
