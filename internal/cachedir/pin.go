package cachedir

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nsbuild/internal/archive/cache"
	"nsbuild/internal/archive/hashes"
	"nsbuild/internal/fault"
	"nsbuild/internal/plan"
	"nsbuild/internal/result"
)

// pins are those of the cache. One that is damaged is told.
func (d *Dir) pins() (*cache.Keepers, error) {
	pins, err := d.Files.Keepers()
	if err != nil {
		return nil, err
	}
	for _, p := range pins.Damaged {
		d.Log.Warnf("the pin %s is damaged (%v), so no package and no source is deleted; "+
			"nsbuild cache unpin %s takes it away", p.Name, p.Damaged, p.Name)
	}
	return pins, nil
}

// pinned tells whether an item stays, whatever is cleaned.
func (i Item) pinned(pins *cache.Keepers) bool {
	return i.Kind != kindLayers && pins.Keep(i.file)
}

func pinnedBytes(items []Item, pins *cache.Keepers) (total int64) {
	for _, i := range items {
		if i.pinned(pins) {
			total += i.Size
		}
	}
	return total
}

// Pinned are how many files are pinned, and how many bytes they take.
func (d *Dir) Pinned(ctx context.Context) (files int, bytes int64, err error) {
	items, err := d.Items(ctx)
	if err != nil {
		return 0, 0, err
	}
	pins, err := d.Files.Keepers()
	if err != nil {
		return 0, 0, err
	}
	for _, i := range items {
		if i.pinned(pins) {
			files++
			bytes += i.Size
		}
	}
	return files, bytes, nil
}

// PinsOf are the pins of what a file refers to: a plan or a lock (NAME.plan.json), or the result of
// one build or of several.
func PinsOf(file string) ([]*cache.Pin, error) {
	from, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(file, plan.Suffix) {
		p, err := plan.Read(file)
		if err != nil {
			return nil, err
		}
		return []*cache.Pin{pinOfPlan(p, from)}, nil
	}
	all, err := result.ReadAll(file)
	if err != nil {
		return nil, fault.Wrap(fault.Usage,
			"name a plan, a lock, or a file that the --result of nsbuild build has written", err)
	}
	var pins []*cache.Pin
	for _, r := range all {
		p, err := PinOfResult(r, from)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		pins = append(pins, p)
	}
	return pins, nil
}

func pinOfPlan(p *plan.Plan, from string) *cache.Pin {
	var files []cache.Pinned
	if p.Source.Dir == "" && p.Source.Text != "" { // else it was not fetched
		files = append(files, cache.Pinned{Kind: cache.Sources, Name: p.Source.DSC,
			Size: int64(len(p.Source.Text)), SHA256: hashes.SHA256([]byte(p.Source.Text))})
		for _, f := range p.Source.Files {
			files = append(files, cache.Pinned{Kind: cache.Sources, Name: f.Name, Size: f.Size,
				SHA256: f.SHA256})
		}
	}
	for _, k := range slices.Concat(p.Base.Packages, p.Dependencies.Packages) {
		files = append(files, cache.Pinned{Kind: cache.Debs, Name: k.Name + " " + k.Version,
			Size: k.Size, SHA256: k.SHA256})
	}
	return pinOf(p.Source.Name, p.Source.Version, p.Target.Distribution, p.Target.HostArch, from,
		files)
}

// PinOfResult is the pin of what a build was made from.
func PinOfResult(r *result.Result, from string) (*cache.Pin, error) {
	var files []cache.Pinned
	if s := r.Source; s.DSC != nil && (strings.Contains(s.From, "://") ||
		!strings.HasSuffix(s.From, ".dsc")) { // else it was not fetched
		for _, f := range append([]result.Hashed{*s.DSC}, s.Files...) {
			files = append(files, cache.Pinned{Kind: cache.Sources, Name: f.Name, Size: f.Size,
				SHA256: f.SHA256})
		}
	}
	for _, k := range slices.Concat(r.Inputs.Base.Packages, r.Inputs.Dependencies) {
		if k.SHA256 == "" {
			return nil, fault.New(fault.Internal, "build it again, and pin that",
				"nobody knows any more which file %s %s was installed from", k.Name, k.Version)
		}
		files = append(files, cache.Pinned{Kind: cache.Debs, Name: k.Name + " " + k.Version,
			Size: k.Size, SHA256: k.SHA256})
	}
	if len(r.Inputs.Base.Packages) == 0 {
		return nil, errors.New("the build did not come so far that it has packages")
	}
	return pinOf(r.Source.Name, r.Source.Version, r.Target.Distribution, r.Target.HostArch, from,
		files), nil
}

func pinOf(source, version, suite, arch, from string, files []cache.Pinned) *cache.Pin {
	_, plain, ok := strings.Cut(version, ":") // as names of files have it
	if !ok {
		plain = version
	}
	return &cache.Pin{Name: cache.PinName(source+"_"+plain+"_"+suite+"_"+arch, files),
		What: source + " " + version + ", " + suite + " " + arch, From: from,
		Made: time.Now().UTC().Truncate(time.Second), Files: files}
}
