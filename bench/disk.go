package main

import (
	"context"
	"os"
	"os/exec"
)

// disk is where a lab's new disks are mounted; see newDisk.
const disk = "disk"

// newDisk mounts an empty tmpfs at disk, instead of the last one. Whole trees are made there, in
// each round by each tool. On the lab's own file system each would pay for the one before: ext4
// does not give away inodes that were freed within the last minutes and searches for others one by
// one, so that who comes after a deleted tree needs half as long again (Linux, fs/ext4/ialloc.c),
// and what was written is still on its way to the disk.
func (l *lab) newDisk(ctx context.Context) error {
	if err := l.noDisk(); err != nil {
		return err
	}
	if err := os.MkdirAll(l.path(disk), 0o755); err != nil {
		return err
	}
	if err := l.do(ctx, "mount", "-t", "tmpfs", "-o", "size=8g,mode=1777", "tmpfs",
		l.path(disk)); err != nil {
		return err
	}
	l.mounted[disk] = l.path(disk)
	return nil
}

// noDisk removes it.
func (l *lab) noDisk() error {
	dir, ok := l.mounted[disk]
	if !ok {
		return nil
	}
	delete(l.mounted, disk)
	return exec.Command("umount", "-R", dir).Run()
}
