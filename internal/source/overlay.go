package source

import (
	"context"
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"nsbuild/internal/buildroot"
)

// overlayScript puts a source directory that has little more than debian/ over its upstream
// tarballs, in the place where it lies: $1 is the directory, $2 the main tarball, what follows are
// components and their tarballs. A tarball whose files are all in one directory is unpacked without
// it. Upstream's own debian/ goes, where the format of the source has packaging replace it
// (gbp-buildpackage(1), --git-overlay).
const overlayScript = `set -e
unpack() {
	rm -rf .unpacked && mkdir .unpacked && tar -C .unpacked --no-same-owner -xf "$1"
	root=.unpacked
	[ "$(ls -A .unpacked | wc -l)" != 1 ] || for d in .unpacked/* .unpacked/.[!.]*; do [ ! -d "$d" ] || [ -L "$d" ] || root=$d; done
	mv "$root" "$2"
}
tree=$1
unpack "$2" .overlay
case $(head -n 1 "$tree/debian/source/format" 2>/dev/null) in [23].0*) rm -rf .overlay/debian ;; esac
shift 2
while [ $# -gt 0 ]; do
	rm -rf ".overlay/$1"
	unpack "$2" ".overlay/$1"
	shift 2
done
cp -a "$tree/." .overlay/
rm -rf "$tree" .unpacked
mv .overlay "$tree"
`

// overlay puts the source in the jail over its upstream tarballs, in the build directory, where
// gbp.conf says so.
func (in *Source) overlay(ctx context.Context, w buildroot.Worker, name string) error {
	if !in.Overlay {
		return nil
	}
	files, err := in.origFiles()
	if err != nil {
		return err
	}
	main, components := "", []string(nil)
	prefix := mainOrig(in.Tree)
	for _, file := range files {
		rest := strings.TrimPrefix(filepath.Base(file), prefix)
		at := path.Join(buildroot.Dir, filepath.Base(file))
		component, _, _ := strings.Cut(strings.TrimPrefix(rest, "-"), ".tar.")
		switch {
		case isSignatureName(file):
		case strings.HasPrefix(rest, ".tar."):
			main = at
		default:
			components = append(components, component, at)
		}
	}
	if main == "" {
		return fmt.Errorf("gbp.conf says overlay, but there is no upstream tarball to put %s over",
			in.Spec)
	}
	argv := append([]string{"sh", "-c", overlayScript, "overlay", name, main}, components...)
	status, err := w.Run(ctx, w.Command(buildroot.Dir, argv...))
	if err == nil && !status.Success() {
		err = fmt.Errorf("putting %s over its upstream tarball: %s", in.Spec, status)
	}
	return err
}
