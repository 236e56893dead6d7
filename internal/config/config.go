// Package config reads the configuration files, and finds the directories that nsbuild keeps things
// in.
//
// Keys are the names of flags; which there are and what they mean is left to cmd/nsbuild, which
// also knows what counts more: flags, the environment, the user's file, the machine's.
package config

import (
	"os"
	"path/filepath"

	"nsbuild/internal/fault"
)

// Dirs are the two directories that nsbuild keeps things in, as absolute paths.
type Dirs struct {
	State string // bases
	Cache string // downloads and layers: what can be had again
}

// FindDirs chooses the directories. For each the first of these that is set counts: what is
// configured, the variable of the XDG Base Directory Specification; then root's place, or the one
// below the home directory.
func FindDirs(state, cache string) (d Dirs, err error) {
	if d.State, err = find(state, "--state-dir", "XDG_DATA_HOME", "/var/lib/nsbuild",
		".local/share/nsbuild"); err != nil {
		return Dirs{}, err
	}
	d.Cache, err = find(cache, "--cache-dir", "XDG_CACHE_HOME", "/var/cache/nsbuild",
		".cache/nsbuild")
	return d, err
}

func find(configured, flag, xdg, roots, below string) (string, error) {
	switch {
	case configured != "":
		return filepath.Abs(configured)
	case filepath.IsAbs(os.Getenv(xdg)): // a relative one is to be ignored, says the specification
		return filepath.Join(os.Getenv(xdg), "nsbuild"), nil
	case os.Geteuid() == 0:
		return roots, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fault.Wrap(fault.Usage, "give "+flag, err)
	}
	return filepath.Join(home, below), nil
}
