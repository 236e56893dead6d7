package machine

import (
	"bytes"
	"debug/elf"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nsbuild/internal/fault"
	"nsbuild/internal/sandbox"
	"nsbuild/internal/testenv"
)

func TestNative(t *testing.T) {
	way, err := Find(Native())
	if err != nil || way.Personality32 || way.Emulated() {
		t.Errorf("%+v, %v", way, err)
	}
	var spec sandbox.HolderSpec
	if err := Prepare(&spec, Native()); err != nil || spec.Personality32 || spec.Emulator != nil {
		t.Errorf("%+v, %v", spec, err)
	}
}

func TestUnknown(t *testing.T) {
	_, err := Find("vax")
	if fault.KindOf(err) != fault.Usage || !strings.Contains(fault.HintOf(err), "riscv64") {
		t.Errorf("%v, hint %q", err, fault.HintOf(err))
	}
}

// TestProgram checks the small programs against the standard library's reader, and runs one.
func TestProgram(t *testing.T) {
	for arch, f := range formats {
		p := program(f, []byte{1, 2, 3, 4})
		if !bytes.HasPrefix(p, f.header()) {
			t.Errorf("%s: header", arch)
		}
		file, err := elf.NewFile(bytes.NewReader(p))
		if err != nil {
			t.Errorf("%s: %v", arch, err)
			continue
		}
		if len(file.Progs) != 1 || file.Progs[0].Type != elf.PT_LOAD ||
			file.Entry != file.Progs[0].Vaddr+uint64(len(p)-4) {
			t.Errorf("%s: %+v", arch, file.Progs)
		}
	}
	testenv.RequireArch(t, "amd64") // whose code this is
	if err := run(
		program(formats["amd64"], []byte{0x31, 0xff, 0xb8, 0x3c, 0, 0, 0, 0x0f,
			0x05})); err != nil {
		t.Error(err)
	}
	crash := run(program(formats["amd64"], []byte{0x0f, 0x0b})) // ud2
	if crash == nil || !strings.Contains(crash.Error(), "illegal instruction") {
		t.Errorf("a program that crashes: %v", crash)
	}
	if err := run(program(formats["s390x"], []byte{0, 0})); err == nil {
		t.Error("a mainframe's program ran")
	}
}

// TestVsyscall: whatever this machine's kernel does, the answer is yes, or a boot parameter.
func TestVsyscall(t *testing.T) {
	err := Vsyscall()
	if err != nil && !strings.Contains(fault.HintOf(err), "vsyscall=") {
		t.Errorf("%v, hint %q", err, fault.HintOf(err))
	}
	t.Logf("vsyscall page: %v", err)
}

// TestRegistered reads entries as the kernel writes them.
func TestRegistered(t *testing.T) {
	dir := t.TempDir()
	arm64 := "enabled\ninterpreter /usr/bin/qemu-aarch64-static\nflags: %F\noffset 0\nmagic " +
		"7f454c460201010000000000000000000200b700\nmask ffffffffffffff00fffffffffffffffffeffffff\n"
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("status", "enabled\n")
	write("python3.11",
		"enabled\ninterpreter /usr/bin/python3.11\nflags: \noffset 0\nmagic a70d0d0a\n")
	write("jar", "enabled\ninterpreter /usr/bin/jexec\nflags: \nextension .jar\n")
	write("qemu-aarch64", strings.Replace(arm64, "%F", "OC", 1))
	e, err := registered(dir, formats["arm64"])
	if err != nil || e == nil || e.usable() || e.interpreter != "/usr/bin/qemu-aarch64-static" {
		t.Fatalf("%+v, %v", e, err)
	}
	write("mine", strings.Replace(arm64, "%F", "OCF", 1))
	if e, err = registered(dir, formats["arm64"]); err != nil || e == nil || !e.usable() {
		t.Errorf("%+v, %v", e, err)
	}
	for _, arch := range []string{"riscv64", "armhf", "s390x"} {
		if e, err := registered(dir, formats[arch]); e != nil || err != nil {
			t.Errorf("%s: %+v, %v", arch, e, err)
		}
	}
	write("off", "disabled\ninterpreter /x\nflags: F\noffset 0\nmagic 7f454c46\n")
	if e, err := registered(dir, formats["riscv64"]); e != nil || err != nil {
		t.Errorf("disabled: %+v, %v", e, err)
	}
	for _, bad := range []string{"enabled\nmagic zz\n", "enabled\noffset x\n",
		"enabled\noffset -1\nmagic 7f\n"} {
		write("bad", bad)
		if _, err := registered(dir, formats["arm64"]); err == nil {
			t.Errorf("%q", bad)
		}
	}
	if e, err := registered(filepath.Join(dir, "none"), formats["arm64"]); e != nil || err != nil {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestMasks(t *testing.T) {
	for arch, f := range formats {
		e := &entry{enabled: true, magic: f.header(), mask: f.mask()}
		for other, g := range formats {
			same := f.bits == g.bits && f.big == g.big && f.machine == g.machine
			if e.matches(g.header()) != same {
				t.Errorf("%s's entry and %s's programs", arch, other)
			}
		}
		pie := program(f, nil)
		if f.big {
			pie[17] = 3
		} else {
			pie[16] = 3
		}
		pie[7] = 3 // ELFOSABI_LINUX
		if !e.matches(pie) {
			t.Errorf("%s: position-independent programs are not matched", arch)
		}
	}
}
