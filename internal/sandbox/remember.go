package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"strings"
	"syscall"

	"nsbuild/internal/atomicfile"
	"nsbuild/internal/bootid"
)

// memory is what probing found out on this machine, kept in a file so that the next start need not
// find it out again. It holds for one boot of one kernel and for one build of this program; what a
// file system can do is kept by its device number.
type memory struct {
	Boot, Kernel, Program string
	// Overlays tells by file system whether an overlay with its upper directory there does what
	// builds do.
	Overlays map[string]bool
}

// now is an empty memory of this boot, kernel and program.
func now(program string) (memory, error) {
	boot, err := bootid.Read()
	if err != nil {
		return memory{}, err
	}
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return memory{}, err
	}
	info, err := os.Stat(program)
	if err != nil {
		return memory{}, err
	}
	m := memory{Boot: boot, Kernel: strings.TrimSpace(string(kernel))}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		m.Program = fmt.Sprintf("%d:%d:%d:%d", st.Dev, st.Ino, st.Size, st.Mtim.Nano())
	}
	return m, nil
}

// recall reads what the file remembers. A file that is missing, broken or of another boot, kernel
// or program remembers nothing: all of it can be found out again.
func recall(file string, current memory) (map[string]bool, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, ignoreMissing(err)
	}
	var m memory
	if broken := json.Unmarshal(data, &m); broken == nil && m.Boot == current.Boot &&
		m.Kernel == current.Kernel && m.Program == current.Program {
		return m.Overlays, nil
	}
	return nil, nil
}

// remember writes what was found out beside what was known, by one rename: readers see the old file
// or the new one.
func remember(file string, current memory, known, found map[string]bool) error {
	current.Overlays = map[string]bool{}
	maps.Copy(current.Overlays, known)
	maps.Copy(current.Overlays, found)
	data, err := json.Marshal(current)
	if err != nil {
		return err
	}
	return atomicfile.Write(file, data, atomicfile.Options{})
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
