// Package rebuild does a build again that a .buildinfo describes, and says whether the same came
// out of it: over a root of just the packages that the build had, at its path, in its environment.
//
// It finds source and packages: in the cache, in the suites of the mirror, in a snapshot, in
// repositories that the user names. What is not found is named, all of it: then nothing can be
// decided. How a build is done is internal/pkgbuild's, how packages are compared
// internal/debcompare's.
package rebuild

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"nsbuild/internal/archive/suites"
	"nsbuild/internal/base"
	"nsbuild/internal/bases"
	"nsbuild/internal/buildinfo"
	"nsbuild/internal/compared"
	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
	"nsbuild/internal/machine"
	"nsbuild/internal/pkgbuild"
	"nsbuild/internal/source"
)

// Request is what is to be done again.
type Request struct {
	File     string   // the .buildinfo
	Against  string   // directory with the packages of the first build, or Archive; "": its own
	Snapshot string   // URL of a snapshot; "": none
	Source   string   // the .dsc, or its directory; "": it is looked for
	Lock     string   // a plan or a result that says digests; "": that beside File, if there is one
	Keyrings []string // of whoever signed the .buildinfo, besides the host's
	// Build says where results go and what the build may take; what is built is said by File
	Build pkgbuild.Request
}

// Archive stands for the suites in place of a directory.
const Archive = "archive"

// Schema is the number of the format of a report in JSON.
const Schema = 1

// Report is what was found out, and how.
type Report struct {
	Schema    int              `json:"schema"`
	Program   string           `json:"program"`
	Buildinfo string           `json:"buildinfo"`
	Source    string           `json:"source"`
	Version   string           `json:"version"` // of the packages
	Signature string           `json:"signature"`
	Verdict   compared.Verdict `json:"verdict"`
	Missing   []Missing        `json:"missing,omitempty"`
	From      string           `json:"source_from,omitempty"`
	Packages  []Used           `json:"packages,omitempty"` // of the root
	Files     []File           `json:"files,omitempty"`
	Notes     []string         `json:"notes,omitempty"`
	Output    string           `json:"output,omitempty"` // where the packages are that were built
	RootTime  float64          `json:"root_seconds,omitempty"`
	BuildTime float64          `json:"build_seconds,omitempty"`
	Escaped   []string         `json:"escaped,omitempty"`
	// Build is the build itself; nil: there was none
	Build *pkgbuild.Outcome `json:"-"`
	Suite string            `json:"-"` // of the root
}

// Used is a package of the root.
type Used struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Arch    string `json:"arch"`
	SHA256  string `json:"sha256"`
	From    string `json:"from"`              // "cache", or the suite
	Release string `json:"release,omitempty"` // SHA-256 of its Release file's signed text
}

// File is a result of the build.
type File struct {
	Name        string                `json:"name"`
	State       string                `json:"state"` // same, differs, missing, added
	Was         string                `json:"was,omitempty"`
	Is          string                `json:"is,omitempty"` // SHA-256
	WasSize     int64                 `json:"was_size,omitempty"`
	IsSize      int64                 `json:"is_size,omitempty"`
	Differences []compared.Difference `json:"differences,omitempty"`
	Note        string                `json:"note,omitempty"` // why there are none
	WasFile     string                `json:"-"`              // if it differs and can be had
	IsFile      string                `json:"-"`
}

// run is one rebuild under way.
type run struct {
	Request
	env    *pkgbuild.Env
	info   *buildinfo.Build
	find   *finder
	suite  suites.Suite
	source *sourceOf
	root   *base.Generation // in use; nil: there is none yet
	report *Report
}

// Run does a build again. Whatever the error, the report says how far it came.
func Run(ctx context.Context, env *pkgbuild.Env, r Request) (*Report, error) {
	w := &run{Request: r, env: env, report: &Report{Schema: Schema, Program: env.Program,
		Buildinfo: r.File, Verdict: compared.Undecided}}
	err := w.run(ctx)
	if w.find != nil {
		w.report.Notes = append(w.find.notes, w.report.Notes...)
	}
	return w.report, env.Work.Hide(fault.Interruption(ctx, err))
}

