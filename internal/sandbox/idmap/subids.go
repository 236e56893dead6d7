package idmap

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"slices"
	"strconv"
	"strings"

	"nsbuild/internal/fault"
	"nsbuild/internal/sandbox/execpath"
)

func subordinateIDs() (Map, error) {
	for _, tool := range []string{"newuidmap", "newgidmap"} {
		if _, err := execpath.Find(tool); err != nil {
			return Map{}, fault.New(fault.Internal, "sudo apt-get install uidmap",
				"%s is not installed; without root it is needed to map subordinate ids", tool)
		}
	}
	uid := strconv.Itoa(os.Geteuid())
	name, err := nameOf(uid)
	if err != nil {
		return Map{}, fault.Wrap(fault.Internal, "sudo useradd --uid "+uid+" NAME; or run "+
			"nsbuild as root", fmt.Errorf("the user has no name, without which newuidmap gives no "+
			"subordinate ids: %w", err))
	}
	ids := Map{Rung: RungSubIDs, Count: IDCount}
	for _, f := range []struct {
		file string
		args []string // of getsubids
		base *uint32
	}{{"/etc/subuid", []string{name}, &ids.UIDBase},
		{"/etc/subgid", []string{"-g", name}, &ids.GIDBase}} {
		ranges, err := readSubIDs(f.file, []string{name, uid})
		if err != nil {
			return Map{}, err
		}
		if *f.base, err = chooseRange(ranges); err == nil {
			continue
		}
		// A directory service may have them: the "subid" of nsswitch.conf(5).
		ranges, asked := askSubIDs(f.args)
		if first, wrong := chooseRange(ranges); asked == nil && wrong == nil {
			*f.base = first
			continue
		}
		return Map{}, fault.Wrap(fault.Internal, fmt.Sprintf("sudo usermod --add-subuids "+
			"100000-165535 --add-subgids 100000-165535 %s (a range that %s gives to nobody "+
			"else)", name, f.file),
			fmt.Errorf("%s has no %d subordinate ids in %s: %w", name, IDCount, f.file, err))
	}
	return ids, nil
}

// nameOf is the name of a user. Without cgo only /etc/passwd is read here; getent(1) asks what
// nsswitch.conf(5) names. Where there is no getent the number is as good as it gets.
func nameOf(uid string) (string, error) {
	u, err := user.LookupId(uid)
	if err == nil {
		return u.Username, nil
	}
	getent, missing := execpath.Find("getent")
	if missing != nil {
		return uid, nil //nolint:nilerr // ranges of the number alone are looked for
	}
	text, asked := exec.Command(getent, "passwd", uid).Output()
	if name, _, found := strings.Cut(string(text), ":"); asked == nil && found && name != "" {
		return name, nil
	}
	return "", err
}

// chooseRange finds enough ids in one piece: ranges that touch or overlap are one, to newuidmap,
// too. The error says how many there are.
func chooseRange(ranges []extent) (first uint32, err error) {
	most := uint64(0)
	for _, r := range join(ranges) {
		if r.end()-uint64(r.first) >= IDCount {
			return r.first, nil
		}
		most = max(most, uint64(r.count))
	}
	if most == 0 {
		return 0, errors.New("there are none")
	}
	return 0, fmt.Errorf("the largest range has %d", most)
}

// join makes one range of those that touch or overlap, and drops what cannot be: uid 2^32-1 is none
// (setresuid(2)).
func join(ranges []extent) []extent {
	sorted := slices.Clone(ranges)
	slices.SortFunc(sorted, func(a, b extent) int { return cmp.Compare(a.first, b.first) })
	var out []extent
	for _, r := range sorted {
		const none = 1<<32 - 1
		if r.end() > none {
			r.count = none - r.first
		}
		if n := len(out); n > 0 && uint64(r.first) <= out[n-1].end() {
			last := &out[n-1]
			last.count = uint32(max(last.end(), r.end()) - uint64(last.first))
			continue
		}
		if r.count > 0 {
			out = append(out, r)
		}
	}
	return out
}

// askSubIDs asks getsubids(1), which asks what newuidmap asks.
func askSubIDs(args []string) ([]extent, error) {
	tool, err := execpath.Find("getsubids")
	if err != nil {
		return nil, err
	}
	text, err := exec.Command(tool, args...).Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", tool, err)
	}
	return parseAnswer(string(text))
}

// parseAnswer reads what getsubids says: "NUMBER: OWNER FIRST COUNT" for each range.
func parseAnswer(text string) ([]extent, error) {
	var out []extent
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) != 4 {
			return nil, fmt.Errorf("getsubids says %q", strings.TrimSpace(line))
		}
		r, err := parseExtent(fields[2], fields[3])
		if err != nil {
			return nil, fmt.Errorf("getsubids says %q: %w", strings.TrimSpace(line), err)
		}
		out = append(out, r)
	}
	return out, nil
}

func parseExtent(first, count string) (extent, error) {
	f, err1 := strconv.ParseUint(first, 10, 32)
	c, err2 := strconv.ParseUint(count, 10, 32)
	return extent{uint32(f), uint32(c)}, errors.Join(err1, err2)
}

// readSubIDs reads subuid(5) or subgid(5): the ranges of the given owners, names or numbers, or of
// all when owners is nil. A missing file has none.
func readSubIDs(file string, owners []string) ([]extent, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading subordinate ids: %w", err)
	}
	return parseSubIDs(bytes.NewReader(data), file, owners)
}

func parseSubIDs(r io.Reader, file string, owners []string) ([]extent, error) {
	var out []extent
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		fields := strings.Split(text, ":")
		if len(fields) != 3 {
			return nil, fmt.Errorf("%s:%d: %q is not OWNER:FIRST:COUNT", file, n, text)
		}
		if owners != nil && !slices.Contains(owners, fields[0]) {
			continue
		}
		one, err := parseExtent(fields[1], fields[2])
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, n, err)
		}
		out = append(out, one)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	return out, nil
}
