package checks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"time"

	"nsbuild/internal/bootstrap"
)

// Bounds of diffoscope: for all pairs together, and of each of its texts, in bytes.
const (
	longestDiffoscope = 10 * time.Minute
	LargestDiffoscope = 40 << 20
)

// FilePair are two files that diffoscope compares.
type FilePair struct{ Name, Was, Is string }

// ErrDiffoscopeLate means that diffoscope took longer than it may.
var ErrDiffoscopeLate = fmt.Errorf("diffoscope took longer than %v", longestDiffoscope)

// Diffoscope has diffoscope compare files, and hands on its text and its page (HTML) of each pair,
// as NAME.txt and NAME.html. It runs as the user that builds, in a jail over the base, where it is
// installed into a layer that is kept.
func (b *Bench) Diffoscope(ctx context.Context, pairs []FilePair,
	keep func(name string, in io.Reader) error) (err error) {
	b.making = "diffoscope"
	c, err := b.with(ctx, "diffoscope-minimal", b.Extra, b.NoLayers)
	if err != nil {
		return fmt.Errorf("installing diffoscope: %w", err)
	}
	defer func() { err = errors.Join(err, c.close()) }()
	if err := c.open(ctx, false); err != nil {
		return err
	}
	if err := c.show(ctx); err != nil { // the directory
		return err
	}
	limited, cancel := context.WithTimeoutCause(ctx, longestDiffoscope, ErrDiffoscopeLate)
	defer cancel()
	for i, p := range pairs {
		if err := c.diffoscope(limited, fmt.Sprint(i), p, keep); err != nil {
			if limited.Err() != nil {
				return context.Cause(limited)
			}
			return fmt.Errorf("diffoscope of %s: %w", p.Name, err)
		}
	}
	return nil
}

// diffoscope compares one pair, in a directory of its own.
func (t *testbed) diffoscope(ctx context.Context, dir string, p FilePair,
	keep func(name string, in io.Reader) error) error {
	here := path.Join(checkDir, dir)
	for _, d := range []string{here, here + "/was", here + "/is"} {
		if err := t.Jail.Mkdir(d, 0o755, bootstrap.BuilderUID, bootstrap.BuilderGID); err != nil {
			return err
		}
	}
	was, is := "was/package.deb", "is/package.deb"
	if err := copyIn(ctx, t.Jail, p.Was, path.Join(here, was), 0o644); err != nil {
		return err
	}
	if err := copyIn(ctx, t.Jail, p.Is, path.Join(here, is), 0o644); err != nil {
		return err
	}
	const text, page = "diffoscope.txt", "diffoscope.html"
	most := fmt.Sprint(LargestDiffoscope)
	argv := []string{"diffoscope", "--no-progress", "--max-text-report-size", most,
		"--max-report-size", most, "--text", text, "--html", page, was, is}
	t.say("diffoscope: %s", p.Name)
	status, err := t.Run(ctx, t.Command(here, argv...))
	switch {
	case err != nil:
		return err
	case status.Success():
		return nil // the same, so there is no text
	case status.Signal != 0 || status.Code != 1:
		return fmt.Errorf("diffoscope: %s", status)
	}
	for _, out := range []struct{ from, to string }{{text, p.Name + ".txt"},
		{page, p.Name + ".html"}} {
		f, err := t.Jail.Open(path.Join(here, out.from))
		if err != nil {
			return err
		}
		err = keep(out.to, io.LimitReader(f, LargestDiffoscope))
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}
