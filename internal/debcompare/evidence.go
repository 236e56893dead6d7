package debcompare

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nsbuild/internal/buildlog"
	"nsbuild/internal/compared"
	"nsbuild/internal/regular"
	"nsbuild/internal/result"
)

// Bounds of what is looked into beside packages.
const (
	maxLog     = 1 << 30 // bytes of a log
	maxLogs    = 20
	maxResults = 50       // files
	maxResult  = 64 << 20 // bytes of one
)

// found is what logs and results beside a set of packages say.
type found struct {
	logs, results []string // their names
	noted         buildlog.Noted
	versions      []string // of the packages and their source, without epochs, the longest first
	err           error
}

// evidence compares what the builds of two sets were told.
func evidence(a, b []Package) (lintian, warnings *compared.Findings) {
	x, y := lookBeside(a), lookBeside(b)
	lintian, warnings = &compared.Findings{}, &compared.Findings{}
	for _, s := range []struct {
		which string
		of    *found
	}{{"first", x}, {"second", y}} {
		note := func(f *compared.Findings, text string) {
			f.Note = strings.TrimPrefix(f.Note+"; "+text, "; ")
		}
		switch {
		case s.of.err != nil:
			note(lintian, s.of.err.Error())
			note(warnings, s.of.err.Error())
			continue
		case len(s.of.logs) == 0:
			note(warnings, "no log of a build beside the "+s.which+" packages")
		}
		if !s.of.noted.Linted {
			note(lintian, "no output of lintian beside the "+s.which+" packages")
		}
	}
	if len(x.logs)+len(y.logs) == 0 && x.err == nil && y.err == nil {
		warnings.Note = "no log of a build beside the packages"
	}
	if !x.noted.Linted && !y.noted.Linted && x.err == nil && y.err == nil {
		lintian.Note = "no output of lintian beside the packages"
	}
	if lintian.Note == "" {
		fill(lintian, x, y, x.noted.Tags, y.noted.Tags)
	}
	if warnings.Note == "" {
		fill(warnings, x, y, x.noted.Warnings, y.noted.Warnings)
	}
	return lintian, warnings
}

// Lint notes what lintian says of two sets now: the tags of each, and whose lintian it was.
func Lint(c *compared.Comparison, a, b []Package, was, is []string, by string) {
	x, y := &found{}, &found{}
	x.noteVersions(a)
	y.noteVersions(b)
	c.Lintian = &compared.Findings{By: by}
	fill(c.Lintian, x, y, was, is)
}

func fill(f *compared.Findings, x, y *found, was, is []string) {
	f.Was, f.Is = x.names(), y.names()
	gained, lost := onlyNew(x.unversioned(was), y.unversioned(is))
	f.Gained, f.GainedMore = compared.Bound(gained)
	f.Lost, f.LostMore = compared.Bound(lost)
}

// unversioned are lines without the version in names of files of the packages.
func (f *found) unversioned(all []string) (out []string) {
	for _, l := range all {
		for _, v := range f.versions {
			l = strings.ReplaceAll(l, "_"+v, "_VERSION")
		}
		out = append(out, l)
	}
	return out
}

// names are those of what was read.
func (f *found) names() []string { return slices.Concat(f.logs, f.results) }

// lookBeside looks for logs and results of the builds of packages, beside these.
func lookBeside(packages []Package) *found {
	f := &found{}
	stems := f.noteVersions(packages)
	for _, dir := range slices.Sorted(maps.Keys(stems)) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			f.err = err
			return f
		}
		f.inDir(dir, entries, stems[dir])
	}
	return f
}

// noteVersions notes the versions of packages. It returns how the files of their builds may be
// called, by directory.
func (f *found) noteVersions(packages []Package) map[string]map[string]bool {
	stems := map[string]map[string]bool{}
	for _, p := range packages {
		dir := filepath.Dir(p.File)
		if stems[dir] == nil {
			stems[dir] = map[string]bool{}
		}
		stems[dir][p.source] = true
		name, _, _ := strings.Cut(p.source, "_")
		version := p.Version
		if _, without, ok := strings.Cut(version, ":"); ok {
			version = without
		}
		stems[dir][name+"_"+version] = true
	}
	for _, of := range stems {
		for stem := range of {
			_, v, _ := strings.Cut(stem, "_")
			if v != "" && !slices.Contains(f.versions, v) {
				f.versions = append(f.versions, v)
			}
		}
	}
	slices.SortFunc(f.versions, func(a, b string) int {
		return cmp.Or(len(b)-len(a), strings.Compare(a, b))
	})
	return stems
}

func (f *found) inDir(dir string, entries []os.DirEntry, stems map[string]bool) {
	results := 0
	logs := map[string]string{} // by what they are of
	for _, e := range entries { // in the order of their names
		name := e.Name()
		i := strings.LastIndexByte(name, '_')
		if filepath.Ext(name) != ".build" || i <= 0 || !stems[name[:i]] {
			continue
		}
		of := undated(name)
		if have := logs[of]; have != of { // the link to the newest, or the last of them
			logs[of] = name
		}
	}
	for _, of := range slices.Sorted(maps.Keys(logs)) {
		if len(f.logs) < maxLogs && f.err == nil {
			f.err = f.log(filepath.Join(dir, logs[of]))
		}
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".json" || results >= maxResults || f.noted.Linted {
			continue
		}
		results++
		path := filepath.Join(dir, e.Name())
		if st, err := os.Stat(path); err == nil && st.Size() <= maxResult {
			f.result(path, stems)
		}
	}
}

// undated is the name of a log without its time: that of the link to the newest.
func undated(name string) string {
	const stamp = "-2006-01-02T15:04:05Z"
	stem := strings.TrimSuffix(name, ".build")
	if at := len(stem) - len(stamp); at > 0 {
		if _, err := time.Parse(stamp, stem[at:]); err == nil {
			return stem[:at] + ".build"
		}
	}
	return name
}

// log reads a log.
func (f *found) log(path string) error {
	in, err := regular.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	n, err := buildlog.Note(io.LimitReader(in, maxLog))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	f.logs = append(f.logs, path)
	f.noted.Linted = f.noted.Linted || n.Linted
	f.noted.Tags = append(f.noted.Tags, n.Tags...)
	f.noted.Warnings = append(f.noted.Warnings, n.Warnings...)
	return nil
}

// result takes lintian's tags from a result, of which there are not more there than a screen has.
// What is no result of these packages is left alone.
func (f *found) result(path string, stems map[string]bool) {
	all, err := result.ReadAll(path)
	if err != nil {
		return
	}
	for _, r := range all {
		version := r.Source.Version
		if _, without, ok := strings.Cut(version, ":"); ok {
			version = without
		}
		if !stems[r.Source.Name+"_"+version] {
			continue
		}
		i := slices.IndexFunc(r.Checks, func(c result.Check) bool { return c.Name == "lintian" })
		if i < 0 {
			continue
		}
		f.noted.Linted = true
		f.results = append(f.results, path)
		for _, t := range r.Checks[i].Findings {
			if strings.HasPrefix(t, "…") {
				f.err = fmt.Errorf("%s has not all tags of lintian, and there is no log", path)
				return
			}
			f.noted.Tags = append(f.noted.Tags, buildlog.TagLine(t))
		}
	}
}
