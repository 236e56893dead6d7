package machine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"

	"nsbuild/internal/fault"
)

// exitCode is a program's machine code that only exits with status 0, for each format that a 64-bit
// kernel may run besides its own.
var exitCode = map[string][]byte{
	"i386": {
		0xb8, 0x01, 0x00, 0x00, 0x00, // mov eax, SYS_exit
		0x31, 0xdb, // xor ebx, ebx
		0xcd, 0x80, // int 0x80
	},
	"arm": {
		0x00, 0x00, 0xa0, 0xe3, // mov r0, #0
		0x01, 0x70, 0xa0, 0xe3, // mov r7, #SYS_exit
		0x00, 0x00, 0x00, 0xef, // svc 0
	},
}

// vsyscallCode asks for the time as glibc before 2.14 does, by calling into the vsyscall page, and
// exits with status 0.
var vsyscallCode = []byte{
	0x31, 0xff, // xor edi, edi
	0x48, 0xc7, 0xc0, 0x00, 0x04, 0x60, 0xff, // mov rax, 0xffffffffff600400: time()
	0xff, 0xd0, // call rax
	0x31, 0xff, // xor edi, edi
	0xb8, 0x3c, 0x00, 0x00, 0x00, // mov eax, SYS_exit
	0x0f, 0x05, // syscall
}

// probeExec tries whether the kernel runs programs of a 32-bit format. It may be compiled in and
// switched off, so only an execution tells.
func probeExec(f format) error { return run(program(f, exitCode[f.qemu])) }

// Vsyscall tries whether programs may call into the vsyscall page, as those of squeeze and wheezy
// do on amd64. That the page is mapped does not mean so.
func Vsyscall() error {
	if Native() != "amd64" {
		return nil
	}
	err := run(program(formats["amd64"], vsyscallCode))
	var exit *exec.ExitError
	if err == nil || !errors.As(err, &exit) {
		return err
	}
	return fault.New(fault.Internal, "boot this machine with vsyscall=xonly on the kernel's "+
		"command line (GRUB_CMDLINE_LINUX in /etc/default/grub, then update-grub)",
		"a call into the vsyscall page ends with %w", err)
}

// program makes a program of machine code: one segment, loaded as it is (elf(5)).
func program(f format, code []byte) []byte {
	var b bytes.Buffer
	var order binary.AppendByteOrder = binary.LittleEndian
	if f.big {
		order = binary.BigEndian
	}
	const base = 0x400000
	word := func(size int, v uint64) {
		switch size {
		case 2:
			b.Write(order.AppendUint16(nil, uint16(v)))
		case 4:
			b.Write(order.AppendUint32(nil, uint32(v)))
		default:
			b.Write(order.AppendUint64(nil, v))
		}
	}
	address, headerSize, segmentSize := 8, 64, 56
	if f.bits == 32 {
		address, headerSize, segmentSize = 4, 52, 32
	}
	start := uint64(headerSize + segmentSize)
	end := start + uint64(len(code))
	b.Write(f.header())
	word(4, 1)                        // e_version
	word(address, base+start)         // e_entry
	word(address, uint64(headerSize)) // e_phoff
	word(address, 0)                  // e_shoff
	flags := uint64(0)
	if f.qemu == "arm" {
		flags = 0x5000000 // EABI version 5
	}
	word(4, flags)
	for _, v := range []int{headerSize, segmentSize, 1, 0, 0, 0} { // e_ehsize … e_shstrndx
		word(2, uint64(v))
	}
	const load, readExecute = 1, 5
	word(4, load)
	if f.bits == 64 {
		word(4, readExecute)
	}
	// p_offset, p_vaddr, p_paddr, p_filesz, p_memsz
	for _, v := range []uint64{0, base, base, end, end} {
		word(address, v)
	}
	if f.bits == 32 {
		word(4, readExecute)
	}
	word(address, 0x1000) // p_align
	b.Write(code)
	return b.Bytes()
}

// run executes a program from memory, for every directory may be mounted noexec, and waits for it.
func run(program []byte) error {
	fd, err := unix.MemfdCreate("nsbuild-probe", unix.MFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), "nsbuild-probe")
	defer f.Close()
	if _, err := f.Write(program); err != nil {
		return err
	}
	cmd := exec.Command("/proc/self/fd/3")
	cmd.ExtraFiles = []*os.File{f}
	cmd.Env = []string{}
	// A program that the kernel kills is not worth a core file or a line in its log.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err = cmd.Run()
	var failed *exec.Error
	var path *os.PathError
	if errors.As(err, &failed) {
		return failed.Err
	}
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
