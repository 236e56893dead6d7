package rdeps

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nsbuild/internal/atomicfile"
	"nsbuild/internal/batch"
	"nsbuild/internal/regular"
	"nsbuild/internal/result"
)

// Baselines are what is known of how sources are built without a change: by the source's version,
// the archives that the build took packages from, and what was asked for.
type Baselines struct{ dir string }

// BaselinesIn is their place in the state directory.
func BaselinesIn(stateDir string) Baselines {
	return Baselines{filepath.Join(stateDir, "baselines")}
}

// kept is how long a baseline is kept. By then the archives have changed.
const kept = 60 * 24 * time.Hour

// largest bounds the file of a baseline, in bytes.
const largest = 4 << 20

// Key is that of a build, for whoever asks how the same is built without a change; "": the build
// did not come far enough to tell. options are what was said on the command line.
func Key(r *result.Result, options []string) string {
	if r.Source.Version == "" || len(r.Inputs.Releases) == 0 {
		return ""
	}
	parts := []string{"1", r.Source.Name, r.Source.Version, r.Target.Distribution,
		r.Target.BuildArch, r.Target.HostArch, r.Target.BuildType,
		strings.Join(r.Target.Profiles, " ")}
	if r.Source.DSC != nil {
		parts = append(parts, r.Source.DSC.SHA256)
	}
	var releases []string
	for _, f := range r.Inputs.Releases {
		releases = append(releases, f.SHA256+" "+f.Suite)
	}
	slices.Sort(releases)
	parts = append(parts, slices.Compact(releases)...)
	var said []string
	for _, o := range options {
		name, _, _ := strings.Cut(strings.TrimPrefix(o, "--"), "=")
		if !slices.Contains(unimportant(), name) {
			said = append(said, o)
		}
	}
	slices.Sort(said)
	sum := sha256.Sum256([]byte(strings.Join(append(parts, said...), "\x00")))
	return hex.EncodeToString(sum[:])
}

// unimportant are the options that decide nothing about how a build ends.
func unimportant() []string {
	return []string{"output", "log-dir", "nolog", "keep-logs", "keep", "kept-limit", "jobs-at-once",
		"verbose", "depth", "limit", "match", "exclude", "dry-run",
		"json", "name", "dist", "compare", "max-failures"}
}

// Find is what is known by a key; nil: nothing is. What is damaged is not known.
func (b Baselines) Find(key string) (*batch.Ended, error) {
	if key == "" {
		return nil, nil
	}
	text, err := regular.ReadFile(b.path(key), largest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("a baseline: %w", err)
	}
	var e batch.Ended
	if err := json.Unmarshal(text, &e); err != nil || e.Status == "" {
		return nil, nil //nolint:nilerr // a damaged one is as if there were none
	}
	return &e, nil
}

// Save remembers how a build without a change has ended. What time may mend is not remembered.
func (b Baselines) Save(key string, e *batch.Ended) error {
	if key == "" || e.Reused || !e.Decides() {
		return nil
	}
	out := *e
	out.Beside, out.Kept, out.Result, out.Compared = false, "", "", nil
	text, err := json.Marshal(out)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		return err
	}
	if err := b.prune(time.Now().Add(-kept)); err != nil {
		return err
	}
	return atomicfile.Write(b.path(key), text, atomicfile.Options{Mode: 0o644, Sync: true})
}

func (b Baselines) path(key string) string { return filepath.Join(b.dir, key+".json") }

// prune deletes those that are older than a time.
func (b Baselines) prune(before time.Time) error {
	entries, err := os.ReadDir(b.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		st, err := e.Info()
		if err != nil || !st.Mode().IsRegular() || !st.ModTime().Before(before) {
			continue
		}
		err = os.Remove(filepath.Join(b.dir, e.Name()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
