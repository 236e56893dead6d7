package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"nsbuild/internal/fault"
	"nsbuild/internal/junit"
	"nsbuild/internal/pkgbuild"
	"nsbuild/internal/report"
	"nsbuild/internal/result"
)

// resultFile is the files that --result, --junit, --report and --provenance name. Each is written
// once, at the end, however that comes. Until then there is none: whoever finds one has that of
// this build, or of none.
type resultFile struct {
	mu      sync.Mutex
	named   bool               // it is known whether files were named
	path    string             // "": none, or it has been written
	junit   string             // the same
	page    string             // the same
	stated  string             // the same
	maker   *provenanceOptions // of that one
	asked   pkgbuild.Several
	started time.Time
	ended   map[int]*result.Result // by their places among the sources
}

// claim takes away what another build has left, and makes sure that the files can be written.
func (f *resultFile) claim(at pkgbuild.Places, asked *pkgbuild.Several) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.named, f.started, f.asked = true, time.Now(), *asked
	for _, file := range []struct{ flag, path string }{{"result", at.Result},
		{"junit", at.JUnit}, {"report", at.Report},
		{"provenance", at.Provenance}} {
		if err := claimFile(file.flag, file.path); err != nil {
			return err
		}
	}
	f.path, f.junit, f.page, f.stated = at.Result, at.JUnit, at.Report, at.Provenance
	return nil
}

func claimFile(flag, path string) error {
	if path == "" {
		return nil
	}
	st, err := os.Stat(path)
	switch {
	case err == nil && st.IsDir():
		return fault.New(fault.Usage, "name a file", "--%s %s is a directory", flag, path)
	case err == nil && !st.Mode().IsRegular():
		return fault.New(fault.Usage, "name a file", "--%s %s is no ordinary file", flag, path)
	}
	if err := pkgbuild.CheckWritable(filepath.Dir(path)); err != nil {
		return cannotStore(flag, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return cannotStore(flag, err)
	}
	return nil
}

func cannotStore(flag string, err error) error {
	return fault.Wrap(fault.Usage, "choose another file with --"+flag,
		fmt.Errorf("the machine-readable result cannot be stored: %w", err))
}

// ask says what is to be built, once that is known in full.
func (f *resultFile) ask(s *pkgbuild.Several) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = *s
}

// note keeps the result of a build that has ended.
func (f *resultFile) note(i int, r *result.Result) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended == nil {
		f.ended = map[int]*result.Result{}
	}
	f.ended[i] = r
}

// write writes the files. What has not ended has failed with err.
func (f *resultFile) write(err error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	path, xml, page, stated := f.path, f.junit, f.page, f.stated
	f.path, f.junit, f.page, f.stated = "", "", "", ""
	if path == "" && xml == "" && page == "" && stated == "" {
		return nil
	}
	all := f.asked.Each()
	if len(all) == 0 { // it is not known what was to be built
		all = []pkgbuild.Request{f.asked.Request}
	}
	s := result.Several{Program: program(), Started: f.started.UTC(), Finished: time.Now().UTC()}
	for i, r := range all {
		one := f.ended[i]
		if one == nil {
			one = pkgbuild.Unbegun(program(), r, err).Result
		}
		s.Results = append(s.Results, one)
	}
	var failed error
	if xml != "" {
		failed = junit.Write(xml, s.Results)
	}
	if page != "" {
		var builds []report.Build
		for _, r := range s.Results {
			builds = append(builds, report.Build{Result: r})
		}
		failed = errors.Join(failed, report.Write(page, builds))
	}
	if stated != "" && f.maker != nil {
		failed = errors.Join(failed, f.maker.write(stated, s.Results))
	}
	switch {
	case path == "":
	case len(all) == 1:
		failed = errors.Join(failed, result.Write(path, s.Results[0]))
	default:
		failed = errors.Join(failed, result.WriteSeveral(path, &s))
	}
	return failed
}

// finish ends the command: its environment, and the file of its result. Args are the command line,
// for a build that has failed before it knew of the file.
func (a *app) finish(err error, args []string) error {
	if !a.result.named && err != nil && slices.Contains(args, "build") {
		places, sources := namedIn(args)
		asked := &pkgbuild.Several{Request: pkgbuild.Request{What: pkgbuild.What{ArchAny: true,
			ArchAll: true}}, Sources: sources}
		err = errors.Join(err, a.result.claim(places, asked))
	}
	written := a.result.write(err)
	if written != nil && errors.As(err, new(commandStatus)) { // of which nothing is printed
		a.printError(written)
	}
	return errors.Join(err, written)
}

// namedIn are the files that a wrong command line of build names for its result, and the sources.
func namedIn(args []string) (at pkgbuild.Places, sources []string) {
	root := newRoot(&app{stdout: os.Stdout, stderr: os.Stderr})
	c, rest, err := root.Find(args)
	if err != nil || c.Name() != "build" {
		return at, nil
	}
	set := pflag.NewFlagSet(c.Name(), pflag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.ParseErrorsAllowlist.UnknownFlags = true
	set.AddFlagSet(c.Flags())
	set.AddFlagSet(root.PersistentFlags())
	set.BoolP("help", "h", false, "")
	named := map[string]string{}
	// What is wrong with the others has been said.
	_ = set.ParseAll(rest, func(f *pflag.Flag, value string) error {
		named[f.Name] = value
		return nil
	})
	of := func(flag string) string {
		return cmp.Or(named[flag], os.Getenv(key{"build", &pflag.Flag{Name: flag}}.variable()))
	}
	return pkgbuild.Places{Result: of("result"), JUnit: of("junit"), Report: of("report"),
			Provenance: of("provenance")},
		set.Args()
}
