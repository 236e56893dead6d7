package base

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestManifestOfAnyBytes is about a keyring in a directory whose name is not UTF-8.
func TestManifestOfAnyBytes(t *testing.T) {
	dir := t.TempDir()
	want := Manifest{
		Format: ManifestVersion, Keyring: "/home/J\xf6rg/keys.asc", Mirror: `file:/srv/a\b`,
	}
	if err := writeManifest(dir, want); err != nil {
		t.Fatal(err)
	}
	got, err := readManifest(dir)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("it is read as another: %v (-written +read):\n%s", err, diff)
	}
}
