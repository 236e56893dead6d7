package index

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/release"
)

// Owner is a file that packages have.
type Owner struct {
	Path     string // from the root, without a slash at the beginning
	Packages []string
}

// Owners tells, out of the Contents files of a component and an architecture ("all" is one), which
// packages have a file that match wants. The lists are kept packed, as they are ten times as large
// otherwise, and are read anew each time. It is failure.ErrNoIndex where a suite has none.
func (x *Indices) Owners(ctx context.Context, r *release.File, component, arch string,
	match func(path []byte) bool, fn func(Owner) error) error {
	file := "Contents-" + arch + ".gz"
	path, err := x.Index(ctx, r, component+"/"+file)
	if errors.Is(err, failure.ErrNoIndex) { // one for all components
		path, err = x.Index(ctx, r, file)
	}
	if err != nil {
		return err
	}
	in, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("cache: %w", err)
	}
	defer in.Close()
	packed, err := gzip.NewReader(in)
	if err == nil {
		err = scanContents(ctx, packed, match, fn)
	}
	if err != nil {
		return fmt.Errorf("%s: reading %s: %w", r.Repo(), file, err)
	}
	return nil
}

// longestContents is where a line of a Contents file is given up: a file that many packages have
// has a long one.
const longestContents = 1 << 20

// scanContents reads lines of a path, which may have blanks in it, white space, and a list of
// SECTION/PACKAGE or AREA/SECTION/PACKAGE, parted by commas.
func scanContents(ctx context.Context, r io.Reader, match func(path []byte) bool,
	fn func(Owner) error) error {
	in := bufio.NewReaderSize(r, longestContents)
	for n := 0; ; n++ {
		if n%10000 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		line, err := in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return errors.New("a line is too long")
		}
		if text := bytes.TrimRight(line, "\n"); len(text) > 0 {
			if at := bytes.LastIndexAny(text, " \t"); at > 0 {
				path := bytes.TrimRight(text[:at], " \t")
				if match(path) {
					o := Owner{Path: string(path)}
					for p := range bytes.SplitSeq(text[at+1:], []byte(",")) {
						o.Packages = append(o.Packages, string(p[bytes.LastIndexByte(p, '/')+1:]))
					}
					if err := fn(o); err != nil {
						return err
					}
				}
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
