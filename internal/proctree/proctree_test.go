package proctree

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// TestWrite tells of the processes of a made-up proc(5), hostile names among them.
func TestWrite(t *testing.T) {
	proc := t.TempDir()
	add := func(pid int, name, state string, parent, user, system int, wchan, cmdline string) {
		t.Helper()
		dir := filepath.Join(proc, fmt.Sprint(pid))
		stat := fmt.Sprintf("%d (%s) %s %d 1 1 0 -1 4194304 100 0 0 0 %d %d 0 0 20 0 1 0 5\n", pid,
			name, state, parent, user, system)
		if err := errors.Join(os.MkdirAll(filepath.Join(dir, "fd"), 0o755),
			os.WriteFile(filepath.Join(dir, "stat"), []byte(stat), 0o644),
			os.WriteFile(filepath.Join(dir, "wchan"), []byte(wchan), 0o644),
			os.WriteFile(filepath.Join(dir, "cmdline"), []byte(cmdline), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	add(1, "nsbuild-init", "S", 0, 1, 2, "futex_wait", "nsbuild-init\x00")
	add(20, "make", "S", 1, 100, 50, "do_wait", "make\x00-j2\x00check\x00")
	add(21, "a) R 1 (b", "R", 20, 6000, 0, "0", "evil\nI: a line\x00\x1b[31m")
	add(22, "gone", "Z", 20, 0, 0, "0", "")
	add(30, "nsbuild-applet", "R", 1, 0, 0, "0", "process-tree\x00")
	add(7, "lost", "D", 999, 0, 0, "io_schedule", "lost\x00")
	for name, to := range map[string]string{"20/fd/5": "socket:[12]", "20/fd/6": "socket:[13]",
		"20/fd/7": "socket:[14]", "20/fd/8": "socket:[15]", "20/fd/9": "socket:[16]",
		"21/fd/4": "socket:[99]", "21/fd/3": "/build/lock\n\x1b[31mfile",
		"22/fd/3": "/build/lock"} {
		if err := os.Symlink(to, filepath.Join(proc, name)); err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, text string) {
		t.Helper()
		file := filepath.Join(proc, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755),
			os.WriteFile(file, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	write("20/syscall", fmt.Sprintf("%d 0x1 0x2 0x3 0x4 0x5 0x6 0x7ffc 0x7f55\n", unix.SYS_WAIT4))
	write("7/syscall", "9999 0x1 0x2 0x3 0x4 0x5 0x6 0x7ffc 0x7f55\n")
	write("21/fdinfo/3", "pos:\t0\nlock:\t1: FLOCK  ADVISORY  WRITE 21 00:2d:77 0 EOF\n")
	write("locks", "1: FLOCK  ADVISORY  WRITE 21 00:2d:77 0 EOF\n"+
		"1: -> FLOCK  ADVISORY  WRITE 20 00:2d:77 0 EOF\n"+
		"2: POSIX  ADVISORY  READ 4711 00:2d:78 0 EOF\n3: OFDLCK ADVISORY  READ -1 00:2d:79 0 9\n"+
		"what is no lock\n")
	const head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  " +
		"timeout inode\n"
	const rest = " 00000000:00000000 00:00000000 00000000  1000        0 "
	hosts := func(words ...uint32) (text string) {
		for _, w := range words {
			var b [4]byte
			binary.BigEndian.PutUint32(b[:], w)
			text += fmt.Sprintf("%08X", binary.NativeEndian.Uint32(b[:]))
		}
		return text
	}
	here, there := hosts(0x7f000001), hosts(0xc0000201)
	write("net/tcp", head+"   0: "+here+":1F90 00000000:0000 0A"+rest+"12 1 0 100 0 0 10 0\n"+
		"   1: "+here+":9C40 "+there+":0050 01"+rest+"13 1 0 20 4 30 10 -1\nshort\n")
	write("net/udp6", head+" 234: "+hosts(0, 0, 0, 1)+":0035 "+hosts(0, 0, 0, 0)+":0000 07"+rest+
		"14 2 0 0\n")
	write("net/unix", "Num       RefCount Protocol Flags    Type St Inode Path\n"+
		"0000000000000000: 00000002 00000000 00010000 0001 01 15 /run/a socket\x1b[2J\n"+
		"0000000000000000: 00000003 00000000 00000000 0001 03 16\n")
	var got strings.Builder
	if err := Write(&got, proc, 30); err != nil {
		t.Fatal(err)
	}
	want := `1 sleeping, 30ms of processor time, waits in futex_wait: nsbuild-init
  20 sleeping, 1.5s of processor time, waits in do_wait (wait4), 5 sockets: make -j2 check
    21 running, 1m0s of processor time, 1 socket: evil?I: a line ?[31m
    22 ended, not waited for, 0s of processor time: [gone]
7 in the kernel, 0s of processor time, waits in io_schedule (system call 9999): lost
Open sockets:
  20 make -j2 check: TCP 127.0.0.1:8080, listening
  20 make -j2 check: TCP 127.0.0.1:40000 to 192.0.2.1:80, connected
  20 make -j2 check: UDP [::1]:53
  20 make -j2 check: Unix /run/a socket?[2J, listening
  20 make -j2 check: Unix, connected
  21 evil?I: a line ?[31m: of another kind, or of another network
Locks:
  21 evil?I: a line ?[31m has FLOCK WRITE: /build/lock??[31mfile
  20 make -j2 check waits for FLOCK WRITE: /build/lock??[31mfile
  several has OFDLCK READ: inode 00:2d:79
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Error(diff)
	}
}
