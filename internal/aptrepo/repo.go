// Package aptrepo writes a flat repository of binary packages, which apt can use as it is.
//
// Packages lie in directories named by their digests, so that no file ever changes. The index does
// as well (by-hash), and the Release file is replaced last, in one step: whoever reads sees the
// repository before or after, and so does whoever comes after a kill. A lock has one process write
// at a time.
package aptrepo

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nsbuild/internal/archive/index"
	"nsbuild/internal/archive/pool"
	"nsbuild/internal/atomicfile"
	"nsbuild/internal/fault"
	"nsbuild/internal/flock"
	"nsbuild/internal/regular"
)

// Repo is a repository in a directory.
type Repo struct {
	dir string // absolute
	key string // of gpg; "": it is not signed
}

// The files of a repository.
const (
	lockName     = ".nsbuild-lock"
	packagesName = "Packages"
	keyName      = "repository-key.asc"
	poolName     = "pool"
	byHash       = "by-hash/SHA256"
)

// Open makes the directory of a repository, unless it is there, and signs something with its key,
// before hours are spent on what is to lie in it.
func Open(ctx context.Context, dir, key string) (*Repo, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	r := &Repo{dir, key}
	const hint = "choose another directory with --repository"
	if strings.ContainsAny(dir, " \t\n[]") {
		return nil, fault.New(fault.Usage, hint,
			"--repository %q: apt takes no name with blanks or brackets", dir)
	}
	var exported []byte
	if key != "" {
		if exported, err = exportKey(ctx, key); err != nil {
			return nil, err
		}
		if _, err = sign(ctx, key, []byte("a trial\n")); err != nil {
			return nil, err
		}
	}
	err = os.MkdirAll(dir, 0o777)
	if err == nil {
		_, err = r.read() // nothing is written where somebody else has a repository
	}
	if err == nil {
		err = r.locked(func() error {
			if err := os.MkdirAll(r.path(poolName), 0o777); err != nil || key == "" {
				return err
			}
			return atomicfile.Write(r.path(keyName), exported, atomicfile.Options{Perm: 0o666})
		})
	}
	if err != nil {
		return nil, fault.Wrap(fault.Usage, hint, fmt.Errorf("--repository %s: %w", dir, err))
	}
	return r, nil
}

func (r *Repo) path(name string) string { return filepath.Join(r.dir, name) }

// Line is the line of sources.list(5) by which apt uses it.
func (r *Repo) Line() string {
	if r.key == "" {
		return "deb [trusted=yes] file:" + r.dir + " ./"
	}
	return "deb [signed-by=" + r.path(keyName) + "] file:" + r.dir + " ./"
}

// Empty tells whether nothing has been published.
func (r *Repo) Empty() bool {
	_, err := os.Stat(r.path(r.releaseName()))
	return errors.Is(err, fs.ErrNotExist)
}

// releaseName is the file that apt asks for first.
func (r *Repo) releaseName() string {
	if r.key == "" {
		return "Release"
	}
	return "InRelease"
}

// locked does something that no other process does meanwhile.
func (r *Repo) locked(do func() error) error {
	f, err := os.OpenFile(r.path(lockName), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return fmt.Errorf("the repository: %w", err)
	}
	if err := flock.Wait(f, flock.Exclusive); err != nil {
		return errors.Join(fmt.Errorf("the repository %s: %w", r.dir, err), f.Close())
	}
	return errors.Join(do(), flock.Close(f))
}

// entry is a package of the index.
type entry struct {
	name, version, arch string
	file                string // its Filename
	text                []byte // its paragraph, with a newline at the end
}

// state is what a repository holds.
type state struct {
	entries []*entry // in their order
	index   []byte
	date    time.Time // of its Release file; zero: there is none
	fits    bool      // the Release file is about this index
}

// Add publishes packages: all of them at once, in the place of those of the same name, version and
// architecture. It returns how many of them were not there. An error has nothing published.
func (r *Repo) Add(ctx context.Context, files []string) (added int, err error) {
	err = r.locked(func() error {
		have, err := r.read()
		if err != nil {
			return err
		}
		was := len(have.entries)
		known := make(map[[3]string]int, was)
		for i, e := range have.entries {
			known[e.id()] = i
		}
		for _, file := range files {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			e, err := r.bring(file)
			if err != nil {
				return fmt.Errorf("%s: %w", filepath.Base(file), err)
			}
			if i, there := known[e.id()]; !there {
				known[e.id()] = len(have.entries)
				have.entries = append(have.entries, e)
				added++
			} else {
				have.entries[i] = e
			}
		}
		return r.publish(ctx, have)
	})
	if err != nil {
		return 0, fmt.Errorf("the repository %s: %w", r.dir, err)
	}
	return added, nil
}