func (w *run) run(ctx context.Context) (err error) {
	if err := w.check(); err != nil {
		return err
	}
	if w.info, err = buildinfo.Read(w.File, w.keyrings()); err != nil {
		return err
	}
	w.report.Source, w.report.Version = w.info.Source, w.info.Version.String()
	w.report.Signature = w.info.Signature.String()
	w.env.Log.WithField(pkgbuild.LogPlain, true).Infof("%s %s · %s", w.info.Source,
		w.info.Version, w.info.Signature)
	if len(w.info.BuildTainted) > 0 {
		w.note("the build was tainted: %s", strings.Join(w.info.BuildTainted, ", "))
	}
	w.find = &finder{env: w.env, arch: w.info.BuildArch}
	if err := w.chooseSuite(); err != nil {
		return err
	}
	if err := w.search(ctx); err != nil {
		return err
	}
	if len(w.report.Missing) > 0 {
		return w.undecided()
	}
	defer w.dropRoot(ctx)
	if err := w.makeRoot(ctx); err != nil {
		return fault.Wrap(fault.GivenBack, "", err)
	}
	return w.buildIn(ctx, w.root.Name)
}

func (w *run) note(format string, args ...any) {
	w.report.Notes = append(w.report.Notes, fmt.Sprintf(format, args...))
}

// check refuses what cannot be done as it is asked for.
func (w *run) check() error {
	if !strings.HasSuffix(w.File, ".buildinfo") {
		return fault.New(fault.Usage, "give the path of a .buildinfo", "%s is no .buildinfo",
			w.File)
	}
	if w.Against == "" || w.Against == Archive {
		return nil
	}
	st, err := os.Stat(w.Against)
	if err == nil && !st.IsDir() {
		err = fmt.Errorf("%s is no directory", w.Against)
	}
	return fault.Wrap(fault.Usage, "give a directory with the packages, or "+Archive, err)
}

// keyrings are those in which whoever signed a .buildinfo is looked up.
func (w *run) keyrings() dsc.Keyrings {
	home, err := os.UserHomeDir()
	if err != nil {
		home = "" // without a home there are none of the caller's
	}
	return append(dsc.Keyrings(w.Keyrings), dsc.HostKeyrings("/", home)...)
}

// chooseSuite finds the suite that the root is like: the one that was asked for, else the one whose
// base-files was there.
func (w *run) chooseSuite() (err error) {
	name := w.Build.Suite
	if name == "" {
		for _, p := range w.info.Packages {
			if p.Name == "base-files" {
				name = w.suiteOf(p.Version)
			}
		}
	}
	if name == "" {
		return fault.New(fault.GivenBack, "say which with --dist",
			"%s does not tell the suite that it was built in: no base-files of Debian's", w.File)
	}
	w.suite, err = w.env.Suites.Lookup(name)
	w.report.Suite = w.suite.Name
	return err
}

// suiteOf is the suite of a version of base-files: in Debian its first number is the release's.
func (w *run) suiteOf(version string) string {
	number, _, _ := strings.Cut(version, ".")
	number, _, _ = strings.Cut(number, "+")
	if strings.Contains(version, "ubuntu") || number == "" ||
		strings.Trim(number, "0123456789") != "" {
		return ""
	}
	if s, err := w.env.Suites.Lookup("debian:" + number); err == nil {
		return s.Name
	}
	return "sid"
}

// search finds the source and the packages, or names what is missing.
func (w *run) search(ctx context.Context) error {
	ph := w.env.Progress.Phase("packages of the build")
	defer w.env.Meter.During(ph)()
	err := w.searchAll(ctx)
	ph.Done(err)
	return err
}

