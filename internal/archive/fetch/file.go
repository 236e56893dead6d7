package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"nsbuild/internal/archive/cache"
	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/hashes"
	"nsbuild/internal/atomicfile"
)

// Get fetches a small file of which nothing is known beforehand, such as a .dsc named by its URL:
// at most limit bytes.
func (f *Fetcher) Get(ctx context.Context, url string, limit int64) ([]byte, error) {
	if f.offline && !strings.HasPrefix(url, "file:") {
		return nil, failure.WithHint(fmt.Errorf("%s: %w", failure.PublicURI(url),
			failure.ErrOffline))
	}
	data, _, err := f.Read(ctx, Request{URL: url}, limit)
	return data, failure.WithHint(err)
}

// File is a file to fetch, with what it must be.
type File struct {
	URL    string
	Size   int64 // -1 when not known
	Hashes hashes.Set
	Weak   bool // whether MD5 and SHA-1 count, as for a .dsc from before 2009
}

// Fetch has a file in the cache, verified, and at dst, too, which is only to be read: it is the
// same file where the file system lets it be, else a copy. What was at dst is replaced.
func (f *Fetcher) Fetch(ctx context.Context, file File, dst string) error {
	b := Blob{Kind: cache.Sources, What: cache.Sources, URLs: []string{file.URL},
		Content: cache.Content{Name: filepath.Base(dst), Size: file.Size, Hashes: file.Hashes,
			Weak: file.Weak}}
	if !file.Hashes.WellFormed() {
		return failure.WithHint(failure.Syntax("%s: bad digest", failure.PublicURI(file.URL)))
	}
	f.Tell(ctx, Progress{What: cache.Sources, Name: b.Name, Total: max(0, file.Size)})
	path, err := f.ObtainAgain(ctx, b)
	if err != nil {
		return failure.WithHint(err)
	}
	return linkFile(path, dst)
}

// linkFile gives a file a second name. The cache may then delete its own without harm.
func linkFile(from, to string) error {
	if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if os.Link(from, to) == nil {
		return nil
	}
	return copyFile(from, to) // another file system, say
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := atomicfile.Create(to, atomicfile.Options{Prefix: ".nsbuild-", Mode: 0o644})
	if err == nil {
		_, err = io.Copy(out, in)
		err = out.Finish(err)
	}
	return failure.OnDisk(filepath.Dir(to), err)
}
