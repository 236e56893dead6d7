// Package machine tells how programs of an architecture run on this machine: as its own, in its
// 32-bit mode, or by an interpreter that the kernel starts for them.
//
// What cannot be read from somewhere is tried: a program of some hundred bytes is executed in a
// child. What is to be done about it in a sandbox is said in internal/sandbox's terms.
package machine

import (
	"runtime"
	"slices"
	"strings"

	"nsbuild/internal/fault"
	"nsbuild/internal/sandbox"
)

// Native is the machine's own architecture, by Debian's name.
func Native() string {
	names := map[string]string{"386": "i386", "arm": "armhf", "ppc64le": "ppc64el",
		"mips64le": "mips64el"}
	if name, ok := names[runtime.GOARCH]; ok {
		return name
	}
	return runtime.GOARCH
}

// Way is how programs of an architecture run here.
type Way struct {
	Arch string
	// Personality32 is whether they have to be told that the machine is a 32-bit one (PER_LINUX32
	// in personality(2)).
	Personality32 bool
	// Emulator is the interpreter that the kernel has to be told of first; nil when it can run them
	// as it is.
	Emulator *sandbox.Emulator
	// Registered is the interpreter that binfmt_misc starts for them already; "" when there is none
	// or none is needed.
	Registered string
}

// Emulated reports whether an interpreter runs the programs, which takes several times as long.
func (w Way) Emulated() bool { return w.Emulator != nil || w.Registered != "" }

// Prepare has the programs of an architecture run in a holder's jails.
func Prepare(spec *sandbox.HolderSpec, arch string) error {
	way, err := Find(arch)
	if err != nil {
		return err
	}
	spec.Personality32, spec.Emulator = way.Personality32, way.Emulator
	spec.Inodes32 = formats[arch].bits == 32
	return nil
}

// format is how an architecture's programs look, and what QEMU calls it.
type format struct {
	bits    int  // 32 or 64
	big     bool // byte order
	machine uint16
	qemu    string
}

// formats are the architectures of Debian, its ports and Ubuntu, with the numbers of elf(5).
var formats = map[string]format{
	"alpha": {64, false, 0x9026, "alpha"}, "amd64": {64, false, 62, "x86_64"},
	"arm64": {64, false, 183, "aarch64"}, "armel": {32, false, 40, "arm"},
	"armhf": {32, false, 40, "arm"},
	"hppa":  {32, true, 15, "hppa"}, "i386": {32, false, 3, "i386"},
	"loong64": {64, false, 258, "loongarch64"}, "m68k": {32, true, 4, "m68k"},
	"mips":     {32, true, 8, "mips"},
	"mips64el": {64, false, 8, "mips64el"}, "mipsel": {32, false, 8, "mipsel"},
	"powerpc": {32, true, 20, "ppc"}, "ppc64": {64, true, 21, "ppc64"},
	"ppc64el": {64, false, 21, "ppc64le"},
	"riscv64": {64, false, 243, "riscv64"}, "s390x": {64, true, 22, "s390x"},
	"sh4": {32, false, 42, "sh4"}, "sparc64": {64, true, 43, "sparc64"},
}

// lesser are the 32-bit architectures whose programs the processors of a 64-bit one may run, too.
var lesser = map[string][]string{"amd64": {"i386"}, "arm64": {"armhf", "armel"}}

// Known lists the architectures whose programs could run somewhere.
func Known() []string {
	var names []string
	for n := range formats {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// Find says how programs of an architecture run here. Where they cannot, the error's hint is the
// command that mends it.
func Find(arch string) (Way, error) {
	native := Native()
	f, known := formats[arch]
	if !known && arch != native {
		return Way{}, fault.New(fault.Usage, "use one of "+strings.Join(Known(), ", "),
			"architecture %q is not known", arch)
	}
	w := Way{Arch: arch, Personality32: f.bits == 32}
	if arch == native {
		w.Personality32 = false // a 32-bit nsbuild was chosen for what it is
		return w, nil
	}
	var own error
	if slices.Contains(lesser[native], arch) {
		if own = probeExec(f); own == nil {
			return w, nil
		}
	}
	found, err := registered(binfmtDir, f)
	if err != nil {
		return w, err
	}
	if found != nil && found.usable() {
		w.Registered = found.interpreter
		return w, nil
	}
	if w.Emulator = emulator(f); w.Emulator != nil {
		return w, nil
	}
	switch {
	case found != nil:
		return w, fault.New(fault.Internal, "sudo apt-get install --reinstall qemu-user-static",
			"programs of %s cannot run in a sandbox here: binfmt_misc would start %s from within "+
				"it (it is registered without the flag F)", arch, found.interpreter)
	case own != nil:
		return w, fault.New(fault.Internal, "use a kernel with 32-bit programs "+
			"(CONFIG_IA32_EMULATION, not ia32_emulation=off; on ARM CONFIG_COMPAT), or sudo "+
			"apt-get install qemu-user-static",
			"this kernel does not run programs of %s: %w", arch, own)
	}
	return w, fault.New(fault.Internal, "sudo apt-get install qemu-user-static",
		"programs of %s cannot run on this machine (%s)", arch, native)
}
