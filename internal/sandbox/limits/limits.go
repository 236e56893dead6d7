// Package limits has what limits mean where no control group holds them: numbers on which the
// caller, which tells of them, agrees with PID 1 and the helper, which set them.
package limits

import (
	"fmt"
	"math"

	"golang.org/x/sys/unix"
)

// Processors is how many processors stand for a share of time.
func Processors(cpus float64) int { return max(1, int(math.Ceil(cpus))) }

// PerNamespace tells whether RLIMIT_NPROC counts all processes of a user namespace, as it does
// since Linux 5.14.
func PerNamespace() bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	var major, minor int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major,
		&minor); err != nil {
		return false
	}
	return major > 5 || major == 5 && minor >= 14
}

// MiB is a size as messages give it.
func MiB(n int64) string { return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20)) }

// HelperTasks is the allowance for the helpers' own threads among those of a jail.
const HelperTasks = 16
