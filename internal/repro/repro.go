// Package repro finds out whether what a build makes depends on what must not matter: it builds
// twice over one base with the same dependencies, the second time varied, and compares. Which
// variation makes a difference it finds by further builds.
//
// What a build does is internal/pkgbuild's, what packages differ in internal/debcompare's.
package repro

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"nsbuild/internal/compared"
	"nsbuild/internal/fault"
	"nsbuild/internal/pkgbuild"
)

// Request is what is to be found out.
type Request struct {
	Vary   []string // names of variations
	Bisect bool     // find those that make a difference
	Output string   // directory that keeps what the two builds made; "": it is deleted
	AtOnce int      // builds at a time
	Build  pkgbuild.Request
}

// Schema is the number of the format of a report in JSON.
const Schema = 1

// Report is what was found out, and how.
type Report struct {
	Schema     int              `json:"schema"`
	Program    string           `json:"program"`
	Source     string           `json:"source"`
	Version    string           `json:"version"`
	Verdict    compared.Verdict `json:"verdict"`
	Variations []string         `json:"variations"`
	Beside     bool             `json:"beside"`          // the two builds ran beside each other
	Files      []File           `json:"files,omitempty"` // of the two builds
	More       int              `json:"more_builds"`     // that were made to find causes
	Bisected   bool             `json:"bisected"`
	// Itself are the files that differ without any variation, and Causes what makes the others
	// differ, where that was looked for
	Itself  []File   `json:"itself,omitempty"`
	Causes  []Cause  `json:"causes,omitempty"`
	Output  string   `json:"output,omitempty"`
	Seconds float64  `json:"seconds"`
	Escaped []string `json:"escaped,omitempty"`
	// Failure is the build that failed; nil: none did
	Failure *pkgbuild.Outcome `json:"-"`
}

// Cause is what makes builds differ: one variation, or several where it takes them together.
type Cause struct {
	Variations []string `json:"variations"`
	Files      []File   `json:"files,omitempty"` // that differ by it
	Fails      bool     `json:"fails,omitempty"` // the build fails by it
}

// builder does builds of one source.
type builder interface {
	Source() (name, version string)
	Build(ctx context.Context, name string, change func(*pkgbuild.Request)) (*pkgbuild.Outcome,
		error)
	Beside(n int)
	Close()
}

// run is what is under way.
type run struct {
	Request
	env    *pkgbuild.Env
	build  builder
	report *Report
	first  *pkgbuild.Outcome // without variation
	own    map[string]bool   // the differences without any variation
	apart  *apart            // nil: no builds run beside each other
}

// Run finds it out. Whatever the error, the report says how far it came.
func Run(ctx context.Context, env *pkgbuild.Env, r Request) (*Report, error) {
	begin := time.Now()
	w := &run{Request: r, env: env, report: &Report{Schema: Schema, Program: env.Program,
		Verdict: compared.Undecided, Variations: r.Vary, Source: r.Build.From}}
	err := w.prepare(ctx)
	if err == nil {
		err = w.run(ctx)
		w.build.Close()
	}
	w.report.Seconds = time.Since(begin).Seconds()
	return w.report, env.Work.Hide(fault.Interruption(ctx, err))
}

func (w *run) prepare(ctx context.Context) error {
	if w.Output != "" {
		if err := os.Mkdir(w.Output, 0o777); err != nil && !os.IsExist(err) {
			return fault.Wrap(fault.Usage, "choose another directory with --output", err)
		}
		w.report.Output = w.Output
	}
	prepared, err := w.env.Prepare(ctx, w.Build)
	if err != nil {
		return err
	}
	w.build = prepared
	w.report.Source, w.report.Version = prepared.Source()
	return nil
}

// run builds, compares, and looks for causes.
func (w *run) run(ctx context.Context) error {
	first, second, err := w.both(ctx)
	w.first = first
	fails := err != nil && first != nil && ctx.Err() == nil &&
		fault.KindOf(err) == fault.Attempted
	if err != nil && !(fails && w.Bisect) {
		return err
	}
	if !fails {
		if w.report.Files, err = compare(ctx, first, second); err != nil {
			return err
		}
		if len(different(w.report.Files)) == 0 {
			w.report.Verdict = compared.Identical
			return nil
		}
		w.report.Verdict = compared.Differs
	}
	if w.Bisect {
		if lookErr := w.look(ctx, fails); lookErr != nil {
			return lookErr
		}
	}
	if fails {
		return err
	}
	return fault.New(fault.Differs, w.hint(), "%s %s is not the same when it is built again: %s",
		w.report.Source, w.report.Version, fault.Count(len(different(w.report.Files)),
			"file differs", "files differ"))
}

