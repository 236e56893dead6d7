package checks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"slices"
	"time"

	"nsbuild/internal/bootstrap"
	"nsbuild/internal/buildlog"
)

// longestTags bounds lintian over all sets together.
const longestTags = 10 * time.Minute

// ErrLintianLate means that lintian took longer than it may.
var ErrLintianLate = fmt.Errorf("lintian took longer than %v", longestTags)

// Tags has lintian look at sets of packages, and is what it says of each set. It runs as the user
// that builds, in a jail over the base and the layer that the check has.
func (b *Bench) Tags(ctx context.Context, sets ...[]string) (all [][]string, err error) {
	b.making = "lintian"
	c, err := b.with(ctx, "lintian", b.Extra, b.NoLayers)
	if err != nil {
		return nil, fmt.Errorf("installing lintian: %w", err)
	}
	defer func() { err = errors.Join(err, c.close()) }()
	if err := c.open(ctx, false); err != nil {
		return nil, err
	}
	if err := c.show(ctx); err != nil { // the directory
		return nil, err
	}
	limited, cancel := context.WithTimeoutCause(ctx, longestTags, ErrLintianLate)
	defer cancel()
	for i, files := range sets {
		tags, err := c.tags(limited, path.Join(checkDir, fmt.Sprint(i)), files)
		if err != nil {
			if limited.Err() != nil {
				err = context.Cause(limited)
			}
			return nil, err
		}
		all = append(all, tags)
	}
	return all, nil
}

// tags are those of one set, which has a directory of its own.
func (t *testbed) tags(ctx context.Context, dir string, files []string) ([]string, error) {
	if err := t.Jail.Mkdir(dir, 0o755, bootstrap.BuilderUID, bootstrap.BuilderGID); err != nil {
		return nil, err
	}
	argv := []string{"lintian", "--tag-display-limit", "0"}
	for _, file := range files {
		name := filepath.Base(file)
		if err := copyIn(ctx, t.Jail, file, path.Join(dir, name), 0o644); err != nil {
			return nil, err
		}
		argv = append(argv, "./"+name)
	}
	var found buildlog.Tags
	out := t.Bench.Log.Stream()
	status, err := t.Jail.RunTo(ctx, t.Command(dir, argv...), io.MultiWriter(out, &found), out)
	out.Flush()
	if err != nil {
		return nil, err
	}
	if !status.Success() && (status.Code != 2 || status.Signal != 0) { // as in the check
		return nil, fmt.Errorf("lintian: %s", status)
	}
	slices.Sort(found.All)
	return found.All, nil
}