func (w *run) searchAll(ctx context.Context) error {
	missing := func(kind, name, why string) {
		w.report.Missing = append(w.report.Missing, Missing{Kind: kind, Name: name, Why: why})
	}
	if _, err := machine.Find(w.info.BuildArch); err != nil {
		missing("architecture", w.info.BuildArch, err.Error())
	}
	if w.info.HostArch != w.info.BuildArch {
		missing("architecture", w.info.HostArch, "cross builds are not done again")
	}
	if len(w.report.Missing) > 0 { // whatever is found, nothing can be built here
		return nil
	}
	for _, p := range w.info.Packages {
		if p.Arch != "" && p.Arch != "all" {
			w.report.Missing = append(w.report.Missing, Missing{Kind: "package",
				Name: p.Name + ":" + p.Arch, Version: p.Version,
				Why: "it is of a foreign architecture"})
			continue
		}
		w.find.want = append(w.find.want, &wanted{Package: p})
	}
	if err := w.takeLock(); err != nil {
		return err
	}
	if err := w.look(ctx); err != nil {
		return err
	}
	if w.source == nil {
		w.report.Missing = append(w.report.Missing, Missing{Kind: "source", Name: w.info.Source,
			Version: w.info.SourceVersion.String()})
	}
	w.report.Missing = append(w.report.Missing, w.find.tell()...)
	return nil
}

// look goes through the places, the nearest first, until nothing is missing.
func (w *run) look(ctx context.Context) (err error) {
	if w.source, err = w.sourceGiven(); err != nil {
		return err
	}
	if w.source == nil {
		if w.source, err = w.sourceCached(ctx); err != nil {
			return err
		}
	}
	if err := w.find.inCache(ctx); err != nil {
		return err
	}
	if err := w.wantFakeroot(ctx); err != nil {
		return err
	}
	if w.source != nil && len(w.find.missing()) == 0 {
		return w.checkHash(w.source)
	}
	repos, err := w.find.suiteRepos(bases.Options{Suite: w.suite, Arch: w.info.BuildArch,
		Mirror: w.Build.Mirror})
	if err != nil {
		return err
	}
	releases, _ := w.find.open(ctx, repos)
	if err := w.find.inSuites(ctx, releases); err != nil {
		return err
	}
	if err := w.lookSource(ctx); err != nil {
		return err
	}
	if err := w.lookExtra(ctx); err != nil {
		return err
	}
	if err := w.lookSnapshot(ctx); err != nil {
		return err
	}
	if w.source != nil {
		return w.checkHash(w.source)
	}
	return nil
}

// lookSource looks for the source in the suites that are open.
func (w *run) lookSource(ctx context.Context) (err error) {
	if w.source == nil {
		w.source, err = w.sourceIn(ctx, w.find.releases)
	}
	if err != nil || w.source == nil {
		return err
	}
	before := len(w.find.want)
	if err := w.wantFakeroot(ctx); err != nil || len(w.find.want) == before {
		return err
	}
	// what is wanted only now was not among what the suites were asked for
	return w.find.inSuites(ctx, w.find.releases)
}

// lookExtra looks in the repositories that the user names.
func (w *run) lookExtra(ctx context.Context) error {
	a := &w.Build.Additions
	if w.source != nil && len(w.find.missing()) == 0 {
		return nil
	}
	keyrings := append([]string{}, w.suite.Keyrings...)
	for _, file := range a.RepositoryKeys {
		file, err := filepath.Abs(file)
		if err != nil {
			return err
		}
		keyrings = append(keyrings, file)
	}
	for _, text := range a.Repositories {
		repos, err := w.env.Host.ExtraRepos(text, w.info.BuildArch, keyrings)
		if err != nil {
			return err
		}
		for _, repo := range repos {
			r, err := w.env.Client.Release(ctx, repo.Repo)
			if err != nil {
				return fault.Wrap(fault.GivenBack, "", err)
			}
			w.find.releases = append(w.find.releases, r)
			if err := w.find.inSuites(ctx, w.find.releases[len(w.find.releases)-1:]); err != nil {
				return err
			}
		}
	}
	return w.lookSource(ctx)
}

