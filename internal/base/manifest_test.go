package base

import (
	"reflect"
	"testing"
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
	if got, err := readManifest(dir); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
}
