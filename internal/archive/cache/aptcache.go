package cache

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/hashes"
)

// An apt's own cache of its parsed lists lies beside them, as KEY.DIGEST.parsed: the key is its
// user's, the digest is that of the file.
const parsedExt = ".parsed"

// Parsed is the path of what was kept under a key; "" when there is nothing. What is damaged is
// deleted.
func (c *Cache) Parsed(key string) (string, error) {
	name, err := c.parsed(key)
	if name == "" || err != nil {
		return "", err
	}
	digest := strings.TrimPrefix(strings.TrimSuffix(filepath.Base(name), parsedExt), key+".")
	if len(digest) == 2*sha256.Size && hashes.IsHex(digest) {
		ok, err := c.Intact(name,
			Content{Name: "apt's cache", Size: -1, Hashes: hashes.Set{SHA256: digest}})
		if ok || err != nil {
			return name, err
		}
	}
	return "", os.Remove(name)
}

func (c *Cache) parsed(key string) (string, error) {
	dir := filepath.Join(c.dir, Lists, key[:2])
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("cache: %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), key+".") && strings.HasSuffix(e.Name(), parsedExt) {
			return filepath.Join(dir, e.Name()), nil
		}
	}
	return "", nil
}

// maxParsed bounds what a jail may have us keep, in bytes; sid's is 60 MB.
const maxParsed = 1 << 30

// KeepParsed keeps what an apt has left under a key.
func (c *Cache) KeepParsed(key string, from io.Reader) error {
	out, err := c.Scratch()
	if err != nil {
		return err
	}
	defer out.Close()
	name := out.Name()
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(out, sum), io.LimitReader(from, maxParsed+1))
	if err == nil && n > maxParsed {
		err = fmt.Errorf("apt's cache: %w: more than %d bytes", failure.ErrSize, maxParsed)
	}
	if err == nil {
		err = c.Publish(out, c.Place(Lists, key, "."+hashes.Hex(sum)+parsedExt))
	}
	if err != nil {
		_ = os.Remove(name) // it may have been renamed
	}
	return failure.OnDisk(c.dir, err)
}
