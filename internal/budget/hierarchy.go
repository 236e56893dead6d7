package budget

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// hierarchy is a mounted tree of control groups.
type hierarchy struct {
	controllers []string // of cgroup v1; none: cgroup v2
	root        string   // the group that is mounted
	at          string   // where it is mounted
}

// groupsOf are the control groups of this process that can be seen, of each hierarchy from the own
// one up to the topmost.
func groupsOf(root string) ([]group, error) {
	mounted, err := hierarchies(filepath.Join(root, "proc", "self", "mountinfo"))
	if err != nil {
		return nil, err
	}
	own, err := os.ReadFile(filepath.Join(root, "proc", "self", "cgroup"))
	if errors.Is(err, fs.ErrNotExist) { // a kernel without control groups
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("asking for the own control groups: %w", err)
	}
	var groups []group
	for line := range strings.Lines(string(own)) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3) // cgroups(7)
		if len(fields) < 3 {
			continue
		}
		for _, h := range mounted {
			if !h.has(fields[1]) {
				continue
			}
			layout := version1
			if len(h.controllers) == 0 {
				layout = version2
			}
			for _, dir := range h.upwards(fields[2]) {
				groups = append(groups, group{filepath.Join(root, dir), layout})
			}
			break
		}
	}
	return groups, nil
}

// has tells whether controllers are those of the hierarchy, as /proc/self/cgroup lists them. Of
// cgroup v1 those that limit memory and processors count.
func (h *hierarchy) has(controllers string) bool {
	if controllers == "" || len(h.controllers) == 0 {
		return controllers == "" && len(h.controllers) == 0
	}
	return slices.ContainsFunc(strings.Split(controllers, ","), func(c string) bool {
		return (c == "memory" || c == "cpu") && slices.Contains(h.controllers, c)
	})
}

// upwards are the directories of a group and of those above it. Of one that lies outside what is
// mounted, the mounted one is seen.
func (h *hierarchy) upwards(group string) []string {
	below, err := filepath.Rel(h.root, group)
	if err != nil || below == ".." || strings.HasPrefix(below, "../") ||
		strings.HasPrefix(group, "/..") {
		below = "."
	}
	dirs := []string{filepath.Join(h.at, below)}
	for ; below != "."; below = filepath.Dir(below) {
		dirs = append(dirs, filepath.Join(h.at, filepath.Dir(below)))
	}
	return dirs
}

// hierarchies reads which are mounted (proc_pid_mountinfo(5)).
func hierarchies(mountinfo string) ([]hierarchy, error) {
	data, err := os.ReadFile(mountinfo)
	if err != nil {
		return nil, fmt.Errorf("asking where control groups are mounted: %w", err)
	}
	var all []hierarchy
	for line := range strings.Lines(string(data)) {
		mount, kind, _ := strings.Cut(line, " - ")
		before, after := strings.Fields(mount), strings.Fields(kind)
		if len(before) < 5 || len(after) < 3 {
			continue
		}
		h := hierarchy{root: unescape(before[3]), at: unescape(before[4])}
		switch after[0] {
		case "cgroup2":
			all = append(all, h)
		case "cgroup":
			h.controllers = strings.Split(after[2], ",") // among other options
			all = append(all, h)
		}
	}
	return all, nil
}

// unescape undoes the octal escapes of mountinfo.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