func (w *run) hint() string {
	if w.Bisect || len(w.Vary) == 0 {
		return ""
	}
	return "--bisect finds the variation that does it"
}

// both does the two builds, beside each other where there may be two. Where the first failed it is
// nil.
func (w *run) both(ctx context.Context) (first, second *pkgbuild.Outcome, err error) {
	w.report.Beside = w.AtOnce > 1
	var firstErr error
	one := func() { first, firstErr = w.once(ctx, "first", nil) }
	if w.report.Beside {
		w.build.Beside(2)
		w.apart = &apart{}
		var both sync.WaitGroup
		secondCtx, stop := context.WithCancel(ctx)
		defer stop()
		both.Go(func() {
			if one(); firstErr != nil {
				stop() // there is nothing to compare it with
			}
		})
		both.Go(func() { second, err = w.once(secondCtx, "second", w.Vary) })
		both.Wait()
		w.build.Beside(1)
		w.apart = nil
	} else if one(); firstErr == nil {
		second, err = w.once(ctx, "second", w.Vary)
	}
	if firstErr != nil {
		w.failed(first, firstErr)
		return nil, second, firstErr
	}
	if err != nil {
		w.failed(second, err)
		return first, second, fault.Wrap(fault.KindOf(err), w.hint(),
			fmt.Errorf("it builds, but not varied: %w", err))
	}
	return first, second, nil
}

func (w *run) failed(out *pkgbuild.Outcome, err error) {
	w.report.Failure = out
	if fault.KindOf(err) == fault.Attempted {
		w.report.Verdict = compared.Failed
	}
}

// once does a build with variations. What the first two have made is kept where that was asked for.
func (w *run) once(ctx context.Context, name string, variations []string) (*pkgbuild.Outcome,
	error) {
	temporary := w.Output == "" || name != "first" && name != "second"
	dir, err := w.place(name, temporary)
	if err != nil {
		return pkgbuild.Unbegun(w.env.Program, w.Build, err), err
	}
	return w.build.Build(ctx, name, func(r *pkgbuild.Request) {
		r.Output, r.LogDir, r.NoLog = dir, "", temporary
		r.Vary = vary(variations)
		if w.apart != nil {
			r.Hold = w.apart.hold
		}
	})
}

// place is the directory for what a build makes.
func (w *run) place(name string, temporary bool) (string, error) {
	if temporary {
		return w.env.Work.Make("repro-")
	}
	dir, err := filepath.Abs(filepath.Join(w.Output, name))
	if err != nil {
		return "", err
	}
	if err := os.Mkdir(dir, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	return dir, nil
}

// look finds out what makes the builds differ. What a build without variations has otherwise is not
// looked at any further.
func (w *run) look(ctx context.Context, fails bool) error {
	w.report.Bisected = true
	again, err := w.once(ctx, "again", nil)
	w.report.More++
	if err != nil {
		return fmt.Errorf("built again without a variation: %w", err)
	}
	files, err := compare(ctx, w.first, again)
	if err != nil {
		return err
	}
	w.report.Itself = different(files)
	w.own = places(w.report.Itself)
	if !fails && len(beyond(w.report.Files, w.own)) == 0 || len(w.Vary) == 0 {
		return nil
	}
	found := map[string]*Cause{key(w.Vary): {Files: beyond(w.report.Files, w.own), Fails: fails}}
	causes, err := bisect(w.Vary, func(variations []string) (bool, error) {
		c, err := w.try(ctx, variations)
		found[key(variations)] = c
		return err == nil && (c.Fails || len(c.Files) > 0), err
	})
	for _, names := range causes {
		c := Cause{Variations: names}
		if f := found[key(names)]; f != nil {
			c.Files, c.Fails = f.Files, f.Fails
		}
		w.report.Causes = append(w.report.Causes, c)
	}
	return err
}

// shown is how many variations a build is named by.
const shown = 3

// try builds with some of the variations, and compares with the first build.
func (w *run) try(ctx context.Context, variations []string) (*Cause, error) {
	w.report.More++
	name := strings.Join(variations, " ")
	if len(variations) > shown {
		name = fmt.Sprintf("%d variations", len(variations))
	}
	out, err := w.once(ctx, name, variations)
	if err != nil {
		if ctx.Err() == nil && fault.KindOf(err) == fault.Attempted {
			return &Cause{Fails: true}, nil
		}
		return nil, err
	}
	files, err := compare(ctx, w.first, out)
	if err != nil {
		return nil, err
	}
	return &Cause{Files: beyond(files, w.own)}, w.forget(out)
}

// forget deletes what a build has made that was only to be compared.
func (w *run) forget(out *pkgbuild.Outcome) error {
	for _, file := range out.Artefacts {
		if err := os.Remove(file); err != nil {
			return err
		}
	}
	return nil
}
