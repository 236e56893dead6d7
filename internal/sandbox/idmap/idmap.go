// Package idmap finds the ids that a caller can give a sandbox, and writes the maps of its PID 1.
// All of it runs in the caller, but JailCount, which runs in PID 1.
//
// The maps of a jail, nested in those of the sandbox, are made in pid1.
package idmap

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"nsbuild/internal/fault"
)

// IDCount is how many ids a jail has: 0–65535.
const IDCount = 65536

// CallerID is the caller's own uid and gid inside H, just above the jail's.
const CallerID = IDCount

// KillerID is the id of H, but of no jail, under which those are killed who are left at the level
// without a PID namespace: no process is met that is not theirs (kill(2)). Debian Policy 9.2.2
// gives it to nobody.
const KillerID = 65533

// Rung is the step of the ladder of privilege that a Map stands on.
type Rung string

const (
	// RungRoot: the caller is root and maps a range that nobody uses, so that jail root is never
	// host root.
	RungRoot Rung = "root, unused ids"
	// RungSubIDs: the caller maps subordinate ids with newuidmap(1) and newgidmap(1).
	RungSubIDs Rung = "user, subordinate ids"
	// RungContainer: the caller is root of a container with few ids; jail ids 0–65534 are the
	// container's 1–65535, and 65535 does not exist.
	RungContainer Rung = "container root, ids shifted by one"
)

// Map is the translation between the jail's ids and those of the caller's user namespace: jail id
// n is UIDBase+n outside.
type Map struct {
	Rung    Rung   `json:"rung"`
	UIDBase uint32 `json:"uid_base"`
	GIDBase uint32 `json:"gid_base"`
	// Count is how many ids are mapped from 0 on; IDCount but on RungContainer.
	Count uint32 `json:"count"`
}

// String is the header line of a build log.
func (m Map) String() string {
	return fmt.Sprintf("user namespace (%s, 0-%d at %d)", m.Rung, m.Count-1, m.UIDBase)
}

// rootRangeFirst is where a range for root is looked for: above what systemd-nspawn, useradd and
// containers hand out, below 2^31.
const rootRangeFirst = 0x70000000

// Resolve finds the ids that the caller can map. The errors are fault errors: what is missing,
// and the command that mends it.
func Resolve() (Map, error) {
	if os.Geteuid() == 0 {
		return rootIDs()
	}
	return subordinateIDs()
}

func rootIDs() (Map, error) {
	visible, err := readExtents("/proc/self/uid_map")
	if err != nil {
		return Map{}, err
	}
	visibleGroups, err := readExtents("/proc/self/gid_map")
	if err != nil {
		return Map{}, err
	}
	var taken []extent
	for _, file := range []string{"/etc/subuid", "/etc/subgid"} {
		more, err := readSubIDs(file, nil)
		if err != nil {
			return Map{}, err
		}
		taken = append(taken, more...)
	}
	for first := uint32(rootRangeFirst); first < 0x7ffe0000; first += IDCount {
		want := extent{first: first, count: IDCount}
		if !overlapsAny(want, taken) && inside(want, visible) && inside(want, visibleGroups) {
			return Map{Rung: RungRoot, UIDBase: first, GIDBase: first, Count: IDCount}, nil
		}
	}
	if few := (extent{first: 1, count: IDCount - 1}); inside(few, visible) &&
		inside(few, visibleGroups) {
		return Map{Rung: RungContainer, UIDBase: 1, GIDBase: 1, Count: IDCount - 1}, nil
	}
	return Map{},
		fault.New(fault.Internal,
			"give the container 65536 ids or more (podman: --userns=auto:size=65536)",
			"this container has too few user ids for a jail: 65535 are needed beside its root")
}

type extent struct{ first, count uint32 }

func (e extent) end() uint64 { return uint64(e.first) + uint64(e.count) }

func overlapsAny(e extent, others []extent) bool {
	for _, o := range others {
		if uint64(e.first) < o.end() && uint64(o.first) < e.end() {
			return true
		}
	}
	return false
}

func inside(e extent, all []extent) bool {
	for _, o := range all {
		if e.first >= o.first && e.end() <= o.end() {
			return true
		}
	}
	return false
}

// readExtents reads the first column and the count of a uid_map or gid_map (user_namespaces(7)).
func readExtents(file string) ([]extent, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the id map of this user namespace: %w", err)
	}
	var out []extent
	for line := range strings.Lines(string(data)) {
		var e extent
		var outer uint32
		if _, err := fmt.Sscan(line, &e.first, &outer, &e.count); err != nil {
			return nil, fmt.Errorf("reading %s: %q: %w", file, strings.TrimSpace(line), err)
		}
		out = append(out, e)
	}
	return out, nil
}

// JailCount is how many jail ids H has from 0 on.
func JailCount() (int, error) {
	extents, err := readExtents("/proc/self/uid_map")
	if err != nil {
		return 0, err
	}
	for _, e := range extents {
		if e.first == 0 {
			return int(e.count), nil
		}
	}
	return 0, errors.New("the sandbox has no ids for its jail")
}
