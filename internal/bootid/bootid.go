// Package bootid tells one boot of the machine from another: what holds only until the next one is
// noted with it.
package bootid

import (
	"os"
	"strings"
)

// Read is the id of this boot (random(4)).
func Read() (string, error) {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(data)), err
}
