// Package config turns what the caller has set, by flags and by the environment, into the values that nsbuild works with.
//
// There is no configuration file yet. What the flags are called and what they mean is left to cmd/nsbuild.
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

// FindDirs chooses the directories. For each the first of these that is set counts: the flag's value, our own variable (NSBUILD_STATE, NSBUILD_CACHE), the variable of the XDG
// Base Directory Specification; then root's place, or the one below the home directory.
func FindDirs(stateFlag, cacheFlag string) (d Dirs, err error) {
	if d.State, err = find(stateFlag, "NSBUILD_STATE", "XDG_DATA_HOME", "/var/lib/nsbuild", ".local/share/nsbuild"); err != nil {
		return Dirs{}, err
	}
	d.Cache, err = find(cacheFlag, "NSBUILD_CACHE", "XDG_CACHE_HOME", "/var/cache/nsbuild", ".cache/nsbuild")
	return d, err
}

func find(flag, ours, xdg, roots, below string) (string, error) {
	switch {
	case flag != "":
		return filepath.Abs(flag)
	case os.Getenv(ours) != "":
		return filepath.Abs(os.Getenv(ours))
	case filepath.IsAbs(os.Getenv(xdg)): // a relative one is to be ignored, says the specification
		return filepath.Join(os.Getenv(xdg), "nsbuild"), nil
	case os.Geteuid() == 0:
		return roots, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fault.Wrap(fault.Usage, "set "+ours, err)
	}
	return filepath.Join(home, below), nil
}
