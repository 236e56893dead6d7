package session

import (
	"debug/elf"
	"os"

	"nsbuild/internal/regular"
)

// narrow tells whether the programs of a root are 32-bit ones, by its shell. What cannot be told is
// taken for 64-bit, as nearly all are.
func narrow(dir string) bool {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return false
	}
	defer root.Close()
	for _, name := range []string{"bin/sh", "usr/bin/dpkg", "bin/ls"} {
		if class := classOf(root, name); class != elf.ELFCLASSNONE {
			return class == elf.ELFCLASS32
		}
	}
	return false
}

// classOf is the class of a program of a root, and none where it leads out of the root or is no
// program at all.
func classOf(root *os.Root, name string) elf.Class {
	f, err := regular.OpenIn(root, name)
	if err != nil {
		return elf.ELFCLASSNONE
	}
	defer f.Close()
	head := make([]byte, elf.EI_NIDENT)
	if n, err := f.ReadAt(head, 0); err != nil || n < len(head) || string(head[:4]) != elf.ELFMAG {
		return elf.ELFCLASSNONE
	}
	return elf.Class(head[elf.EI_CLASS])
}