// lookSnapshot looks in the snapshot that the user names.
func (w *run) lookSnapshot(ctx context.Context) error {
	if w.Snapshot == "" || w.source != nil && len(w.find.missing()) == 0 {
		return nil
	}
	s, err := openSnapshot(w.Snapshot, w.suite)
	if err != nil {
		return err
	}
	w.find.sourceMissing = w.source == nil
	if err := w.find.inSnapshot(ctx, s, w.info.Date); err != nil {
		return err
	}
	return w.lookSource(ctx)
}

// wantFakeroot has fakeroot in the root where the build needs it: a .buildinfo does not name it,
// for it is no build dependency.
func (w *run) wantFakeroot(ctx context.Context) error {
	if w.source == nil {
		return nil
	}
	var dpkg dsc.Version
	for _, p := range w.find.want {
		if p.Name == "fakeroot" {
			return nil
		}
		if p.Name == "dpkg-dev" {
			dpkg, _ = dsc.ParseVersion(p.Version)
		}
	}
	opener := source.Opener{Suites: w.env.Suites, Client: w.env.Client, Work: w.env.Work,
		IDs: w.env.IDs, Log: w.env.Log}
	in, err := opener.Open(ctx, w.source.file)
	if err != nil {
		return err
	}
	control, err := in.Control()
	if err == nil && (dpkg.IsZero() || !control.NeedsRoot(dpkg)) {
		return in.Close()
	}
	for _, name := range []string{"fakeroot", "libfakeroot"} {
		w.find.want = append(w.find.want,
			&wanted{Package: buildinfo.Package{Name: name}})
	}
	w.note("fakeroot is there, too: the build needs it, and a .buildinfo does not name it")
	return in.Close()
}

// undecided is the error that names all that is missing.
func (w *run) undecided() error {
	var all []string
	for _, m := range w.report.Missing {
		all = append(all, m.String())
	}
	const shown = 5
	text := strings.Join(all[:min(shown, len(all))], ", ")
	if len(all) > shown {
		text += fmt.Sprintf(" and %d more", len(all)-shown)
	}
	hint := "name a snapshot of the archive that has it: --snapshot URL"
	switch {
	case w.info.HostArch != w.info.BuildArch:
		hint = ""
	case w.report.Missing[0].Kind == "architecture":
		hint = "rebuild it on a machine that runs the programs of " + w.info.BuildArch
	case w.Snapshot != "":
		hint = "name a repository that has it: --extra-repository"
	}
	return fault.New(fault.GivenBack, hint, "it cannot be decided whether %s %s is reproducible; "+
		"missing: %s", w.info.Source, w.info.Version, text)
}

// buildIn builds over the root, and compares.
func (w *run) buildIn(ctx context.Context, name string) error {
	r, err := w.request(name)
	if err != nil {
		return err
	}
	begin := time.Now()
	w.report.Build, err = w.env.Build(ctx, r)
	w.report.BuildTime = time.Since(begin).Seconds()
	if err != nil {
		if fault.KindOf(err) == fault.Attempted {
			w.report.Verdict = compared.Failed
		}
		return err
	}
	if err := w.compare(ctx); err != nil {
		return err
	}
	w.report.Verdict = compared.Identical
	differ := 0
	for _, f := range w.report.Files {
		if f.State != compared.StateSame {
			w.report.Verdict = compared.Differs
			differ++
		}
	}
	if w.report.Verdict == compared.Differs {
		return fault.New(fault.Differs, "", "%s %s is not what was built before: %s", w.info.Source,
			w.info.Version, fault.Count(differ, "file differs", "files differ"))
	}
	return nil
}
