package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
)

// disk is where a lab's new disks are mounted; see newDisk.
const disk = "disk"

// newDisk mounts a new, empty ext4 at disk, on a file of the lab, instead of the last one. Whole trees are made there, in each round by each tool: ext4 does not give away inodes that
// were freed within the last minutes and searches for others one by one, so that who comes after somebody who deleted a tree would need half as long again (Linux, fs/ext4/ialloc.c).
func (l *lab) newDisk(ctx context.Context) error {
	if err := l.noDisk(); err != nil {
		return err
	}
	image := l.path(disk + ".img")
	f, err := os.Create(image)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(8<<30), f.Close()); err != nil {
		return err
	}
	if err := os.MkdirAll(l.path(disk), 0o755); err != nil {
		return err
	}
	if err := l.do(ctx, "mkfs.ext4", "-q", "-m", "0", image); err != nil {
		return err
	}
	if err := l.do(ctx, "mount", "-o", "loop,noinit_itable", image, l.path(disk)); err != nil {
		return err
	}
	l.mounted[disk] = l.path(disk)
	return os.Chmod(l.path(disk), 0o1777)
}

// noDisk removes it.
func (l *lab) noDisk() error {
	dir, ok := l.mounted[disk]
	if !ok {
		return nil
	}
	if err := exec.Command("umount", "-R", dir).Run(); err != nil {
		return err
	}
	delete(l.mounted, disk)
	return os.Remove(l.path(disk + ".img"))
}
