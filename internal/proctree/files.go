package proctree

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// How much is looked at, and told: what is told of is made by a package, which may have made a lot.
const (
	mostFiles   = 20_000  // open files, of all processes
	mostTable   = 4 << 20 // bytes of a file of proc(5)
	mostSockets = 200     // lines
	mostLocks   = 100     // lines
	longestName = 200     // bytes of the name of a socket or a file
)

// files are the open files of processes, as far as something is told of them.
type files struct {
	proc    string
	left    int               // that may still be looked at
	sockets []socketOf        // in the order of the processes
	locked  map[string]string // paths of locked files, by device and inode as proc(5) has them
}

// socketOf is a socket that a process has open.
type socketOf struct {
	p     *process
	inode string
}

// look looks at what a process has open, and returns how many of it are sockets.
func (f *files) look(p *process) (sockets int) {
	dir := filepath.Join(f.proc, strconv.Itoa(p.pid))
	entries, err := os.ReadDir(filepath.Join(dir, "fd"))
	if err != nil {
		return 0 // it has ended, or is somebody else's
	}
	seen := map[string]bool{}
	for _, e := range entries {
		if f.left--; f.left < 0 {
			return sockets
		}
		to, err := os.Readlink(filepath.Join(dir, "fd", e.Name()))
		if err != nil {
			continue
		}
		if inode, ok := strings.CutPrefix(to, "socket:["); ok {
			inode = strings.TrimSuffix(inode, "]")
			if !seen[inode] {
				f.sockets = append(f.sockets, socketOf{p, inode})
			}
			seen[inode] = true
			sockets++
		}
		if !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "/dev/") {
			continue
		}
		for _, line := range lines(filepath.Join(dir, "fdinfo", e.Name())) {
			if words := strings.Fields(line); len(words) > 6 && words[0] == "lock:" {
				f.locked[words[6]] = to
			}
		}
	}
	return sockets
}

// lines are the lines of a file of proc(5); of one that cannot be read there are none.
func lines(file string) (all []string) {
	in, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer in.Close()
	s := bufio.NewScanner(io.LimitReader(in, mostTable))
	s.Buffer(nil, 1<<16)
	for s.Scan() {
		all = append(all, s.Text())
	}
	return all // the rest is of no use without its beginning
}

// tellSockets writes which sockets are open, and whose they are.
func (f *files) tellSockets(to io.Writer) {
	if len(f.sockets) == 0 {
		return
	}
	known := f.allSockets()
	fmt.Fprintln(to, "Open sockets:")
	for i, s := range f.sockets {
		if i == mostSockets {
			fmt.Fprintf(to, "and %d more\n", len(f.sockets)-mostSockets)
			return
		}
		what, ok := known[s.inode]
		if !ok {
			what = "of another kind, or of another network"
		}
		fmt.Fprintf(to, "  %d %s: %s\n", s.p.pid, s.p.short(), what)
	}
}

// allSockets are the sockets of the network in words, by their inodes.
func (f *files) allSockets() map[string]string {
	known := map[string]string{}
	for _, kind := range []string{"tcp", "tcp6", "udp", "udp6"} {
		for _, line := range lines(filepath.Join(f.proc, "net", kind)) {
			const local, remote, state, inode = 1, 2, 3, 9
			if w := strings.Fields(line); len(w) > inode {
				known[w[inode]] = internet(strings.ToUpper(kind[:3]), w[local], w[remote], w[state])
			}
		}
	}
	for _, line := range lines(filepath.Join(f.proc, "net", "unix")) {
		const flags, state, inode = 3, 5, 6
		w := strings.Fields(line)
		if len(w) <= inode {
			continue
		}
		what := "Unix"
		if len(w) > inode+1 {
			_, name, _ := strings.Cut(line, " "+w[inode]+" ") // it may have blanks
			what += " " + named(name)
		}
		switch {
		case w[flags] == "00010000":
			what += ", listening"
		case w[state] == "03":
			what += ", connected"
		}
		known[w[inode]] = what
	}
	return known
}

// internet is a line of /proc/net/tcp or udp in words.
func internet(kind, local, remote, state string) string {
	what := kind + " " + address(local)
	states := map[string]string{"01": "connected", "02": "connecting", "0A": "listening"}
	word, ok := states[state]
	switch {
	case state == "0A", kind == "UDP" && !ok:
	default:
		what += " to " + address(remote)
	}
	if kind == "TCP" && !ok {
		word = "closing"
	}
	return strings.TrimSuffix(what+", "+word, ", ")
}

// address is an address as proc(5) has it: words of 32 bits in the order of the machine, and a
// port.
func address(text string) string {
	host, port, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(host)
	number, portErr := strconv.ParseUint(port, 16, 16)
	if err != nil || portErr != nil || len(raw)%4 != 0 {
		return named(text)
	}
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	ip, ok := netip.AddrFromSlice(raw)
	if !ok {
		return named(text)
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(number)).String()
}

// tellLocks writes which files are locked, by whom, and who waits for them.
func (f *files) tellLocks(to io.Writer, all []*process) {
	told := 0
	for _, line := range lines(filepath.Join(f.proc, "locks")) {
		w := strings.Fields(line)
		waits := len(w) > 1 && w[1] == "->"
		if waits {
			w = slices.Delete(w, 1, 2)
		}
		const kind, access, holder, inode = 1, 3, 4, 5
		if len(w) <= inode {
			continue
		}
		who := "several" // of a lock of an open file description
		i := slices.IndexFunc(all, func(p *process) bool {
			return strconv.Itoa(p.pid) == w[holder]
		})
		switch {
		case i >= 0:
			who = w[holder] + " " + all[i].short()
		case w[holder] == "-1":
		default:
			continue // the kernel tells of others', too
		}
		if told++; told == 1 {
			fmt.Fprintln(to, "Locks:")
		}
		if told > mostLocks {
			fmt.Fprintln(to, "and more")
			return
		}
		does, file := "has", f.locked[w[inode]]
		if waits {
			does = "waits for"
		}
		if file == "" {
			file = "inode " + w[inode]
		}
		fmt.Fprintf(to, "  %s %s %s %s: %s\n", who, does, named(w[kind]), named(w[access]),
			named(file))
	}
}

// named is a name as it is told: on one line, and no longer than a person reads.
func named(name string) string {
	if len(name) > longestName {
		name = name[:longestName] + "…"
	}
	return printable(name)
}
