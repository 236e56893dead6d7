package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxStrays bounds what is reported: a fork bomb is named by its first processes.
const maxStrays = 1000

// listStrays lists the processes of the PID namespace, nested ones included, but PID 1, those to be spared and the dead.
func listStrays(spared map[int]bool) ([]Stray, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	var uptime unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &uptime); err != nil {
		return nil, sysErr("clock_gettime", "", err)
	}
	var strays []Stray
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == 1 || spared[pid] {
			continue
		}
		s, alive, err := readStray(pid, time.Duration(uptime.Nano()))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it ended meanwhile
		}
		if err != nil {
			return nil, err
		}
		if alive {
			strays = append(strays, s)
		}
		if len(strays) == maxStrays {
			break
		}
	}
	return strays, nil
}

// readStray reads /proc/PID/stat and cmdline (proc_pid_stat(5)).
func readStray(pid int, now time.Duration) (Stray, bool, error) {
	dir := "/proc/" + strconv.Itoa(pid)
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return Stray{}, false, err
	}
	// The name stands in brackets and may hold anything, brackets too.
	first, last := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if first < 0 || last < first {
		return Stray{}, false, fmt.Errorf("%s/stat cannot be read: %q", dir, stat)
	}
	fields := strings.Fields(string(stat[last+1:])) // state ppid … starttime is field 22, in ticks since boot
	if len(fields) < 20 {
		return Stray{}, false, fmt.Errorf("%s/stat has too few fields", dir)
	}
	if fields[0] == "Z" || fields[0] == "X" {
		return Stray{}, false, nil
	}
	ppid, err := strconv.Atoi(fields[1])
	if err != nil {
		return Stray{}, false, fmt.Errorf("%s/stat: %w", dir, err)
	}
	ticks, err := strconv.ParseInt(fields[19], 10, 64)
	if err != nil {
		return Stray{}, false, fmt.Errorf("%s/stat: %w", dir, err)
	}
	const perSecond = 100 // USER_HZ, fixed in the kernel's interface to user space
	s := Stray{PID: pid, PPID: ppid, Age: (now - time.Duration(ticks)*time.Second/perSecond).Round(10 * time.Millisecond)}
	line, err := os.ReadFile(dir + "/cmdline")
	if err != nil {
		return Stray{}, false, err
	}
	if len(line) == 0 {
		line = append(append([]byte{'['}, stat[first+1:last]...), ']')
	}
	s.Command = printable(bytes.TrimRight(line, "\x00"))
	return s, true, nil
}

// printable joins a command line with blanks and escapes what could steer a terminal or forge a line of the log.
func printable(line []byte) string {
	const longest = 200
	text := strings.ReplaceAll(string(line), "\x00", " ")
	quoted := strconv.Quote(text)
	text = strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
	if len(text) > longest {
		text = text[:longest] + "…"
	}
	return text
}
