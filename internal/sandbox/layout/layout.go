// Package layout has the paths of H's own tree, as PID 1 makes it and as applets that run in H see
// it. Nothing in a jail sees these paths.
package layout

import (
	"path"
	"strconv"
)

// Host is where H has the host's tree.
const Host = "/host"

// Jail is where H mounts the root of a jail.
func Jail(id int) string { return path.Join("/jail", strconv.Itoa(id)) }

// Scratch is where H has its tmpfs for what is thrown away.
const Scratch = "/scratch"

// Exe is where H keeps this program, on its own tmpfs, which belongs to the caller's uid:
// nobody in a jail can write there (CVE-2019-5736).
const Exe = "/exe"

// Libraries is where the program's loader and libraries are, when it has any.
const Libraries = Exe + "/lib"

// Files is where H keeps files that are bound into jails.
const Files = "/files"

// Layers is where clones are mounted that are layers of overlays: a layer must be in the mount
// namespace of who mounts the overlay.
const Layers = "/layers"
