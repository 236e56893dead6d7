package pkgbuild

import (
	"errors"
	"io"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"

	"nsbuild/internal/buildlog"
	"nsbuild/internal/fault"
	"nsbuild/internal/output"
)

// refusedDiff is the file that dpkg-source names when a source differs from its upstream tarball:
// it has the changes that are in no patch.
var refusedDiff = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^dpkg-source: .*\bsee (/tmp/[^/\s]+\.diff\.[A-Za-z0-9_]+)$`)
})

const (
	diffInLog = 64 << 10 // bytes
	diffShown = 40       // lines
)

// showSourceDiff puts the changes that dpkg-source has refused into the log, and the beginning of
// them behind the lines that are shown: the file that has them ends with the jail. What it is
// called and what is in it is the jail's: it is read as a regular file, and within bounds.
func (at *attempt) showSourceDiff(tail []buildlog.Line) ([]buildlog.Line, error) {
	name := ""
	for _, l := range tail {
		if found := refusedDiff().FindStringSubmatch(l.Text); found != nil {
			name = found[1]
		}
	}
	if name == "" {
		return tail, nil
	}
	f, err := at.root.open.Open(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ELOOP) {
		return tail, nil
	}
	if err != nil {
		return tail, err
	}
	text, err := io.ReadAll(io.LimitReader(f, diffInLog+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return tail, err
	}
	more := len(text) > diffInLog
	text = text[:min(len(text), diffInLog)]
	at.log.Subsection(name)
	first := at.log.Lines() + 1
	out := at.log.Stream()
	if _, err := out.Write(text); err != nil {
		return tail, err
	}
	out.Flush()
	if more {
		at.log.Printf("(the rest of %s is left out)", name)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	// before the changes there is a form to be filled in, for a patch's header
	if i := slices.IndexFunc(lines, func(line string) bool {
		return strings.HasPrefix(line, "--- ")
	}); i > 0 {
		lines, first = lines[i:], first+i
	}
	for i, line := range lines[:min(len(lines), diffShown)] {
		tail = append(tail, buildlog.Line{Number: first + i, Text: line})
	}
	if len(lines) > diffShown || more {
		tail = append(tail, buildlog.Line{Number: first + diffShown, Text: "(the log has more of it)"})
	}
	return tail, nil
}

// explainRefusal says what to do where the failure to make a source package is that dpkg-source has
// refused changes.
func (at *attempt) explainRefusal(err error, look bool) error {
	tailErr := at.keepTail(look)
	if at.found.refused {
		err = fault.Wrap(fault.KindOf(err), "dpkg-source --commit in the source directory makes a "+
			"patch of the changes; or put upstream's files back", err)
	}
	return errors.Join(err, tailErr)
}

// keepTail notes the last lines of what the package said, for whoever is told of a failure.
func (at *attempt) keepTail(failed bool) (err error) {
	at.found.tail = at.log.Tail(output.TailLines)
	if failed {
		n := len(at.found.tail)
		at.found.tail, err = at.showSourceDiff(at.found.tail)
		at.found.refused = len(at.found.tail) > n
	}
	return err
}
