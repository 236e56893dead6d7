package gitsrc

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"nsbuild/internal/fault"
)

// Modes of what git keeps.
const (
	modeFile      = "100644"
	modeProgram   = "100755"
	modeLink      = "120000"
	modeSubmodule = "160000"
)

// entry is a file of a tree or of the index.
type entry struct{ mode, id, path string }

// Exported is what an export wrote, and what it could not.
type Exported struct {
	Files      int
	Submodules []string // left out; their files are in repositories of their own
	LFS        []string // files that only name what Git LFS keeps elsewhere
}

// Export writes the source directory as it is in the last commit (Head) or in the index (Index)
// into a new directory: the very bytes that git has. Attributes (export-ignore, export-subst, eol,
// filters) are about other uses of them. Submodules are written when they are wanted and at hand.
func (r *Repository) Export(ctx context.Context, what, into string, submodules bool) (
	*Exported, error) {
	all, err := r.list(ctx, what)
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(into, 0o755); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(into)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	x := &export{root: root, done: &Exported{}}
	return x.done, r.write(ctx, x, all, "", submodules, 0)
}

// export is one under way.
type export struct {
	root *os.Root
	done *Exported
}

// maxDepth is how deep submodules are looked for in one another.
const maxDepth = 8

// write writes files below a prefix, then the submodules among them.
func (r *Repository) write(ctx context.Context, x *export, all []entry, prefix string,
	submodules bool, depth int) error {
	var files, modules []entry
	for _, e := range all {
		if e.mode == modeSubmodule {
			modules = append(modules, e)
		} else {
			files = append(files, e)
		}
	}
	if err := r.writeFiles(ctx, x, files, prefix); err != nil {
		return err
	}
	for _, m := range modules {
		name := path.Join(prefix, m.path)
		if err := makeDirs(x.root, name); err != nil {
			return err
		}
		if !submodules {
			x.done.Submodules = append(x.done.Submodules, name)
			continue
		}
		if depth == maxDepth {
			return fmt.Errorf("submodule %s: too deep in others", name)
		}
		sub, err := r.submodule(m)
		if err != nil {
			return err
		}
		inner, err := sub.tree(ctx, m.id)
		if err == nil {
			err = sub.write(ctx, x, inner, name, submodules, depth+1)
		}
		if err != nil {
			return fmt.Errorf("submodule %s: %w", name, err)
		}
	}
	return nil
}

// list lists the source directory's files, by names relative to it.
func (r *Repository) list(ctx context.Context, what string) ([]entry, error) {
	if what == Index {
		return r.index(ctx)
	}
	tree := "HEAD^{tree}"
	if r.Prefix != "" {
		tree = "HEAD:" + strings.TrimSuffix(r.Prefix, "/")
	}
	return r.tree(ctx, tree)
}

// tree lists the files of a tree.
func (r *Repository) tree(ctx context.Context, tree string) ([]entry, error) {
	c := r.command("ls-tree", "-r", "-z", "--full-tree", tree)
	return r.entries(ctx, c, func(line string) (entry, error) {
		head, name, ok := strings.Cut(line, "\t")
		f := strings.Fields(head) // mode, type, id
		if !ok || len(f) != 3 {
			return entry{}, fmt.Errorf("git ls-tree: %q", line)
		}
		return entry{f[0], f[2], name}, nil
	})
}

// index lists what would be committed now.
func (r *Repository) index(ctx context.Context) ([]entry, error) {
	c := r.command("ls-files", "--stage", "-z", "--", ".")
	all, err := r.entries(ctx, c, func(line string) (entry, error) {
		head, name, ok := strings.Cut(line, "\t")
		f := strings.Fields(head) // mode, id, stage
		if !ok || len(f) != 3 {
			return entry{}, fmt.Errorf("git ls-files: %q", line)
		}
		if f[2] != "0" {
			return entry{},
				fault.New(fault.GivenBack, "resolve the conflict, git add, or use --git=head",
					"%s is not merged in the index", name)
		}
		return entry{f[0], f[1], name}, nil
	})
	if err != nil {
		return nil, err
	}
	// What was only announced (git add -N) is in the index, but would not be committed.
	announced, err := r.git(ctx, "diff-files", "--name-only", "-z", "--diff-filter=A",
		"--no-ext-diff", "--", ".")
	if err != nil {
		return nil, err
	}
	skip := map[string]bool{}
	for name := range strings.SplitSeq(announced, "\x00") {
		skip[strings.TrimPrefix(name, r.Prefix)] = true
	}
	kept := all[:0]
	for _, e := range all {
		if !skip[e.path] {
			kept = append(kept, e)
		}
	}
	return kept, nil
}

// maxFiles bounds a tree: a few objects can describe one that no disk could hold. Debian's largest
// sources have some 500,000 files.
const maxFiles = 4 << 20

// entries reads a list of files, each ended by a zero byte.
func (r *Repository) entries(ctx context.Context, c Command, parse func(string) (entry, error)) (
	all []entry, err error) {
	err = r.read(ctx, c, func(in io.Reader) error {
		lines := bufio.NewReaderSize(in, 64<<10)
		for {
			line, err := readLine(lines, 0)
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			e, err := parse(line)
			if err == nil {
				err = checkEntry(e)
			}
			if err != nil {
				return err
			}
			if all = append(all, e); len(all) > maxFiles {
				return fmt.Errorf("more than %d files", maxFiles)
			}
		}
	})
	return all, err
}

