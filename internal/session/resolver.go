package session

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"nsbuild/internal/fstab"
	"nsbuild/internal/sandbox"
)

const resolverFile = "/etc/resolv.conf"

// showResolver shows the host's name servers in a throwaway root that has the host's network. In a
// private one pasta asks them. A host without any is worth a note, and no more: addresses work, and
// so does all that needs no name.
func (o *opening) showResolver(spec *sandbox.Spec) (note string, err error) {
	if o.Network == sandbox.NetworkHost && !o.throwaway() {
		return o.ownResolver(spec), nil
	}
	shown := o.Network == sandbox.NetworkHost && o.throwaway()
	if !shown && o.Network != sandbox.NetworkPrivate {
		return "", nil
	}
	if _, err := os.Stat(resolverFile); sandbox.LeadsNowhere(err) {
		return sandbox.NoResolver, nil
	} else if err != nil {
		return "", err
	}
	if !shown {
		return "", nil
	}
	if o.ReadOnly { // then a mount point cannot be made
		if _, err := os.Lstat(filepath.Join(spec.Root.Lowers[0].Path, resolverFile)); err != nil {
			return "", nil //nolint:nilerr // a root that has no such file, or that hides it from us
		}
	}
	spec.Mounts = append(spec.Mounts, sandbox.Mount{
		Type: "bind", Source: resolverFile, Target: resolverFile, ReadOnly: true,
		Mkdir: !o.ReadOnly,
	})
	return "", nil
}

// ownResolver is the note for a directory that is used as it is, and so has its own file, where
// that is a link that leads nowhere. What mounts may have put there is not looked for.
func (o *opening) ownResolver(spec *sandbox.Spec) (note string) {
	for _, m := range spec.Mounts {
		if top, _, _ := strings.Cut(strings.TrimPrefix(m.Target, "/"), "/"); top == "etc" ||
			top == "run" {
			return ""
		}
	}
	if !sandbox.DanglingLink(o.Root, resolverFile) {
		return ""
	}
	return fmt.Sprintf("%s is a link that leads nowhere: names cannot be looked up; --bind-ro %s "+
		"shows the host's",
		filepath.Join(o.Root, resolverFile), resolverFile)
}

// isResolver tells a line that shows the host's resolv.conf, as every jchroot fstab has one: where
// the host has none, that is no error.
func isResolver(m fstab.Mount) bool {
	return path.Clean(m.Source) == resolverFile && path.Clean(m.Target) == resolverFile
}
