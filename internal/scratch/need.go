package scratch

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"nsbuild/internal/atomicfile"
)

// Need is what a build has taken, kept for the next one of the same source.
type Need struct {
	Version      string    `json:"version"`
	Date         time.Time `json:"date"`
	Tree         int64     `json:"tree"`         // bytes at most, beyond the dependencies
	Dependencies int64     `json:"dependencies"` // bytes of the installed build dependencies
	Seconds      float64   `json:"seconds,omitempty"`
	Memory       int64     `json:"memory,omitempty"` // bytes that its processes had at most
}

// Needs is the directory of what builds have taken.
type Needs string

// NeedsIn is the directory's place in the cache directory.
func NeedsIn(cacheDir string) Needs { return Needs(filepath.Join(cacheDir, "needs")) }

func (n Needs) file(source string) string {
	return filepath.Join(string(n), filepath.Base(source)+".json")
}

// Last is what is known of the last build of a source; zero when nothing is.
func (n Needs) Last(source string) (last Need, err error) {
	data, err := os.ReadFile(n.file(source))
	if errors.Is(err, fs.ErrNotExist) {
		return Need{}, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &last)
	}
	if err != nil {
		return Need{}, fmt.Errorf("what the last build of %s needed: %w", source, err)
	}
	return last, nil
}

// Keep keeps what a build of a source has taken.
func (n Needs) Keep(source string, taken Need) error {
	data, err := json.Marshal(taken)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(string(n), 0o755); err != nil {
		return err
	}
	return atomicfile.Write(n.file(source), data, atomicfile.Options{Prefix: ".new-"})
}
