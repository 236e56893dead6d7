package bootstrap

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// node is what one path of a tree is compared by.
type node struct {
	kind     fs.FileMode // type bits, setuid, setgid, sticky and permissions
	uid, gid uint32
	link     string // target of a symbolic link
	sum      string // of a regular file's content
	xattrs   string
	mtime    time.Time
	twins    string // the other names of a regular file, in the tree
}

// readTree reads a whole tree. base is what the owners are shifted by.
func readTree(root string, base uint32) (map[string]*node, error) {
	tree := map[string]*node{}
	inodes := map[uint64][]string{}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := "/" + strings.TrimPrefix(strings.TrimPrefix(p, root), "/")
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		n := &node{kind: info.Mode(), uid: st.Uid - base, gid: st.Gid - base, mtime: info.ModTime()}
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			if n.link, err = os.Readlink(p); err != nil {
				return err
			}
		case info.Mode().IsRegular():
			if n.sum, err = sumFile(p); err != nil {
				return err
			}
			if st.Nlink > 1 {
				inodes[st.Ino] = append(inodes[st.Ino], name)
			}
		}
		if n.xattrs, err = readXattrs(p); err != nil {
			return err
		}
		tree[name] = n
		return nil
	})
	for _, names := range inodes {
		sort.Strings(names)
		for _, n := range names {
			tree[n].twins = strings.Join(names, " ")
		}
	}
	return tree, err
}

func sumFile(p string) (string, error) {
	f, err := os.Open(p)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func readXattrs(p string) (string, error) {
	buf := make([]byte, 4096)
	n, err := unix.Llistxattr(p, buf)
	if err == unix.ENOTSUP || n == 0 && err == nil {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	names := strings.Split(strings.TrimRight(string(buf[:n]), "\x00"), "\x00")
	sort.Strings(names)
	var out strings.Builder
	for _, name := range names {
		value := make([]byte, 4096)
		n, err := unix.Lgetxattr(p, name, value)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&out, "%s=%x ", name, value[:n])
	}
	return out.String(), nil
}

// differences lists how two trees differ, a line each. exempt paths (shell patterns; what is below
// a matching directory too) are not looked at.
func differences(one, two map[string]*node, exempt []string) []string {
	var out []string
	names := map[string]bool{}
	for n := range one {
		names[n] = true
	}
	for n := range two {
		names[n] = true
	}
	for n := range names {
		if matches(exempt, n) {
			continue
		}
		a, b := one[n], two[n]
		switch {
		case a == nil:
			out = append(out, n+": only in the second")
		case b == nil:
			out = append(out, n+": only in the first")
		default:
			for _, d := range a.compare(b) {
				out = append(out, n+": "+d)
			}
		}
	}
	slices.Sort(out)
	return out
}

func (a *node) compare(b *node) []string {
	var out []string
	for _, c := range []struct {
		what string
		a, b any
	}{{"mode", a.kind, b.kind}, {"uid", a.uid, b.uid}, {"gid", a.gid, b.gid},
		{"target", a.link, b.link}, {"content", a.sum, b.sum}, {"attributes", a.xattrs, b.xattrs},
		{"hard links", a.twins, b.twins}} {
		if c.a != c.b {
			out = append(out, fmt.Sprintf("%s %v ≠ %v", c.what, c.a, c.b))
		}
	}
	return out
}

func matches(patterns []string, name string) bool {
	for p := name; p != "/" && p != "."; p = filepath.Dir(p) {
		for _, pattern := range patterns {
			if ok, err := filepath.Match(pattern, p); err == nil && ok {
				return true
			}
		}
	}
	return false
}
