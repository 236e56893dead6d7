// Package execpath has the directories in which programs are looked for, and finds the host's own
// programs, for the caller. Programs of a jail are found in inside.
package execpath

import (
	"os/exec"
	"path/filepath"
)

// Find looks for one of the host's programs in PATH, then in DefaultPath: the caller's PATH
// may be short, or empty.
func Find(name string) (string, error) {
	found, err := exec.LookPath(name)
	if err == nil {
		return found, nil
	}
	for _, dir := range filepath.SplitList(DefaultPath) {
		if found, other := exec.LookPath(filepath.Join(dir, name)); other == nil {
			return found, nil
		}
	}
	return "", err
}

// DefaultPath is the PATH of root in Debian (ENV_SUPATH of login.defs(5)), and where a command is
// looked up whose environment has none.
const DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
