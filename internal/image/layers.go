package image

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"nsbuild/internal/fault"
)

// The files that tell a container image from a tree: the OCI Image Layout Specification's, and what
// "docker save" writes.
const (
	ociLayout      = "oci-layout"
	ociIndex       = "index.json"
	dockerManifest = "manifest.json"
)

// whiteoutPrefix begins the names by which a layer deletes (OCI Image Layer Filesystem Changeset
// Specification, "Whiteouts").
const (
	whiteoutPrefix = ".wh."
	opaqueName     = ".wh..wh..opq"
)

// whiteout deletes what an entry of a layer says. What the same layer has made stays.
func (u *unpacker) whiteout(p string) (bool, error) {
	dir, base := path.Split(p)
	if !strings.HasPrefix(base, whiteoutPrefix) {
		return false, nil
	}
	if base != opaqueName {
		hidden := path.Join(dir, strings.TrimPrefix(base, whiteoutPrefix))
		if u.own[hidden] || path.Dir(hidden) != path.Clean(dir) {
			return true, nil
		}
		return true, u.clear(hidden)
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return true, err
	}
	for _, e := range entries {
		if name := path.Join(dir, e.Name()); !u.own[name] {
			if err := u.clear(name); err != nil {
				return true, err
			}
		}
	}
	return true, nil
}

// descriptor is an OCI content descriptor.
type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Platform  *struct {
		Architecture string `json:"architecture"`
		OS           string `json:"os"`
	} `json:"platform"`
}

// imageDir is an unpacked container image. Its files are opened beneath it.
type imageDir struct {
	root *os.Root
	arch string // as Go, and so OCI, names it
}

// layers finds the image's layers, lowest first, as files of the directory.
func (d *imageDir) layers() ([]string, error) {
	if _, err := d.root.Stat(ociLayout); err == nil {
		var index struct {
			Manifests []descriptor `json:"manifests"`
		}
		if err := d.json(ociIndex, &index); err != nil {
			return nil, err
		}
		return d.choose(index.Manifests, 0)
	}
	var images []struct {
		RepoTags []string
		Layers   []string
	}
	if err := d.json(dockerManifest, &images); err != nil {
		return nil, err
	}
	if len(images) != 1 {
		return nil,
			fmt.Errorf("the archive has %d images; a base is made of one: save that one alone",
				len(images))
	}
	return images[0].Layers, nil
}

// choose takes the one manifest, or the one for this architecture.
func (d *imageDir) choose(manifests []descriptor, depth int) ([]string, error) {
	var fit []descriptor
	var others []string
	for _, m := range manifests {
		if m.Platform != nil && (m.Platform.OS != "linux" || m.Platform.Architecture != d.arch) {
			others = append(others, m.Platform.OS+"/"+m.Platform.Architecture)
			continue
		}
		fit = append(fit, m)
	}
	switch {
	case len(fit) == 0:
		return nil, fmt.Errorf("the image is not for linux/%s but for %s", d.arch,
			strings.Join(others, ", "))
	case len(fit) > 1:
		return nil,
			fmt.Errorf("the archive has %d images for linux/%s; a base is made of one: save that "+
				"one alone", len(fit), d.arch)
	case depth > 3:
		return nil, errors.New("the image's indices are nested too deeply")
	}
	name, err := d.blob(fit[0].Digest)
	if err != nil {
		return nil, err
	}
	var manifest struct {
		Manifests []descriptor `json:"manifests"`
		Layers    []descriptor `json:"layers"`
	}
	if err := d.json(name, &manifest); err != nil {
		return nil, err
	}
	if len(manifest.Manifests) > 0 {
		return d.choose(manifest.Manifests, depth+1)
	}
	var names []string
	for _, l := range manifest.Layers {
		name, err := d.blob(l.Digest)
		if err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, nil
}

// blob is the file of a digest, once its content has been compared with it.
func (d *imageDir) blob(digest string) (string, error) {
	sum, ok := strings.CutPrefix(digest, "sha256:")
	if raw, err := hex.DecodeString(sum); !ok || err != nil || len(raw) != sha256.Size {
		return "", fmt.Errorf("the image has a digest %q that is not understood", digest)
	}
	name := "blobs/sha256/" + sum
	f, err := d.root.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != sum {
		return "", fmt.Errorf("the image is damaged: %s has the digest %s", name, got)
	}
	return name, nil
}

func (d *imageDir) json(name string, into any) error {
	f, err := d.root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	const most = 16 << 20
	if err := json.NewDecoder(io.LimitReader(f, most)).Decode(into); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// unpackLayers unpacks the layers one over the other, into the root directory of this process.
func (d *imageDir) unpackLayers(names []string) (Notes, error) {
	u := newUnpacker()
	u.layer = true
	for _, name := range names {
		if err := d.layer(u, name); err != nil {
			return u.notes, fmt.Errorf("layer %s: %w", name, err)
		}
	}
	if u.entries == 0 {
		return u.notes, fault.New(fault.Usage, "", "the image has no files")
	}
	return u.notes, u.finish()
}

func (d *imageDir) layer(u *unpacker, name string) error {
	f, err := d.root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := decompress(f)
	if err != nil {
		return err
	}
	return errors.Join(u.archive(r), r.Close())
}
