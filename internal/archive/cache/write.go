package cache

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"

	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/hashes"
	"nsbuild/internal/flock"
)

const scratchPrefix = "scratch-"

// Scratch makes a file to be written and then renamed. It is locked, so that sweep leaves it alone.
func (c *Cache) Scratch() (*os.File, error) {
	f, err := os.CreateTemp(filepath.Join(c.dir, dirPartial), scratchPrefix)
	if err != nil {
		return nil, failure.OnDisk(c.dir, err)
	}
	if err := flock.Wait(f, flock.Exclusive); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return f, nil
}

// Keep stores data in the cache under its digest.
func (c *Cache) Keep(kind string, data []byte) (string, error) {
	want := Content{Size: int64(len(data)), Hashes: hashes.Set{SHA256: hashes.SHA256(data)}}
	path := c.Place(kind, want.Hashes.SHA256, "")
	c.claims.add(path)
	if old, err := os.ReadFile(path); err == nil && string(old) == string(data) {
		return path, nil
	}
	f, err := c.Scratch()
	if err != nil {
		return "", err
	}
	defer func() {
		_ = os.Remove(f.Name()) // fails after the rename, as it should
		_ = f.Close()           // what was written is verified when it is used
	}()
	if _, err = f.Write(data); err == nil {
		err = c.PublishOnce(f, path, want)
	}
	return path, failure.OnDisk(c.dir, err)
}

// WriteAside writes a file under another name and renames it, so that nobody ever sees half of it.
func (c *Cache) WriteAside(path string, data []byte) error {
	if err := makeDir(filepath.Dir(path)); err != nil {
		return failure.OnDisk(c.dir, err)
	}
	f, err := c.Scratch()
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // fails after the rename, as it should
	_, err = f.Write(data)
	err = cmp.Or(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	return failure.OnDisk(c.dir, err)
}
