package deps

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"

	"nsbuild/internal/apt"
	"nsbuild/internal/deb"
	"nsbuild/internal/install"
	"nsbuild/internal/layer"
	"nsbuild/internal/sandbox"
)

// Half of what is wanted must be in a smaller layer, and so many packages, for it to save more than
// asking apt once more costs.
const worthwhile = 10

// overSmaller opens the installation's jail anew, over a layer that has some of what is wanted
// already. It does nothing when there is none over which the result is exactly the same.
func (in *installation) overSmaller(ctx context.Context) (bool, error) {
	if !in.layers() || len(in.Reduced.Conflicts) > 0 { // something may be removed
		return false, nil
	}
	smaller, err := in.smallerLayer()
	if smaller == nil || err != nil {
		return false, err
	}
	in.done.Layer = smaller
	if err := in.dropJail(); err != nil {
		return false, err
	}
	in.done.Lowers = append([]sandbox.Lower{{Path: smaller.Tree()}}, in.done.Lowers...)
	return true, in.openInstallation(ctx)
}

// isTheRest tells whether apt wants, over the smaller layer, just what that has not.
func (in *installation) isTheRest(wanted []apt.Wanted) bool {
	have := in.done.Layer.Manifest.Files
	if !slices.Equal(fileNames(wanted), without(fileNames(in.wanted), have)) {
		return false
	}
	in.on.Log.Printf("Dependency layer %.12s has %d of %d packages; the others are installed over it.",
		in.done.Layer.Key, len(have), len(in.wanted))
	return true
}

// overBase takes overSmaller back.
func (in *installation) overBase(ctx context.Context) error {
	if err := in.dropJail(); err != nil {
		return err
	}
	smaller := in.done.Layer
	in.done.Layer, in.done.Lowers = nil, in.done.Lowers[1:]
	if err := smaller.Close(); err != nil {
		return err
	}
	return in.openInstallation(ctx)
}

// fileNames are the files that are wanted, sorted.
func fileNames(wanted []apt.Wanted) []string {
	var names []string
	for _, w := range wanted {
		names = append(names, w.Name+" "+w.Hash)
	}
	slices.Sort(names)
	return names
}

// without leaves out of a sorted list what is in another.
func without(all, some []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(name string) bool {
		return slices.Contains(some, name)
	})
}

// smallerLayer takes into use the layer with the most of what is wanted, and nothing else, over
// which the rest can be installed with the same result as all together. It lies on the very ground
// that this build's would lie on.
func (in *installation) smallerLayer() (*layer.Layer, error) {
	all, err := in.Layers.List()
	if err != nil {
		return nil, err
	}
	names, over := fileNames(in.wanted), in.ground().key()
	fits := func(l layer.Info) bool { return fitsBelow(l.Manifest, over, names) }
	all = slices.DeleteFunc(all, func(l layer.Info) bool { return !fits(l) })
	slices.SortStableFunc(all, func(a, b layer.Info) int { return len(b.Files) - len(a.Files) })
	for _, l := range all {
		rest, err := readScripts(in.wanted, in.files, func(name string) bool {
			return !slices.Contains(l.Files, name)
		})
		if err != nil {
			return nil, err
		}
		if !rest.plain || slices.ContainsFunc(rest.alternatives, func(name string) bool {
			return slices.Contains(l.Alternatives, name)
		}) {
			continue
		}
		if found, err := in.Layers.Use(l.Key); found != nil || err != nil {
			return found, err
		}
	}
	return nil, nil
}

// fitsBelow tells whether a layer may lie between a ground and what is wanted over that.
func fitsBelow(m layer.Manifest, ground string, wanted []string) bool {
	return m.Over == ground && m.Below == "" && m.Plain &&
		len(m.Files) >= worthwhile && 2*len(m.Files) >= len(wanted) &&
		len(without(m.Files, wanted)) == 0
}

// scripts is what counts of packages' maintainer scripts when they are to be run in another order.
type scripts struct {
	plain bool // none makes accounts or secrets, or appends to a list
	// names in update-alternatives(1): of two with the same priority the first one stays
	alternatives []string
}

var (
	// telling are the words of scripts whose result depends on what ran before: accounts get the
	// next free id; secrets differ each time; registries and catalogues are in the order of their
	// making.
	telling = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(
			`\b(adduser|addgroup|useradd|groupadd|usermod|groupmod|userdel|groupdel|deluser|` +
				`delgroup|chpasswd|gpasswd|newusers|update-passwd|pwconv|grpconv|` +
				`systemd-sysusers|sysusers|openssl|ssh-keygen|make-ssl-cert|gpg|gpg2|keygen|` +
				`uuidgen|dbus-uuidgen|machine-id|systemd-machine-id-setup|urandom|RANDOM|` +
				`mcookie|pwgen|certtool|certutil|` +
				`snakeoil|dpkg-divert|update-catalog|update-xmlcatalog|ucf|ucfr|update-rc\.d|` +
				`insserv)\b|/etc/(passwd|group|shadow|gshadow)\b|dpkg-statoverride.*--(add|` +
				`update)`)
	})
	alternative = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`--install\s+(\S+)\s+(\S+)`)
	})
	comment = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`(?m)^[ \t]*#.*$`)
	})
)

// readScripts looks at the maintainer scripts of the chosen packages that run when they are
// installed.
func readScripts(wanted []apt.Wanted, files install.Fetched, chosen func(name string) bool) (
	scripts, error) {
	s := scripts{plain: true}
	for _, w := range wanted {
		if !chosen(w.Name + " " + w.Hash) {
			continue
		}
		if err := s.read(files.File(w.URL)); err != nil {
			return s, fmt.Errorf("reading the maintainer scripts of %s: %w", w.Name, err)
		}
	}
	return s, nil
}

func (s *scripts) read(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := deb.NewReader(f, deb.Limits{})
	if err != nil {
		return err
	}
	defer r.Close()
	for _, name := range []string{"preinst", "config", "postinst"} {
		if c := r.ControlFile(name); c != nil {
			s.script(c.Body)
		}
	}
	return nil
}

func (s *scripts) script(text []byte) {
	if !bytes.HasPrefix(text, []byte("#!")) {
		s.plain = false // a program
		return
	}
	text = comment().ReplaceAll(text, nil)
	text = bytes.ReplaceAll(text, []byte("\\\n"), []byte(" "))
	if telling().Match(text) {
		s.plain = false
	}
	if !bytes.Contains(text, []byte("update-alternatives")) {
		return
	}
	for _, m := range alternative().FindAllSubmatch(text, -1) {
		name := strings.Trim(string(m[2]), `"'`)
		if strings.ContainsAny(name, "$`") {
			s.plain = false
		}
		s.alternatives = append(s.alternatives, name)
	}
}
