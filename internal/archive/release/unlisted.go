package release

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/cache"
	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/hashes"
)

// Repositories that are trusted without a signature need no Release file either, nor one that lists
// anything: apt takes their Packages as they are. Here they get a Release file of our making, which
// lists what was found when the repository was asked. So all that follows has one root to go by, as
// with any other repository: what apt is shown, what is kept, what counts as news.

// maxUnlisted bounds an index of which nothing is known beforehand, in bytes.
const maxUnlisted = 1 << 30

// complete gives a trusted repository's answer what it lacks: err is why there is none.
func (rs *Files) complete(ctx context.Context, repo aptconf.Repo, raw *rawFile,
	err error,
) (*rawFile, error) {
	if !repo.Trusted || err != nil && !errors.Is(err, failure.ErrNoSuite) || err == nil &&
		raw.data == nil {
		return raw, err
	}
	var text []byte
	if err == nil {
		if text, _, err = rs.judge.authenticate(repo, raw); err != nil {
			return raw, err
		}
		if st, bad := Parse(text, false); bad == nil && len(st.files) > 0 {
			return raw, nil
		}
	}
	made, madeErr := rs.listed(ctx, repo, text)
	if made == nil {
		return raw, cmp.Or(madeErr, err)
	}
	return made, madeErr
}

// listed makes a Release file of what a repository has, and of the one that it has, if any. It is
// nil where it has no index.
func (rs *Files) listed(ctx context.Context, repo aptconf.Repo, text []byte) (*rawFile,
	error) {
	whole := strings.TrimSpace(string(text))
	if whole != "" {
		whole += "\n"
	}
	says, dateless, err := readable(whole)
	if err != nil {
		return nil, err
	}
	var lines strings.Builder
	var newest time.Time
	for _, name := range unlistedNames(repo) {
		found, at, err := rs.unlistedIndex(ctx, repo, name)
		if errors.Is(err, failure.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := agrees(found, says.files[name], name); err != nil {
			return nil, err
		}
		fi, err := os.Stat(found)
		if err != nil {
			return nil, fmt.Errorf("cache: %w", err)
		}
		fmt.Fprintf(&lines, " %s %d %s\n", filepath.Base(found), fi.Size(), name)
		if at.After(newest) {
			newest = at
		}
	}
	if lines.Len() == 0 {
		return nil, nil
	}
	if now := rs.now(); newest.IsZero() || newest.After(now) {
		newest = now
	}
	if dateless {
		whole += dateLine(newest)
	}
	raw := &rawFile{
		cachedFile: cachedFile{Names: []string{"Release"}, Made: true, Modified: newest},
	}
	raw.add([]byte(whole + "SHA256:\n" + lines.String()))
	return raw, nil
}

// readable reads a Release file that need say nothing, not even when it was made.
func readable(text string) (st *State, dateless bool, err error) {
	if st, err = Parse([]byte(text), true); err == nil {
		return st, false, nil
	}
	st, err = Parse([]byte(text+dateLine(time.Unix(0, 0))), true)
	return st, true, err
}

func dateLine(t time.Time) string { return "Date: " + t.UTC().Format(time.RFC1123) + "\n" }

// unlistedNames are the indices that a repository may have without saying so.
func unlistedNames(r aptconf.Repo) []string {
	if r.Flat() {
		return []string{"Packages", "Sources"}
	}
	var out []string
	for _, component := range r.Components {
		out = append(out, component+"/source/Sources")
		for _, arch := range architectures() {
			if r.Serves(arch) {
				out = append(out, component+"/binary-"+arch+"/Packages")
			}
		}
	}
	return out
}

// architectures are those that a repository without a Release file is asked for.
func architectures() []string {
	return []string{
		"all", "amd64", "arm64", "armel", "armhf", "i386", "loong64", "mips64el", "ppc64el",
		"riscv64",
		"s390x",
	}
}

// agrees compares an index with what the Release file says of it, if it does: weakly.
func agrees(file string, want Listed, name string) error {
	if want.Hashes == (hashes.Set{}) {
		return nil
	}
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("cache: %w", err)
	}
	defer f.Close()
	digest, sum := want.Hashes.Strongest(true)
	n, err := io.Copy(sum, f)
	if err != nil {
		return fmt.Errorf("cache: %w", err)
	}
	if got := fmt.Sprintf("%x", sum.Sum(nil)); got != digest || n != want.Size {
		return fmt.Errorf("%s: %w: it is %s, the Release file says %s", name, failure.ErrHash, got,
			digest)
	}
	return nil
}

// unlistedIndex fetches an index in the first compression that there is, in apt's order, and
// returns its place in the cache, and its time on the mirror.
func (rs *Files) unlistedIndex(ctx context.Context, repo aptconf.Repo,
	name string,
) (file string, at time.Time, err error) {
	for _, ext := range []string{".xz", ".bz2", ".gz", ".zst", ""} {
		file, at, err = rs.unlistedVariant(ctx, repo, name, ext)
		if !errors.Is(err, failure.ErrNotFound) && !errors.Is(err, failure.ErrRefused) {
			return file, at, err
		}
	}
	return "", at, fmt.Errorf("%s: %w", path.Join(repo.String(), name), failure.ErrNotFound)
}

func (rs *Files) unlistedVariant(ctx context.Context, repo aptconf.Repo, name,
	ext string,
) (file string, at time.Time, err error) {
	part, err := rs.cache.Scratch()
	if err != nil {
		return "", at, err
	}
	defer func() {
		_ = os.Remove(part.Name())
		_ = part.Close() // what was written was read again
	}()
	url := repo.Dist() + name + ext
	size, at, err := rs.fetch.Into(ctx, url, part, maxUnlisted)
	if err != nil {
		return "", at, rs.cache.OnDisk(err)
	}
	file, err = rs.cache.Unpack(part, ext, min(size*200+1<<20, maxUnlisted),
		cache.Content{Name: name, Size: -1})
	return file, at, err
}
