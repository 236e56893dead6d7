package regular

import (
	"io/fs"
	"os"
	"path/filepath"
)

// DirFS is os.DirFS, whose files are opened as Open does. Directories can be opened, too.
func DirFS(dir string) fs.FS { return dirFS{os.DirFS(dir), dir} }

type dirFS struct {
	fs.FS
	dir string
}

// Open implements fs.FS.
func (d dirFS) Open(name string) (fs.File, error) {
	st, err := fs.Stat(d.FS, name)
	if err != nil || st.IsDir() {
		return d.FS.Open(name)
	}
	return Open(filepath.Join(d.dir, filepath.FromSlash(name)))
}

// Stat implements fs.StatFS: without it fs.Stat would open the file.
func (d dirFS) Stat(name string) (fs.FileInfo, error) { return fs.Stat(d.FS, name) }

// ReadDir implements fs.ReadDirFS.
func (d dirFS) ReadDir(name string) ([]fs.DirEntry, error) { return fs.ReadDir(d.FS, name) }
