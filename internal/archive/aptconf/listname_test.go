package aptconf

import (
	"testing"
)

// TestListName: as apt 2.6 prints them (apt-get --print-uris update).
func TestListName(t *testing.T) {
	for _, test := range []struct{ uri, suite, want string }{
		{"https://mirror.example/debian", "sid", "mirror.example_debian_dists_sid_InRelease"},
		{"http://[::1]:99/debian", "sid", "::1:99_debian_dists_sid_InRelease"},
		{"copy:/srv/q", "sub/dir/", "_srv_q_sub_dir_InRelease"},
		{"file:/srv/m%20x/y", "bookworm/updates", "_srv_m%20x_y_dists_bookworm_updates_InRelease"},
		{"file:///srv/q", "./", "_srv_q_._InRelease"},
		{"http://joe:pw@mirror.example:8080/deb~ian+x_y=z/%7Ea/b@c", "bookworm",
			"mirror.example:8080_deb%7eian+x%5fy%3dz_%7ea_b%40c_dists_bookworm_InRelease"},
	} {
		if got := ListName(Repo{URI: test.uri, Suite: test.suite}.AptDist() +
			"InRelease"); got != test.want {
			t.Errorf("%s %s: %s, want %s", test.uri, test.suite, got, test.want)
		}
	}
}