// readLine reads to a delimiter, which it leaves out. A line longer than the reader's buffer is no
// name.
func readLine(in *bufio.Reader, end byte) (string, error) {
	line, err := in.ReadSlice(end)
	if errors.Is(err, io.EOF) && len(line) > 0 {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return "", err
	}
	return string(line[:len(line)-1]), nil
}

// checkEntry refuses what git itself would not write to a working tree.
func checkEntry(e entry) error {
	for part := range strings.SplitSeq(e.path, "/") {
		if part == "" || part == "." || part == ".." || strings.EqualFold(part, ".git") {
			return fmt.Errorf("%q is no name of a file in a repository", e.path)
		}
	}
	switch e.mode {
	case modeFile, modeProgram, modeLink, modeSubmodule:
		return nil
	}
	if strings.HasPrefix(e.mode, "100") { // written by old versions of git
		return nil
	}
	return fmt.Errorf("%s is neither a file, a symbolic link nor a submodule (mode %s)", e.path,
		e.mode)
}

// writeFiles writes the contents of files, which git cat-file hands out one after the other.
func (r *Repository) writeFiles(ctx context.Context, x *export, files []entry,
	prefix string) error {
	if len(files) == 0 {
		return nil
	}
	ids := &bytes.Buffer{}
	for _, e := range files {
		fmt.Fprintln(ids, e.id)
	}
	c := r.command("cat-file", "--batch", "--buffer")
	c.In = ids
	return r.read(ctx, c, func(in io.Reader) error {
		objects := bufio.NewReaderSize(in, 256<<10)
		for _, e := range files {
			size, err := objectSize(objects, e)
			if err != nil {
				return err
			}
			name := path.Join(prefix, e.path)
			lfs, err := writeEntry(x.root, name, e.mode, io.LimitReader(objects, size), size)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if end, err := objects.ReadByte(); err != nil || end != '\n' {
				return fmt.Errorf("git cat-file: object %s does not end where it should (%w)", e.id,
					err)
			}
			if lfs {
				x.done.LFS = append(x.done.LFS, name)
			}
			x.done.Files++
		}
		return nil
	})
}

// objectSize reads the line before an object: its id, its type and its size.
func objectSize(in *bufio.Reader, e entry) (int64, error) {
	line, err := readLine(in, '\n')
	if err != nil {
		return 0, err
	}
	f := strings.Fields(line)
	if len(f) == 2 && f[1] == "missing" {
		return 0, fault.New(fault.GivenBack, "git fetch, or git fsck to see what is lost",
			"the repository does not have the contents of %s (%s)", e.path, e.id)
	}
	if len(f) != 3 || f[0] != e.id || f[1] != "blob" {
		return 0, fmt.Errorf("git cat-file: %q instead of %s", line, e.id)
	}
	size, err := strconv.ParseInt(f[2], 10, 64)
	if err != nil || size < 0 {
		return 0, fmt.Errorf("git cat-file: %q", line)
	}
	return size, nil
}

// maxLink bounds what a symbolic link says, in bytes (PATH_MAX in limits.h).
const maxLink = 4096

// writeEntry writes one file or link; lfs tells whether it is only a pointer of Git LFS's.
func writeEntry(root *os.Root, name, mode string, in io.Reader, size int64) (lfs bool, err error) {
	if err := makeDirs(root, path.Dir(name)); err != nil {
		return false, err
	}
	if mode == modeLink {
		if size > maxLink {
			return false, fmt.Errorf("its link has %d bytes", size)
		}
		to, err := io.ReadAll(in)
		if err != nil {
			return false, err
		}
		return false, root.Symlink(string(to), filepath.FromSlash(name))
	}
	perm := fs.FileMode(0o644)
	if bits, err := strconv.ParseUint(mode, 8, 32); err == nil {
		perm |= fs.FileMode(bits) & 0o111
	}
	if err := roomFor(root, size); err != nil {
		return false, err
	}
	f, err := root.OpenFile(filepath.FromSlash(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return false, err
	}
	head := make([]byte, 0, len(lfsPointer))
	n, err := io.Copy(f, io.TeeReader(in, (*firstBytes)(&head)))
	if err == nil && n != size {
		err = io.ErrUnexpectedEOF
	}
	return string(head) == lfsPointer, errors.Join(err, f.Close())
}

// lfsPointer is how files begin that Git LFS keeps elsewhere.
const lfsPointer = "version https://git-lfs.github.com/spec/v1\n"

// firstBytes keeps the first bytes that are written to it, as many as it has room for.
type firstBytes []byte

func (b *firstBytes) Write(p []byte) (int, error) {
	*b = append(*b, p[:min(len(p), cap(*b)-len(*b))]...)
	return len(p), nil
}

// roomFor refuses a file that the disk cannot hold, before it is full.
func roomFor(root *os.Root, size int64) error {
	const small = 1 << 20
	if size < small {
		return nil
	}
	dir, err := root.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	var st syscall.Statfs_t
	if err := syscall.Fstatfs(int(dir.Fd()), &st); err != nil {
		return err
	}
	free := int64(st.Bavail) * int64(st.Bsize) //nolint:unconvert // int32 on 32-bit machines
	if size > free {
		return fault.New(fault.GivenBack, "make room there",
			"%d bytes do not fit into %s (%d are free)",
			size, root.Name(), free)
	}
	return nil
}

func makeDirs(root *os.Root, dir string) error {
	if dir == "." {
		return nil
	}
	return root.MkdirAll(filepath.FromSlash(dir), 0o755)
}
