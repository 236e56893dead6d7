package config

import (
	"os"
	"path/filepath"
	"testing"
)

func TestFindDirs(t *testing.T) {
	cwd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	state, cache := "/home/user/.local/share/nsbuild", "/home/user/.cache/nsbuild"
	if os.Geteuid() == 0 {
		state, cache = "/var/lib/nsbuild", "/var/cache/nsbuild"
	}
	for _, c := range []struct {
		name             string
		env              map[string]string
		configured, want Dirs
	}{
		{"nothing set", nil, Dirs{}, Dirs{state, cache}},
		{"XDG", map[string]string{"XDG_DATA_HOME": "/d", "XDG_CACHE_HOME": "/c"}, Dirs{},
			Dirs{"/d/nsbuild", "/c/nsbuild"}},
		{"relative XDG", map[string]string{"XDG_DATA_HOME": "d", "XDG_CACHE_HOME": "c"}, Dirs{},
			Dirs{state, cache}},
		{"configured", map[string]string{"XDG_DATA_HOME": "/d"}, Dirs{"x", "/y"},
			Dirs{filepath.Join(cwd, "x"), "/y"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, name := range []string{"XDG_DATA_HOME", "XDG_CACHE_HOME"} {
				t.Setenv(name, c.env[name])
			}
			t.Setenv("HOME", "/home/user")
			got, err := FindDirs(c.configured.State, c.configured.Cache)
			if err != nil || got != c.want {
				t.Errorf("%+v, %v; want %+v", got, err, c.want)
			}
		})
	}
}
