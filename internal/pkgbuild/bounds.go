package pkgbuild

import (
	"context"
	"fmt"
	"strings"

	"nsbuild/internal/budget"
	"nsbuild/internal/buildlog"
	"nsbuild/internal/dsc"
	"nsbuild/internal/fault"
	"nsbuild/internal/source"
)

// Bounds of what a build leaves, in bytes where nothing else is said: a package decides about all
// of it, and need not mean well.
const (
	// maxChanges bounds a .changes, and maxBuildinfo a .buildinfo: Debian's largest have some 100
	// KiB.
	maxChanges   = 16 << 20
	maxBuildinfo = 16 << 20
	// maxFiles is how many files a .changes may list; the kernel's lists a few hundred.
	maxFiles = 10_000
	// DefaultMaxResults is how large all results together may be, unless How says otherwise.
	DefaultMaxResults = 64 << 30
	// maxListing bounds the lists of the packages' files in the log.
	maxListing = 64 << 20
	// maxUnpacked is how much of the packages is unpacked for those lists.
	maxUnpacked = 64 << 30
)

// takeResults copies aside what a .changes lists, each file against it. One that another .changes
// listed is there already.
func (at *attempt) takeResults(ctx context.Context, files *aside, changes *dsc.Changes) error {
	if err := at.checkBounds(files, changes); err != nil {
		return err
	}
	err := changes.Verify(source.OpenUntil(ctx, at.takeOut(files)))
	if failed := files.failure(); failed != nil {
		return noPlace(files.dir, failed)
	}
	return err
}

// checkBounds looks at what a .changes promises before anything of it is copied: a file may be a
// hole of any length, for which the jail needs no room.
func (b *builder) checkBounds(files *aside, changes *dsc.Changes) error {
	const hint = "the build wrote them so: look at the end of its log"
	if len(changes.Files) > maxFiles {
		return fault.New(fault.Attempted, hint, "%s lists %d files; more than %d are not taken",
			changes.Path, len(changes.Files), maxFiles)
	}
	for _, f := range changes.Files {
		if strings.HasSuffix(f.Name, ".buildinfo") && f.Size > maxBuildinfo {
			return fault.New(fault.Attempted, hint,
				"%s has %d bytes; no .buildinfo has more than %d MiB",
				f.Name, f.Size, maxBuildinfo>>20)
		}
		if files.path(f.Name) != "" {
			continue
		}
		if files.total += f.Size; files.total > b.maxResults() || files.total < 0 {
			return fault.New(fault.Attempted,
				"if it is to build so much, allow it with --max-results",
				"%s lists more than %s of files (with %s), no more is taken",
				changes.Path, fault.Size(b.maxResults()), f.Name)
		}
	}
	free, err := budget.FreeSpace(files.dir)
	if err != nil {
		return err
	}
	if files.total > free {
		return noPlace(files.dir, fmt.Errorf("they have %s, %s is free", fault.Size(files.total),
			fault.Size(free)))
	}
	return nil
}

func (b *builder) maxResults() int64 {
	if b.o.MaxResults > 0 {
		return b.o.MaxResults
	}
	return DefaultMaxResults
}

// noPlace is the error for results that the output directory does not take: no fault of the
// package.
func noPlace(dir string, err error) error {
	const hint = "free some space there, or choose another directory with --output"
	err = fault.New(fault.GivenBack, hint, "the results cannot be stored in %s: %w", dir, err)
	return &stageError{buildlog.StageCheckSpace, err}
}
