package release

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/cache"
	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/hashes"
)

// cachedFile is what the cache remembers about a suite on a mirror: which files it has of it,
// and what to ask the mirror for news with. It lies beside the lists as JSON.
type cachedFile struct {
	Names    []string  // "InRelease", or "Release" and "Release.gpg"
	Digests  []string  // of these files; their contents are blobs of the cache
	ETag     string    `json:",omitempty"`
	Modified time.Time // Last-Modified of the first, zero when the server gave none
	Checked  time.Time // when the mirror was last asked
	Absent   bool      `json:",omitempty"` // it did not have the suite, which is optional
	Made     bool      `json:",omitempty"` // it is of our making: see unlisted.go
}

// rawFile is a Release file as fetched, not yet verified.
type rawFile struct {
	cachedFile
	data [][]byte
}

func (r *rawFile) add(data []byte) {
	r.data = append(r.data, data)
	r.Digests = append(r.Digests, hashes.SHA256(data))
}

// cachedFile reads and verifies what the cache has. Without anything there it returns nothing;
// what is damaged, expired or no longer trusted comes as an error.
func (rs *Files) cachedFile(repo aptconf.Repo) (*cachedFile, *State, error) {
	data, err := os.ReadFile(rs.releaseFile(repo))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	var raw rawFile
	err = json.Unmarshal(data, &raw.cachedFile)
	if err == nil && raw.Absent {
		return &raw.cachedFile, nil, nil
	}
	if err != nil || len(raw.Names) == 0 || len(raw.Names) != len(raw.Digests) {
		return nil, nil, fmt.Errorf("cache: %s: %w", rs.releaseFile(repo), failure.ErrSyntax)
	}
	var paths []Stored
	for i, digest := range raw.Digests {
		if len(digest) != 2*sha256.Size || !hashes.IsHex(digest) {
			return nil, nil, fmt.Errorf("cache: %s: %w", rs.releaseFile(repo), failure.ErrSyntax)
		}
		path := rs.cache.Place(cache.Lists, digest, "")
		rs.cache.Claim(path)
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, nil, err
		}
		if hashes.SHA256(data) != digest {
			return nil, nil, fmt.Errorf("cache: %s: %w", path, failure.ErrHash)
		}
		if err := rs.cache.Used(path); err != nil {
			return nil, nil, err
		}
		raw.data = append(raw.data, data)
		paths = append(paths, Stored{raw.Names[i], path})
	}
	st, err := rs.judge.judge(repo, &raw)
	if err != nil {
		return nil, nil, err
	}
	st.stored = paths
	return &raw.cachedFile, st, nil
}

// releaseFile is where the cache remembers a suite of a mirror.
func (rs *Files) releaseFile(repo aptconf.Repo) string {
	name := aptconf.ListName(repo.Dist() + "Release")
	if len(name) > 200 {
		name = hashes.SHA256([]byte(name))
	}
	return filepath.Join(rs.cache.Dir(cache.Lists), name+".json")
}

func (rs *Files) saveRelease(repo aptconf.Repo, raw *rawFile) error {
	data, err := json.MarshalIndent(raw.cachedFile, "", "\t")
	if err != nil {
		return err
	}
	return rs.cache.WriteAside(rs.releaseFile(repo), append(data, '\n'))
}
