package rebuild

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"nsbuild/internal/archive/index"
	"nsbuild/internal/bases"
	"nsbuild/internal/compared"
	"nsbuild/internal/debcompare"
	"nsbuild/internal/regular"
)

// compare compares what was built with what the .buildinfo lists.
func (w *run) compare(ctx context.Context) error {
	built := map[string]string{}
	for _, file := range w.report.Build.Artefacts {
		if ext := filepath.Ext(file); ext != ".changes" && ext != ".buildinfo" {
			built[filepath.Base(file)] = file
		}
	}
	if w.Build.Output != "" {
		w.report.Output = w.Build.Output
	}
	results, left := w.info.Results()
	for _, name := range left {
		w.note("%s belongs to the source package, which is not built again", name)
	}
	var differ []*File
	for _, want := range results {
		f := File{Name: want.Name, State: compared.StateMissing, Was: want.SHA256,
			WasSize: want.Size}
		if file, ok := built[want.Name]; ok {
			delete(built, want.Name)
			sum, size, err := regular.SHA256(file)
			if err != nil {
				return err
			}
			f.Is, f.IsSize, f.State = sum, size, compared.StateSame
			if sum != want.SHA256 || size != want.Size {
				f.State = compared.StateDiffers
			}
		}
		w.report.Files = append(w.report.Files, f)
	}
	for name, file := range built {
		sum, size, err := regular.SHA256(file)
		if err != nil {
			return err
		}
		w.report.Files = append(w.report.Files, File{Name: name,
			State: compared.StateAdded, Is: sum, IsSize: size})
	}
	slices.SortFunc(w.report.Files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	for i := range w.report.Files {
		if f := &w.report.Files[i]; f.State == compared.StateDiffers {
			differ = append(differ, f)
		}
	}
	return w.explain(ctx, differ)
}

// explain says in what files differ, where the first build's can be had.
func (w *run) explain(ctx context.Context, differ []*File) error {
	for _, f := range differ {
		was, why, err := w.original(ctx, f)
		if err != nil {
			return err
		}
		if was == "" {
			f.Note = why
			continue
		}
		is := ""
		for _, file := range w.report.Build.Artefacts {
			if filepath.Base(file) == f.Name {
				is = file
			}
		}
		f.WasFile, f.IsFile = was, is
		if f.Differences, f.Note, err = debcompare.Explain(ctx, was, is); err != nil {
			return err
		}
	}
	return nil
}

// original is the file that the first build has made, or why it cannot be had.
func (w *run) original(ctx context.Context, f *File) (file, why string, err error) {
	if !strings.HasSuffix(f.Name, ".deb") && !strings.HasSuffix(f.Name, ".udeb") {
		return "", "it is no package", nil
	}
	if w.Against == Archive {
		return w.fromArchive(ctx, f)
	}
	dir := w.Against
	if dir == "" {
		dir = filepath.Dir(w.File)
	}
	file = filepath.Join(dir, f.Name)
	sum, _, err := regular.SHA256(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", "what differs is not known: the first build's file is not in " + dir, nil
	case err != nil:
		return "", err.Error(), nil //nolint:nilerr // told as the reason: other files are compared
	case sum != f.Was:
		return "", "what differs is not known: " + file + " is not what the .buildinfo lists", nil
	}
	return file, "", nil
}

// fromArchive has a package that a suite offers.
func (w *run) fromArchive(ctx context.Context, f *File) (file, why string, err error) {
	name, _, _ := strings.Cut(f.Name, "_")
	repos, err := w.find.suiteRepos(bases.Options{Suite: w.suite, Arch: w.info.BuildArch,
		Mirror: w.Build.Mirror})
	if err != nil {
		return "", "", err
	}
	opened, _ := w.find.open(ctx, repos)
	for _, r := range opened {
		var found *index.Package
		for _, c := range r.Components() {
			err := w.env.Client.PackagesCalled(ctx, r, c, w.info.BuildArch,
				map[string]bool{name: true}, func(p *index.Package) error {
					if p.Package == name && p.Hashes.SHA256 == f.Was {
						found = p
					}
					return nil
				})
			w.find.noteFailed(err)
		}
		if found == nil {
			continue
		}
		debs, err := w.env.Client.Debs(ctx, []*index.Package{found})
		if err != nil {
			return "", err.Error(), nil //nolint:nilerr // told as the reason: others are compared
		}
		return debs[found], "", nil
	}
	return "", "what differs is not known: no suite has the file that the .buildinfo lists", nil
}