func (e *entry) id() [3]string { return [3]string{e.name, e.version, e.arch} }

// read reads what there is. Of the index and the Release file the former counts: it is written
// first, and what it names is there.
func (r *Repo) read() (*state, error) {
	have := &state{}
	release, err := r.readRelease()
	if err != nil {
		return nil, err
	}
	text, err := regular.ReadFile(r.path(packagesName), maxIndex)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return have, nil
	case err != nil:
		return nil, err
	case release == "":
		// an index without one that is ours was left by a kill, or is somebody else's
		if !bytes.Contains(text[:min(len(text), 64<<10)], []byte("\nFilename: ./"+poolName+"/")) &&
			len(text) > 0 {
			return nil, errors.New("it has a Packages file that is not nsbuild's")
		}
	}
	have.index = text
	have.date = dateOf(release)
	have.fits = strings.Contains(release, fmt.Sprintf(" %x ", sha256.Sum256(text)))
	have.entries, err = parse(text)
	return have, err
}

// maxIndex is more than the index of a repository has, in bytes: all of Debian has some 60 MiB.
const maxIndex = 512 << 20

// readRelease is the text of the Release file, with its signature; "" when there is none.
func (r *Repo) readRelease() (string, error) {
	for _, name := range []string{"InRelease", "Release"} {
		text, err := regular.ReadFile(r.path(name), 1<<20)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && !strings.Contains(string(text), "\nLabel: "+label+"\n") {
			err = fmt.Errorf("its %s is not nsbuild's", name)
		}
		return string(text), err
	}
	return "", nil
}

// parse reads an index that this package has written.
func parse(text []byte) (all []*entry, err error) {
	s := index.Scan(bytes.NewReader(text))
	for {
		raw, ok := s.Raw()
		if !ok {
			break
		}
		e, err := parseEntry(raw)
		if err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", packagesName, s.Line(), err)
		}
		all = append(all, e)
	}
	if s.Err() != nil {
		return nil, fmt.Errorf("%s: %w", packagesName, s.Err())
	}
	return all, nil
}

func parseEntry(raw []byte) (*entry, error) {
	s := index.Scan(bytes.NewReader(raw))
	if !s.Next() {
		return nil, cmp.Or(s.Err(), errors.New("it is empty"))
	}
	p, err := index.ParsePackage(s)
	if err != nil {
		return nil, err
	}
	if s.Next() {
		return nil, errors.New("its control file has more than one paragraph")
	}
	return &entry{p.Package, p.Version, p.Architecture, p.Filename,
		append(bytes.TrimRight(bytes.Clone(raw), "\n"), '\n')}, nil
}

// bring has a package in the pool, and returns what the index says of it.
func (r *Repo) bring(file string) (*entry, error) {
	in, err := regular.OpenNoFollow(file)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	sum := sha256.New()
	size, err := io.Copy(sum, in)
	if err != nil {
		return nil, err
	}
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	control, err := pool.Control(in)
	if err != nil {
		return nil, err
	}
	digest := fmt.Sprintf("%x", sum.Sum(nil))
	name := poolName + "/" + digest[:16] + "/" + pool.SafeName(filepath.Base(file))
	e, err := parseEntry(fmt.Appendf(nil, "%s\nFilename: ./%s\nSize: %d\nSHA256: %s\n", control,
		name, size, digest))
	if err != nil {
		return nil, err
	}
	return e, r.place(in, name, size, digest)
}

// place gives a file its name in the pool. It is copied: who changes the one must not change the
// other.
func (r *Repo) place(in *os.File, name string, size int64, digest string) error {
	to := r.path(name)
	if st, err := os.Lstat(to); err == nil && st.Mode().IsRegular() && st.Size() == size {
		return nil // it has got its name when it was whole
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
		return err
	}
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return err
	}
	out, err := atomicfile.Create(to, atomicfile.Options{Perm: 0o666, Sync: true})
	if err != nil {
		return err
	}
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(out, sum), in)
	if err == nil && fmt.Sprintf("%x", sum.Sum(nil)) != digest {
		err = errors.New("it was changed while it was read")
	}
	return out.Finish(err)
}

// sorted are the entries in the order of the index.
func (s *state) sorted() []*entry {
	all := slices.Clone(s.entries)
	slices.SortStableFunc(all, func(a, b *entry) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.version, b.version),
			cmp.Compare(a.arch, b.arch))
	})
	return all
}
