package repro

import (
	"context"
	"path/filepath"
	"slices"
	"strings"

	"nsbuild/internal/compared"
	"nsbuild/internal/debcompare"
	"nsbuild/internal/pkgbuild"
)

// File is a result of the builds.
type File struct {
	Name        string                `json:"name"`
	State       string                `json:"state"` // same, differs, missing, added
	Differences []compared.Difference `json:"differences,omitempty"`
	Note        string                `json:"note,omitempty"` // why there are none
}

// results are the files that have to be the same: a .buildinfo says where it was made, and a
// .changes has its hash.
func results(o *pkgbuild.Outcome) map[string]string {
	files := map[string]string{}
	for _, file := range o.Artefacts {
		if ext := filepath.Ext(file); ext != ".changes" && ext != ".buildinfo" {
			files[filepath.Base(file)] = file
		}
	}
	return files
}

// compare compares what two builds have made.
func compare(ctx context.Context, was, is *pkgbuild.Outcome) (all []File, err error) {
	a, b := results(was), results(is)
	for name, file := range a {
		f := File{Name: name, State: compared.StateMissing}
		if other, ok := b[name]; ok {
			if err := f.compare(ctx, file, other); err != nil {
				return nil, err
			}
		}
		all = append(all, f)
	}
	for name := range b {
		if _, ok := a[name]; !ok {
			all = append(all, File{Name: name, State: compared.StateAdded})
		}
	}
	slices.SortFunc(all, func(x, y File) int { return strings.Compare(x.Name, y.Name) })
	return all, nil
}

// compare says in what a file differs.
func (f *File) compare(ctx context.Context, was, is string) error {
	same, err := debcompare.SameBytes(was, is)
	if err != nil {
		return err
	}
	if f.State = compared.StateSame; same {
		return nil
	}
	f.State = compared.StateDiffers
	if !strings.HasSuffix(f.Name, ".deb") && !strings.HasSuffix(f.Name, ".udeb") {
		f.Note = "it is no package"
		return nil
	}
	f.Differences, f.Note, err = debcompare.Explain(ctx, was, is)
	return err
}

// different are the files that are not the same.
func different(all []File) []File {
	return slices.DeleteFunc(slices.Clone(all), func(f File) bool {
		return f.State == compared.StateSame
	})
}

// place is where a difference is, and of what sort.
func place(file string, d compared.Difference) string {
	return strings.Join([]string{file, d.In, d.Path, d.What}, "\x00")
}

// places are those of all differences. A file of which no more is known is one.
func places(all []File) map[string]bool {
	set := map[string]bool{}
	for _, f := range different(all) {
		if len(f.Differences) == 0 {
			set[f.Name] = true
		}
		for _, d := range f.Differences {
			set[place(f.Name, d)] = true
		}
	}
	return set
}

// beyond is what differs at other places than these.
func beyond(all []File, own map[string]bool) (left []File) {
	for _, f := range different(all) {
		if len(f.Differences) == 0 {
			if !own[f.Name] {
				left = append(left, f)
			}
			continue
		}
		f.Differences = slices.DeleteFunc(slices.Clone(f.Differences),
			func(d compared.Difference) bool { return own[place(f.Name, d)] })
		if len(f.Differences) > 0 {
			left = append(left, f)
		}
	}
	return left
}
