package aptconf

import "testing"

// TestDirectoryURI: apt in a jail calls a directory file:/srv, however its user has written it.
func TestDirectoryURI(t *testing.T) {
	for given, want := range map[string]string{"file:///srv/m%20x/": "file:/srv/m%20x",
		"file:/srv": "file:/srv", "copy:/srv": "copy:/srv",
		"http://mirror.example/debian/": "http://mirror.example/debian"} {
		if got, err := mirrorURI(given); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", given, got, err, want)
		}
	}
}
