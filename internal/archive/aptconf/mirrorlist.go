package aptconf

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
)

// mirrorMethod begins a URI whose archive is at each of the mirrors that a file lists
// (apt-transport-mirror(1)); mirrorFile is one with a file of this host.
const (
	mirrorMethod = "mirror+"
	mirrorFile   = mirrorMethod + "file:"
)

// errNoMirror: a list of mirrors has none that can be used.
var errNoMirror = errors.New("it lists no mirror that can be used")

// resolve puts the mirror in the place of the list that has it. A list that is of no use stays, and
// is named where a source is chosen.
func (h *Host) resolve(src *source) {
	name, ok := strings.CutPrefix(src.uri, mirrorFile)
	if !ok {
		return
	}
	uri, err := bestMirror(h.path(strings.TrimPrefix(name, "//")), h.arch())
	if err != nil {
		h.warn(fmt.Sprintf("%s: %s: %v", src.file, src.uri, err))
		src.unread = err
		return
	}
	src.uri = uri
}

// listed is a line of a list of mirrors.
type listed struct {
	uri      string
	priority int
}

// bestMirror is the mirror that apt would ask first: that of the lowest number behind priority:,
// and of equal ones the first, among those that have packages of an architecture.
func bestMirror(file, arch string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	var all []listed
	for line := range strings.Lines(string(data)) {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") || !usableScheme(words[0]) {
			continue
		}
		if m, ok := mirrorOf(words, arch); ok {
			all = append(all, m)
		}
	}
	if len(all) == 0 {
		return "", fmt.Errorf("%s: %w", file, errNoMirror)
	}
	slices.SortStableFunc(all, func(a, b listed) int { return cmp.Compare(a.priority, b.priority) })
	return strings.TrimRight(all[0].uri, "/"), nil
}

// mirrorOf reads the words of a line: the URI, then what it is for. ok is false for one that has
// but a part of what is asked for.
func mirrorOf(words []string, arch string) (m listed, ok bool) {
	m = listed{uri: words[0], priority: math.MaxInt}
	byKey := map[string][]string{}
	for _, word := range words[1:] {
		key, value, _ := strings.Cut(word, ":")
		byKey[key] = append(byKey[key], value)
	}
	if p := byKey["priority"]; len(p) > 0 {
		n, err := strconv.Atoi(p[0])
		if err == nil {
			m.priority = n
		}
	}
	for key, want := range map[string][]string{"arch": {arch}, "type": {"deb", "index"}} {
		have := byKey[key]
		for _, w := range want {
			if len(have) > 0 && !slices.Contains(have, w) {
				return m, false
			}
		}
	}
	return m, true
}
