package session

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"nsbuild/internal/sandbox"
)

// File is one that nsbuild shows in a jail, and that is nowhere else.
type File struct {
	Path, Text string
	Private    bool // jail root's alone
}

// showFiles mounts the files in a throwaway root. A root without the directory of a file has no use
// for it, and one that cannot be written to has no place.
func (o *opening) showFiles(spec *sandbox.Spec) error {
	if !o.throwaway() || o.ReadOnly {
		return nil
	}
	for _, f := range o.Files {
		dir := path.Dir(f.Path)
		_, err := os.Lstat(filepath.Join(spec.Root.Lowers[0].Path, dir))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil && !errors.Is(err, fs.ErrPermission): // then it is for the sandbox to see
			return err
		}
		spec.Mounts = append(spec.Mounts, sandbox.Mount{Type: "text", Target: f.Path, Data: f.Text,
			Private: f.Private, Mkdir: true})
	}
	return nil
}

// proxies are the variables of the environment that say through which proxy the network is reached.
func proxies(getenv func(string) string) []string {
	var env []string
	for _, name := range []string{"http_proxy", "https_proxy", "ftp_proxy", "all_proxy",
		"no_proxy"} {
		for _, key := range []string{name, strings.ToUpper(name)} {
			if value := getenv(key); value != "" {
				env = append(env, key+"="+value)
			}
		}
	}
	return env
}
