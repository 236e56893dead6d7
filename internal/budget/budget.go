package budget

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// Budget is what a process may use.
type Budget struct {
	Processors int   // that it can keep busy, at least 1
	Memory     int64 // bytes that it can still have, before something is swapped out or killed
	Limit      int64 // the least limit of memory of its control groups, in bytes; 0: there is none
	// ProcessorsBy and MemoryBy name the file of the control group that leaves no more; "" where
	// the machine itself does not have more.
	ProcessorsBy, MemoryBy string
}

// Read asks the kernel.
func Read() (Budget, error) { return read("/", runtime.NumCPU()) }

// read is Read for a tree of files of which /proc and the mounts of control groups are part.
func read(root string, processors int) (Budget, error) {
	b := Budget{Processors: processors}
	var err error
	if b.Memory, err = memAvailable(filepath.Join(root, "proc", "meminfo")); err != nil {
		return b, err
	}
	groups, err := groupsOf(root)
	if err != nil {
		return b, err
	}
	for _, g := range groups {
		if err := b.bound(g); err != nil {
			return b, fmt.Errorf("asking for the limits of %s: %w", g.dir, err)
		}
	}
	b.Processors, b.Memory = max(1, b.Processors), max(0, b.Memory)
	return b, nil
}

// bound takes the limits of one group into account.
func (b *Budget) bound(g group) error {
	processors, file, err := g.processors()
	if err != nil {
		return err
	}
	if n := int(math.Ceil(processors)); processors > 0 && n < b.Processors {
		b.Processors, b.ProcessorsBy = n, file
	}
	limit, file, err := g.memoryLimit()
	if err != nil || limit == unlimited {
		return err
	}
	used, err := g.memoryUsed()
	if err != nil {
		return err
	}
	if b.Limit == 0 || limit < b.Limit {
		b.Limit = limit
	}
	if left := limit - used; left < b.Memory {
		b.Memory, b.MemoryBy = left, file
	}
	return nil
}

// Jobs is how many processes one of several builds beside each other may use: its share of the
// processors, but no more than memory feeds at one GiB each.
func (b Budget) Jobs(builds int) int {
	builds = max(1, builds)
	return max(1, min((b.Processors+builds-1)/builds, b.gib()/builds))
}

// Builds is how many builds there may be at a time: one for each processor, but no more than memory
// feeds at two GiB each.
func (b Budget) Builds() int { return max(1, min(b.Processors, b.gib()/2)) }

// Scratch is how many bytes all that is written to memory may take together. The rest is for the
// processes that write it.
func (b Budget) Scratch() int64 { return b.Memory / 2 }

func (b Budget) gib() int { return int(b.Memory >> 30) }

// memAvailable reads what the kernel thinks can be used without swapping, in bytes.
func memAvailable(file string) (int64, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, fmt.Errorf("asking for free memory: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		rest, ok := strings.CutPrefix(line, "MemAvailable:")
		if !ok {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("asking for free memory: %s: %w", file, err)
		}
		return kib << 10, nil
	}
	return 0, errors.New("asking for free memory: " + file + " has no MemAvailable")
}
