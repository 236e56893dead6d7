package aptrepo

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"

	"nsbuild/internal/atomicfile"
	"nsbuild/internal/fault"
)

// label is what Release files call a repository: by it this package knows its own.
const label = "nsbuild-batch"

// keptIndices is how many indices stay in by-hash besides the one in force, for readers that have
// begun with an earlier Release file.
const keptIndices = 8

// publish has the index say what there is. The Release file comes last: with it all of that counts.
func (r *Repo) publish(ctx context.Context, is *state) error {
	var text bytes.Buffer
	for _, e := range is.sorted() {
		text.Write(e.text)
		text.WriteByte('\n')
	}
	_, err := os.Stat(r.path(r.releaseName()))
	if err == nil && is.fits && bytes.Equal(text.Bytes(), is.index) {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	packed, err := gzipped(text.Bytes())
	if err != nil {
		return err
	}
	files := []struct {
		name string
		data []byte
	}{{packagesName, text.Bytes()}, {packagesName + ".gz", packed}}
	if err := os.MkdirAll(r.path(byHash), 0o777); err != nil {
		return err
	}
	var sums strings.Builder
	for _, f := range files {
		digest := fmt.Sprintf("%x", sha256.Sum256(f.data))
		fmt.Fprintf(&sums, " %s %d %s\n", digest, len(f.data), f.name)
		if err := write(r.path(filepath.Join(byHash, digest)), f.data); err != nil {
			return err
		}
	}
	date := time.Now().UTC().Truncate(time.Second)
	if earliest := is.date.Add(time.Second); date.Before(earliest) {
		date = earliest // apt takes none that is not newer
	}
	release := fmt.Appendf(nil, "Origin: nsbuild\nLabel: %s\nDate: %s\nAcquire-By-Hash: yes\n"+
		"SHA256:\n%s", label, date.Format(time.RFC1123), sums.String())
	if r.key != "" {
		if release, err = sign(ctx, r.key, release); err != nil {
			return err
		}
	}
	for _, f := range files {
		if err := write(r.path(f.name), f.data); err != nil {
			return err
		}
	}
	if err := r.replaceRelease(release, date); err != nil {
		return err
	}
	return r.prune()
}

// replaceRelease has all that is written count. What is signed from now on is not taken for
// unsigned, and the other way round.
func (r *Repo) replaceRelease(text []byte, date time.Time) error {
	f, err := atomicfile.Create(r.path(r.releaseName()),
		atomicfile.Options{Perm: 0o666, Sync: true})
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = os.Chtimes(f.Name(), date, date) // by which servers tell whether it is another
	}
	if err := f.Finish(err); err != nil {
		return err
	}
	other := "InRelease"
	if r.key != "" {
		other = "Release"
	}
	if err := os.Remove(r.path(other)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func write(name string, data []byte) error {
	return atomicfile.Write(name, data, atomicfile.Options{Perm: 0o666, Sync: true})
}

func gzipped(data []byte) ([]byte, error) {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write(data)
	err = errors.Join(err, w.Close())
	return out.Bytes(), err
}

// dateOf is the date of a Release file; zero: it has none.
func dateOf(release string) time.Time {
	for line := range strings.Lines(release) {
		if text, ok := strings.CutPrefix(line, "Date: "); ok {
			t, err := time.Parse(time.RFC1123, strings.TrimSpace(text))
			if err == nil {
				return t
			}
		}
	}
	return time.Time{}
}

// prune deletes indices that were replaced some time ago, and what killed processes have left.
func (r *Repo) prune() error {
	dir := r.path(byHash)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	type old struct {
		name string
		at   time.Time
	}
	var all []old
	for _, e := range entries {
		st, err := e.Info()
		if err != nil {
			return err
		}
		all = append(all, old{e.Name(), st.ModTime()})
	}
	slices.SortStableFunc(all, func(a, b old) int { return b.at.Compare(a.at) })
	var errs []error
	for _, o := range all[min(len(all), 2*(keptIndices+1)):] {
		errs = append(errs, os.Remove(filepath.Join(dir, o.name)))
	}
	// what killed processes have left: nobody else writes now
	for _, pattern := range []string{byHash + "/.*", ".Packages.*", ".InRelease.*", ".Release.*",
		"." + keyName + ".*"} {
		left, err := filepath.Glob(filepath.Join(globEscape(r.dir), pattern))
		errs = append(errs, err)
		for _, name := range left {
			errs = append(errs, os.Remove(name))
		}
	}
	return errors.Join(errs...)
}

// globEscape makes a directory's name stand for itself in a pattern.
func globEscape(name string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(name)
}

// sign has gpg sign a text, on this machine and as the caller.
func sign(ctx context.Context, key string, text []byte) ([]byte, error) {
	out, err := gpg(ctx, text, "--local-user", key, "--clearsign")
	if err != nil {
		return nil, keyFault(key, "signing", err)
	}
	return out, nil
}

// exportKey is the public part of a key, for apt.
func exportKey(ctx context.Context, key string) ([]byte, error) {
	if _, err := exec.LookPath("gpg"); err != nil {
		return nil, fault.New(fault.Usage, "apt install gnupg, or leave out --repository-key",
			"the repository cannot be signed: there is no gpg")
	}
	// a public key alone would do for this, and not for signing
	if _, err := gpg(ctx, nil, "--list-secret-keys", "--", key); err != nil {
		return nil, keyFault(key, "looking for it", err)
	}
	out, err := gpg(ctx, nil, "--armor", "--export", "--", key)
	if err != nil {
		return nil, keyFault(key, "exporting it", err)
	}
	return out, nil
}

func keyFault(key, doing string, err error) error {
	return fault.New(fault.Usage, "gpg --list-secret-keys shows those that there are",
		"--repository-key %q: %s: %w", key, doing, err)
}

// gpg runs gpg, which never asks anything on the terminal by itself. Its error is the last line of
// what it complained of.
func gpg(ctx context.Context, text []byte, args ...string) ([]byte, error) {
	c := exec.CommandContext(ctx, "gpg", append([]string{"--batch", "--no-tty"}, args...)...)
	var out, complaints bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = bytes.NewReader(text), &out, &complaints
	err := c.Run()
	if lines := strings.Split(strings.TrimSpace(complaints.String()), "\n"); err != nil &&
		lines[len(lines)-1] != "" {
		return nil, errors.New(lines[len(lines)-1])
	}
	if err != nil {
		return nil, fmt.Errorf("gpg: %w", err)
	}
	return out.Bytes(), nil
}
