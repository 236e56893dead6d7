package budget

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// unlimited is the limit of a group that has none, in bytes.
const unlimited = math.MaxInt64

// group is a control group that the process is in, itself or by one below it.
type group struct {
	dir    string
	layout layout
}

// layout is how a version of control groups names its files ("Control Group v2", "Memory Resource
// Controller" and "CFS Bandwidth Control" in the kernel's documentation).
type layout struct {
	limits []string // files with a number of bytes; the least one counts
	usage  string   // file with a number of bytes
	cache  []string // lines of memory.stat: what is in memory of files on disks
	// line of memory.stat: the least limit of the groups above; "" where there is none
	above string
}

var (
	version2 = layout{
		limits: []string{"memory.max", "memory.high"}, usage: "memory.current",
		cache: []string{"inactive_file", "active_file"},
	}
	version1 = layout{
		limits: []string{"memory.limit_in_bytes"}, usage: "memory.usage_in_bytes",
		cache: []string{"total_inactive_file", "total_active_file"},
		above: "hierarchical_memory_limit",
	}
)

// memoryLimit is the least limit of the group's memory, and the file that says it.
func (g group) memoryLimit() (limit int64, file string, err error) {
	limit = unlimited
	for _, name := range g.layout.limits {
		n, err := g.number(name)
		if err != nil {
			return 0, "", err
		}
		if n < limit {
			limit, file = n, filepath.Join(g.dir, name)
		}
	}
	if g.layout.above == "" {
		return limit, file, nil
	}
	above, ok, err := g.stat(g.layout.above)
	if ok && above < limit {
		limit, file = above, filepath.Join(g.dir, "memory.stat")
	}
	return limit, file, err
}

// memoryUsed is what the group's processes take. What was read of files on disks is no burden: the
// kernel gives it up before anything is killed, and MemAvailable counts it as free, too.
func (g group) memoryUsed() (int64, error) {
	used, err := g.number(g.layout.usage)
	if err != nil {
		return 0, err
	}
	if used == unlimited { // the file is not there
		return 0, nil
	}
	for _, name := range g.layout.cache {
		n, _, err := g.stat(name)
		if err != nil {
			return 0, err
		}
		used -= n
	}
	return max(0, used), nil
}

// number reads a file with a number of bytes. "max", what is as good as no limit, and a file that
// is not there or not for us are unlimited.
func (g group) number(name string) (int64, error) {
	text, err := g.read(name)
	if err != nil || text == "" || text == "max" {
		return unlimited, err
	}
	return bytesOf(name, text)
}

// bytesOf is a number of bytes. cgroup v1 says the largest number of pages for no limit.
func bytesOf(name, text string) (int64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	if n > 1<<60 {
		return unlimited, nil
	}
	return int64(n), nil
}

// stat reads a line of memory.stat.
func (g group) stat(name string) (n int64, ok bool, err error) {
	text, err := g.read("memory.stat")
	for line := range strings.Lines(text) {
		if value, found := strings.CutPrefix(line, name+" "); found {
			n, err = bytesOf("memory.stat", strings.TrimSpace(value))
			return n, err == nil, err
		}
	}
	return 0, false, err
}

// processors are those that the group may keep busy, a part of one as well, and the file that says
// it; 0 where nothing does.
func (g group) processors() (n float64, file string, err error) {
	file = "cpu.max"
	text, err := g.read(file)
	if err != nil {
		return 0, "", err
	}
	quota, period, _ := strings.Cut(text, " ")
	if text == "" { // cgroup v1
		file = "cpu.cfs_quota_us"
		if quota, err = g.read(file); err != nil {
			return 0, "", err
		}
		if period, err = g.read("cpu.cfs_period_us"); err != nil {
			return 0, "", err
		}
	}
	if quota == "" || quota == "max" || quota == "-1" {
		return 0, "", nil
	}
	q, err := strconv.ParseFloat(quota, 64)
	if err != nil {
		return 0, "", fmt.Errorf("%s: %w", file, err)
	}
	p, err := strconv.ParseFloat(period, 64)
	if err != nil || p <= 0 || q < 0 {
		return 0, "", fmt.Errorf("%s: %s of %q is no share", file, quota, period)
	}
	return max(q/p, math.SmallestNonzeroFloat64), filepath.Join(g.dir, file), nil
}

// read reads a file of the group; "" when it is not there, as in a group without the controller, or
// not for us.
func (g group) read(name string) (string, error) {
	data, err := os.ReadFile(filepath.Join(g.dir, name))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return "", nil
	}
	return strings.TrimSpace(string(data)), err
}
